internal import Harness

/// What the parts share: the directory, cells in processes of their own, and the results.
final class Bench {
  let arguments: Arguments
  var results = Results()

  init(_ arguments: Arguments) throws {
    self.arguments = arguments
    SystemCall.removeTree(arguments.directory)
    try SystemCall.makeDirectory(arguments.directory)
  }

  func path(_ name: String) -> String { "\(arguments.directory)/\(name)" }

  func run(
    _ cell: DurabilityCell, _ settings: Settings, isKilled: Bool = false, tracer: [String] = []
  ) throws -> Findings {
    defer { removeStore("store.warm") }
    return try Cell.findings(
      [cell.rawValue] + settings.words, in: arguments.directory, isKilled: isKilled, tracer: tracer)
  }

  /// What a filling cell is told: a ledger's bytes or a database's events.
  func fill(_ name: String, bytes: Int = 0, count: Int = 0) -> Settings {
    Settings([
      "path": path(name), "seed": arguments.seed, "bytes": bytes, "count": count,
      "segmentSize": arguments.segmentSize,
    ])
  }

  /// Removes a ledger or a database.
  func removeStore(_ name: String) {
    for suffix in ["", "-wal", "-shm", "-journal"] { SystemCall.removeTree(path(name) + suffix) }
  }

  /// Lets the disk come to rest, unless times do not matter.
  func settle() throws {
    if !arguments.isQuick { try SystemCall.settle(in: arguments.directory) }
  }

  func report(_ round: Int, _ what: String) {
    SystemCall.report("round \(round)/\(arguments.rounds): \(what)")
  }

  func require(_ holds: Bool, _ complaint: @autoclosure () -> String) throws {
    guard holds else { throw BenchmarkError(complaint()) }
  }
}
