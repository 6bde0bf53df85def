internal import Harness

/// Single appends without syncs, and then opening what they made.
struct LatencyPart {
  let bench: Bench
  private var arguments: Arguments { bench.arguments }
  private var path: String { bench.path("store") }

  init(bench: Bench) { self.bench = bench }

  static let append = "RunLedger .never, one event an append"
  static let generator = "the generator alone"
  static let sqlite = "SQLite, main file"
  static let scan = "every event read"
  static let scanningOpen = "every sidecar missing, to read"

  func run(round: Int) throws {
    defer { bench.removeStore("store") }
    let settings = Settings([
      "count": arguments.events, "seed": arguments.seed, "path": path, "segmentSize": arguments.segmentSize,
    ])
    bench.report(round, "latency: \(Self.append)")
    try bench.settle()
    let appended = try bench.run(.latency, settings)
    bench.results.add(appended, .latency, Self.append, round: round)
    if round == 1 {
      bench.report(round, "latency: \(Self.generator)")
      let alone = try bench.run(.generator, settings)
      try bench.require(alone.digest == appended.digest, "the generator did not make the same events twice")
      bench.results.add(alone, .latency, Self.generator, round: round)
    }
    if arguments.parts.contains(.opening) { try open(appended, round) }
    bench.removeStore("store")
    if round == 1, arguments.parts.contains(.opening) { try measureSQLite(appended, round) }
  }

  private func measureSQLite(_ appended: Findings, _ round: Int) throws {
    bench.report(round, "opening: \(Self.sqlite)")
    defer { bench.removeStore("database") }
    let findings = try bench.run(
      .sqliteSize, bench.fill("database", count: arguments.sqliteEvents))
    if arguments.sqliteEvents == arguments.events {
      try bench.require(
        findings.digest == appended.digest, "the engines do not hold the same events")
    }
    bench.results.add(findings, .opening, Self.sqlite, round: round)
  }

  // MARK: Opening

  /// How a ledger is found and what for; a row of the table for each temperature of the page cache.
  static let ways = [
    scanningOpen, "clean, to read", "clean, to append", "killed, to read",
    "killed, to append",
  ]

  static func title(_ way: String, cold: Bool) -> String { "\(way), \(cold ? "cold" : "warm")" }

  /// The page cache's temperatures; the other works of a machine where CI runs are left alone.
  private func dropsCaches() -> Bool { !arguments.isQuick && SystemCall.dropCaches() }

  private func open(_ appended: Findings, _ round: Int) throws {
    var opening = Opening(part: self, round: round, rows: arguments.events)
    let isDroppable = dropsCaches()
    if !isDroppable { SystemCall.report("the page cache cannot be emptied: no cold rows") }
    let temperatures = isDroppable ? [false, true] : [false]
    // The first one warms the cache.
    try opening.scan(cold: isDroppable, isCounted: isDroppable)
    try opening.scan(cold: false)
    try opening.requirePrefix(appended)
    for cold in temperatures { try opening.open("clean, to read", cold: cold) }
    try withoutSidecars {
      for cold in temperatures { try opening.open(Self.scanningOpen, cold: cold) }
    }
    for cold in temperatures { try opening.open("clean, to append", cold: cold) }
    for cold in temperatures {
      try opening.kill()
      try opening.open("killed, to read", cold: cold)
      try opening.open("killed, to append", cold: cold)
    }
    try opening.requirePrefix(appended)
  }

  private func withoutSidecars(_ body: () throws -> Void) throws {
    let aside = bench.path("sidecars")
    let names = SystemCall.entries(path).filter { $0.hasSuffix(".idx") }
    try SystemCall.makeDirectory(aside)
    for name in names { try SystemCall.move("\(path)/\(name)", to: "\(aside)/\(name)") }
    try body()
    for name in names { try SystemCall.move("\(aside)/\(name)", to: "\(path)/\(name)") }
    SystemCall.removeTree(aside)
  }

  /// One ledger that is opened in many ways.
  private struct Opening {
    let part: LatencyPart
    let round: Int
    /// How many events it should hold.
    var rows: Int
    private var streams = 0
    private var bench: Bench { part.bench }

    init(part: LatencyPart, round: Int, rows: Int) {
      self.part = part
      self.round = round
      self.rows = rows
    }

    private mutating func nextStream() -> Int {
      streams += 1
      return streams
    }

    func scan(cold: Bool, isCounted: Bool = true) throws {
      let title = LatencyPart.title(LatencyPart.scan, cold: cold)
      bench.report(round, "opening: \(title)\(isCounted ? "" : " to warm the cache")")
      if cold, !SystemCall.dropCaches() { throw BenchmarkError("the page cache cannot be emptied") }
      let findings = try bench.run(.scan, Settings(["path": part.path]))
      try bench.require(findings["rows"] == Double(rows), "the ledger does not hold \(rows) events")
      if isCounted { bench.results.add(findings, .opening, title, round: round) }
    }

    mutating func open(_ way: String, cold: Bool) throws {
      let title = LatencyPart.title(way, cold: cold)
      bench.report(round, "opening: \(title)")
      let isForWriting = way.hasSuffix("to append")
      try bench.settle()
      if cold, !SystemCall.dropCaches() { throw BenchmarkError("the page cache cannot be emptied") }
      let findings = try bench.run(
        .open,
        Settings([
          "path": part.path, "seed": part.arguments.seed, "forWriting": isForWriting ? 1 : 0,
          "extra": nextStream(),
        ]))
      if isForWriting { rows += 1 }
      try bench.require(findings["rows"] == Double(rows), "\(title): the ledger does not hold \(rows) events")
      bench.results.add(findings, .opening, title, round: round)
    }

    mutating func kill() throws {
      let count = part.arguments.killedEvents
      let findings = try bench.run(
        .more,
        Settings([
          "path": part.path, "seed": part.arguments.seed, "count": count, "extra": nextStream(),
        ]), isKilled: true)
      rows += count
      try bench.require(findings["rows"] == Double(rows), "the ledger did not take \(count) more events")
    }

    /// That the events of the first process are there as they were appended, and so many in all.
    func requirePrefix(_ appended: Findings) throws {
      let found = try bench.run(
        .prefix, Settings(["path": part.path, "through": part.arguments.events]))
      try bench.require(
        found.digest == appended.digest && found["rows"] == Double(part.arguments.events)
          && found["latest"] == Double(rows),
        "the ledger does not hold the events that were appended")
    }
  }
}
