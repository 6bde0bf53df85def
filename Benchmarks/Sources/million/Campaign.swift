internal import Harness

/// Runs a plan: every row in every round, in processes of their own, and compares what the engines hold.
struct Campaign {
  let arguments: Arguments
  /// By row's key, then by name.
  private(set) var samples: [String: [String: Sample]] = [:]

  init(_ arguments: Arguments) { self.arguments = arguments }

  static func key(_ group: Plan.Group, _ row: Plan.Row) -> String { "\(group.title): \(row.title)" }

  mutating func run() throws {
    SystemCall.removeTree(arguments.directory)
    try SystemCall.makeDirectory(arguments.directory)
    defer { SystemCall.removeTree(arguments.directory) }
    for round in 1...arguments.rounds {
      for group in Plan.groups {
        // Each round starts with another engine.
        let shift = (round - 1) % group.rows.count
        for row in group.rows[shift...] + group.rows[..<shift] {
          SystemCall.report("round \(round)/\(arguments.rounds): \(Self.key(group, row))")
          try run(group, row)
        }
      }
    }
  }

  private mutating func run(_ group: Plan.Group, _ row: Plan.Row) throws {
    let path = "\(arguments.directory)/store"
    func removeStores(_ kind: String = "") {
      for suffix in ["", "-wal", "-shm"] { SystemCall.removeTree(path + kind + suffix) }
    }
    let count = group.isSynced ? arguments.syncedEvents : arguments.events
    try SystemCall.settle(in: arguments.directory)
    let written = try Cell.findings(
      StoreCell.write(
        .init(
          engine: row.engine,
          durability: row.durability,
          batchSize: row.batchSize,
          count: count,
          seed: arguments.seed,
          path: path,
          isKilled: row.isKilled
        )
      ).words,
      in: arguments.directory,
      isKilled: row.isKilled
    )
    removeStores(".warm")
    try SystemCall.settle(in: arguments.directory)
    let read = try Cell.findings(
      StoreCell.read(
        .init(
          engine: row.engine,
          count: count,
          seed: arguments.seed,
          path: path,
          runCount: Int(written["runs"] ?? 1),
          lookUps: row.isRead ? max(1000, count / 5) : 0
        )
      ).words,
      in: arguments.directory
    )
    removeStores()
    removeStores(".warm")
    guard read.digest == written.digest, read["rows"] == Double(count) else {
      throw BenchmarkError(
        "\(Self.key(group, row)): the store does not hold the \(count) rows that were written"
      )
    }
    let key = Self.key(group, row)
    samples[key, default: [:]]["rate", default: Sample()].add(written["seconds"].map { Double(count) / $0 })
    for name in ["memoryGrowth", "diskBytes", "closeSeconds", "payloadBytes", "runs"] {
      samples[key, default: [:]][name, default: Sample()].add(written[name])
    }
    for name in [
      "openSeconds", "openForWritingSeconds", "memoryOpen", "memoryTouched", "indexBytes", "nameBytes",
      "segments",
      "scanRate", "hitRate", "missRate", "runRate", "runEventRate",
    ] {
      samples[key, default: [:]][name, default: Sample()].add(read[name])
    }
  }
}
