internal import Harness
internal import RunLedger

/// A snapshot beside SQLite's backup of the same events, and snapshots while threads append.
struct SnapshotPart {
  let bench: Bench
  private var arguments: Arguments { bench.arguments }

  init(bench: Bench) { self.bench = bench }

  static let snapshot = "RunLedger snapshot"
  static let backup = "SQLite backup"
  static let load = "RunLedger snapshot while 8 threads append"

  func run(round: Int) throws {
    bench.report(round, "snapshot: filling")
    defer { for name in ["store", "database"] { bench.removeStore(name) } }
    let filled = try bench.run(.fill, bench.fill("store", bytes: arguments.bytes))
    let rows = try filled.count("rows")
    let database = try bench.run(.sqliteSize, bench.fill("database", count: rows))
    try bench.require(
      try prefix("store", through: rows).digest == database.digest,
      "the engines do not hold the same events")
    let copies: [() throws -> Void] = [
      { try snapshot(rows, filled, round) }, { try backUp(database, round) },
    ]
    for place in copies.indices { try copies[(place + round - 1) % copies.count]() }
    try snapshotUnderLoad(round)
  }

  private func prefix(_ name: String, through: Int) throws -> Findings {
    try bench.run(.prefix, Settings(["path": bench.path(name), "through": through]))
  }

  private func snapshot(_ rows: Int, _ filled: Findings, _ round: Int) throws {
    bench.report(round, "snapshot: \(Self.snapshot)")
    defer { bench.removeStore("copy") }
    try bench.settle()
    var findings = try bench.run(
      .snapshot, Settings(["path": bench.path("store"), "copy": bench.path("copy")]))
    let (ledger, copy) = (try prefix("store", through: rows), try prefix("copy", through: rows))
    try bench.require(
      copy.digest == ledger.digest && copy["latest"] == Double(rows), "the snapshot is not the ledger")
    for name in ["bytes", "segments"] { findings[name] = filled[name] }
    bench.results.add(findings, .snapshot, Self.snapshot, round: round)
  }

  private func backUp(_ database: Findings, _ round: Int) throws {
    bench.report(round, "snapshot: \(Self.backup)")
    defer { bench.removeStore("copy") }
    try bench.settle()
    var findings = try bench.run(
      .backup, Settings(["path": bench.path("database"), "copy": bench.path("copy")]))
    let copies = try ["database", "copy"].map {
      try bench.run(.rows, Settings(["engine": EngineName.sqlite.rawValue, "path": bench.path($0)]))
    }
    try bench.require(
      copies[0].digest == copies[1].digest && copies[1]["rows"] == database["rows"],
      "the backup is not the database")
    findings["bytes"] = database["bytes"]
    bench.results.add(findings, .snapshot, Self.backup, round: round)
  }

  private func snapshotUnderLoad(_ round: Int) throws {
    bench.report(round, "snapshot: \(Self.load)")
    let snapshots = arguments.isQuick ? 2 : 5
    defer { for number in 0..<snapshots { bench.removeStore("copy\(number)") } }
    try bench.settle()
    let findings = try bench.run(
      .load,
      Settings([
        "path": bench.path("store"), "copy": bench.path("copy"), "seed": arguments.seed, "appenders": 8,
        "snapshots": snapshots, "pause": arguments.isQuick ? 200 : 2000,
      ]))
    for number in 0..<snapshots {
      let copy = try prefix("copy\(number)", through: 1 << 40 - 1)
      let end = try copy.count("latest")
      try bench.require(
        end >= findings.count("from.\(number)") && end <= findings.count("through.\(number)"),
        "a snapshot ends before what was acknowledged when it began, or behind what was appended when it ended"
      )
      let ledger = try prefix("store", through: end)
      try bench.require(
        copy.digest == ledger.digest && copy["rows"] == Double(end), "a snapshot is not an exact prefix")
    }
    bench.results.add(findings, .snapshot, Self.load, round: round)
  }
}
