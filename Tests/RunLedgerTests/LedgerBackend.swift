import LogEngine
import PlatformIO
import RunLedger
import StorageTesting
import Testing

/// The two kinds of ledger that every rule of the contract must hold on.
enum Backend: CaseIterable, CustomTestStringConvertible {
  case memory, disk

  var testDescription: String { self == .memory ? "in memory" : "on disk" }

  /// A place for one ledger that can be closed and opened again.
  func place() -> LedgerPlace { LedgerPlace(self) }
}

final class LedgerPlace: Sendable {
  private let fileSystem: any FileSystem
  private let directory: TemporaryDirectory?
  let path: String

  init(_ backend: Backend) {
    switch backend {
    case .memory:
      (fileSystem, directory, path) = (MemoryFileSystem(), nil, "ledger")
    case .disk:
      let directory = TemporaryDirectory()
      (fileSystem, self.directory, path) = (DiskFileSystem(), directory, directory.path + "/ledger")
    }
  }

  /// Called last, so that the directory outlives what is open in it.
  func stay() {}

  func open(_ change: (inout LedgerOptions) -> Void = { _ in }) throws -> Ledger {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = 64 << 10
    change(&options)
    return try Ledger.open(
      at: path, options: options, fileSystem: fileSystem, environment: SystemEnvironment())
  }

  func openLog() throws -> SegmentedLog {
    var options = LogOptions()
    options.application = ApplicationTag(id: 0x5354_4E45_5645_4C52)
    return try SegmentedLog.open(
      at: path, options: options, fileSystem: fileSystem, environment: SystemEnvironment())
  }
}

extension Event {
  /// An event with everything that a test does not care for filled in.
  static func test(
    _ id: String, run: String = "run", turn: Int64 = 0, kind: String = "clue.found", actor: String = "alice",
    payload: String = "{}",
    createdAt: Timestamp = Timestamp(seconds: 1_700_000_000, nanoseconds: 123_456_000)!,
    session: String? = nil, profile: String? = nil, model: String? = nil
  ) throws -> Event {
    try Event(
      id: id, runID: run, turn: turn, kind: kind, actor: actor, payload: Array(payload.utf8),
      createdAt: createdAt,
      sessionID: session, modelProfile: profile, modelID: model)
  }
}
