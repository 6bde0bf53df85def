import LogEngine
import PlatformIO
import RunLedger
import StorageTesting

/// A kind of input that anybody may hand to the ledger, and what has to hold whatever it is. A broken promise ends the process,
/// which a fuzzer takes for a find.
public enum FuzzTarget: String, CaseIterable, Sendable {
  /// Any bytes as the frames of a segment.
  case segment
  /// The same with every checksum made right.
  case repaired
  /// Any bytes as a sidecar, with its checksums made right.
  case sidecar
  /// Any bytes as a snapshot's list, with its checksum made right.
  case snapshot
  /// Any bytes as lines of an import.
  case lines

  /// Hands the bytes over, and ends the process if a promise does not hold.
  public func run(_ bytes: [UInt8]) {
    switch self {
    case .segment: SegmentFuzz.run(bytes, repairing: false)
    case .repaired: SegmentFuzz.run(bytes, repairing: true)
    case .sidecar: SidecarFuzz.run(bytes)
    case .snapshot: SnapshotFuzz.run(bytes)
    case .lines: LineFuzz.run(bytes)
    }
  }
}

/// Ends the process: what was promised does not hold.
func promise(_ holds: Bool, _ what: @autoclosure () -> String) {
  if !holds { fatalError("broken promise: \(what())") }
}

/// nil for a refusal by the engine, which is always allowed.
func unlessRefused<T>(_ body: () throws -> T) -> T? {
  do { return try body() } catch is LogError { return nil } catch is LedgerError { return nil } catch {
    fatalError("an error of another kind: \(error)")
  }
}
