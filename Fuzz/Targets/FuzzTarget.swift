internal import LogEngine
public import ParserTargets
internal import RunLedger

/// What whole logs and ledgers make of bytes that anybody may hand to them, on a disk in memory.
public enum FuzzTarget: String, FuzzProgram {
  /// Any bytes as the frames of a segment.
  case segment
  /// The same with every checksum made right.
  case repaired
  /// Any bytes as a sidecar, with its checksums made right.
  case sidecar
  /// Any bytes as a snapshot's list, with its checksum made right.
  case snapshot
  /// Any bytes as the script of a life: what a ledger and its copies are used for, what fails meanwhile, and when the power goes.
  case lives

  /// Hands the bytes over, and ends the process if a promise does not hold.
  public func run(_ bytes: RawSpan) {
    var copy: [UInt8] = []
    copy.append(bytes)
    switch self {
    case .segment: SegmentFuzz.run(copy, repairing: false)
    case .repaired: SegmentFuzz.run(copy, repairing: true)
    case .sidecar: SidecarFuzz.run(copy)
    case .snapshot: SnapshotFuzz.run(copy)
    case .lives: LifeFuzz.run(copy)
    }
  }

  /// Inputs to begin with.
  public var seeds: [[UInt8]] {
    switch self {
    case .segment, .repaired: SegmentFuzz.seeds
    case .sidecar: SidecarFuzz.seeds
    case .snapshot: SnapshotFuzz.seeds
    case .lives: LifeFuzz.seeds
    }
  }
}
