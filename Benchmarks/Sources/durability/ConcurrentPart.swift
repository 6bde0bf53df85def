internal import Harness

/// Concurrent appenders, each append synced. Engines take turns, and each round starts with another one.
struct ConcurrentPart {
  static let appenders = [1, 8, 64]

  let bench: Bench

  static func styles(_ appenders: Int) -> [AppenderStyle] {
    AppenderStyle.allCases.filter { appenders > 1 || $0 != .sharedConnection }
  }

  static func title(_ style: AppenderStyle, _ appenders: Int) -> String { "\(style.title), \(appenders)" }

  /// More appenders are quicker together, and a row should last.
  static func count(_ appenders: Int, _ arguments: Arguments) -> Int {
    arguments.syncedEvents * (appenders == 1 ? 1 : appenders == 8 ? 2 : 4)
  }

  func run(round: Int) throws {
    let trace = SyncTrace(in: bench.arguments.directory)
    if trace == nil { SystemCall.report("strace is missing or may not trace: syncs are not counted") }
    for appenders in Self.appenders {
      let styles = Self.styles(appenders)
      let shift = (round - 1) % styles.count
      var digests: Set<UInt64> = []
      for style in styles[shift...] + styles[..<shift] {
        let title = Self.title(style, appenders)
        bench.report(round, "concurrent: \(title)")
        let count = Self.count(appenders, bench.arguments)
        var findings = try measure(style, appenders, count)
        digests.insert(findings.digest)
        if let trace {
          let count = max(appenders * 4, count / 4)
          let traced = try measure(style, appenders, count, tracer: trace.tracer)
          findings["syncsPerAppend"] = Double(try trace.count()) / Double(count)
          findings["tracedRate"] = traced["rate"]
        }
        bench.results.add(findings, .concurrent, title, round: round)
      }
      try bench.require(digests.count == 1, "the engines do not hold the same events")
    }
  }

  private func measure(
    _ style: AppenderStyle, _ appenders: Int, _ count: Int, tracer: [String] = []
  ) throws -> Findings {
    defer { bench.removeStore("store") }
    let path = bench.path("store")
    try bench.settle()
    let findings = try bench.run(
      .concurrent,
      Settings([
        "style": style.rawValue, "appenders": appenders, "count": count, "seed": bench.arguments.seed,
        "path": path,
      ]), tracer: tracer)
    let rows = try bench.run(.rows, Settings(["engine": style.engine.rawValue, "path": path]))
    try bench.require(
      rows["rows"] == Double(count) && rows.digest == findings.digest,
      "\(style.title), \(appenders): the store does not hold the \(count) events that were appended")
    return findings
  }
}
