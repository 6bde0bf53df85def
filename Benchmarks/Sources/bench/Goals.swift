internal import Harness

/// What the ledger is to reach, as ratios within one run, and what it reached.
struct Goals {
  let results: Results

  struct Goal {
    var workload: String
    var goal: String
    /// Of how many events.
    var events: Int
    var measured: Sample
    var isMet: Bool
    /// How the measured value is written.
    var text: String
  }

  /// In the order of the issue; those of which nothing was measured are missing.
  var goals: [Goal] { appends + concurrent + reads + openings + bytes + costs }

  /// The goals are for a million events; without them, for what comes nearest to ten million.
  private func row(_ workload: Workload, _ contender: Contender, atLargest: Bool = false) -> Results.Row? {
    let rows = results.rows.filter { $0.workload == workload && $0.contender == contender }
    return (atLargest ? nil : rows.first { $0.events == 1_000_000 }) ?? rows.max { $0.events < $1.events }
  }

  private func ledger(_ workload: Workload, atLargest: Bool = false) -> Results.Row? {
    row(workload, .ledger, atLargest: atLargest)
  }

  // MARK: How many times as fast

  private static let names: [EngineName: String] = [.disk: "raw disk", .sqlite: "SQLite", .lmdb: "LMDB"]

  /// One goal: so many times as fast as the fastest of some others.
  private func times(
    _ least: Double, _ others: [Contender], _ name: String, _ workload: Workload,
    of contender: Contender = .ledger
  ) -> [Goal] {
    guard let mine = row(workload, contender) else { return [] }
    let scores = others.compactMap { results.row(workload, $0, mine.events)?.score }
    guard let first = scores.first else { return [] }
    let ratio = mine.score / scores.dropFirst().reduce(first) { $0.higher($1) }
    guard let median = ratio.median else { return [] }
    return [
      Goal(
        workload: workload.rawValue + (contender == .ledger ? "" : ", \(contender.style.rawValue)"),
        goal: "≥ \(Self.plain(least)) × \(name)", events: mine.events, measured: ratio,
        isMet: median >= least, text: "\(Layout.figure(median)) ×")
    ]
  }

  private func times(_ least: Double, _ engine: EngineName, _ workload: Workload) -> [Goal] {
    times(least, [Contender(engine: engine)], Self.names[engine] ?? engine.title, workload)
  }

  private var appends: [Goal] {
    let peers: [EngineName] = [.sqlite, .lmdb, .leveldb, .rocksdb]
    return times(0.7, .disk, .appendNever) + times(80, .sqlite, .appendNever)
      + times(8, peers.map { Contender(engine: $0) }, "the best peer", .appendNever)
      + times(100, .sqlite, .batchedNever) + times(0.95, .disk, .appendAlways)
      + times(1.5, .sqlite, .appendAlways)
  }

  private var concurrent: [Goal] {
    // Whichever of SQLite's two ways is the quicker.
    let sqlite = [Contender(engine: .sqlite), Contender(engine: .sqlite, style: .mutex)]
    let tasks = Contender(engine: .ledger, style: .tasks)
    return times(12, sqlite, "SQLite, the better way", .concurrent64) + times(1, .disk, .concurrent64)
      + times(40, sqlite, "SQLite, the better way", .concurrent64, of: tasks)
  }

  private var reads: [Goal] {
    times(10, .sqlite, .getHit) + times(2, .lmdb, .getHit) + times(25, .sqlite, .readRun)
      + times(3, .lmdb, .readRun) + times(4, .sqlite, .scan) + times(1, .lmdb, .scan)
  }

  /// A goal's number as the goal has it.
  private static func plain(_ value: Double) -> String {
    value == value.rounded() ? Layout.decimals(value, 0) : "\(value)"
  }

  // MARK: Shares and sizes

  private func atMost(
    _ most: Double, _ goal: String, _ row: Results.Row, _ measured: Sample, _ name: String? = nil,
    _ text: (Double) -> String = Layout.figure
  ) -> [Goal] {
    guard let median = measured.median else { return [] }
    return [
      Goal(
        workload: name ?? row.workload.rawValue, goal: goal, events: row.events, measured: measured,
        isMet: median <= most, text: text(median))
    ]
  }

  private var openings: [Goal] {
    [(Workload.reopenRead, 50.0), (.reopenAppend, 10)].flatMap { workload, share -> [Goal] in
      guard let row = ledger(workload, atLargest: true),
        let scan = results.row(.scan, .ledger, row.events)
      else { return [] }
      let ratio = row[.seconds] / (scan[.count] / scan[.rate])
      return atMost(1 / share, "≤ 1/\(Self.plain(share)) of the full scan", row, ratio) {
        "1/\(Layout.figure(1 / $0))"
      }
    }
  }

  private var bytes: [Goal] {
    [Workload.recovery, .verify].flatMap { workload -> [Goal] in
      guard let row = ledger(workload) else { return [] }
      let share = row[.perCore] / row[.memoryRead]
      guard let rate = row[.perCore].median, let median = share.median else { return [] }
      return [
        Goal(
          workload: workload.rawValue, goal: "≥ 3 GB/s a core, or ≥ 0.5 of a memory read",
          events: row.events, measured: share, isMet: rate >= 3e9 || median >= 0.5,
          text: "\(Layout.figure(rate / 1e9)) GB/s, \(Layout.figure(median)) ×")
      ]
    } + times(200, .sqlite, .snapshot)
  }

  private var costs: [Goal] {
    guard let row = ledger(.appendNever, atLargest: true) else { return [] }
    var goals = atMost(24, "heap ≤ 24 B an event", row, row[.heap])
    if let sqlite = results.row(.appendNever, Contender(engine: .sqlite), row.events) {
      goals += atMost(0.7, "bytes on disk ≤ 0.70 × SQLite", row, row[.disk] / sqlite[.disk]) {
        "\(Layout.figure($0)) ×"
      }
    }
    goals += atMost(20, "p99.9 ≤ 20 × p50", row, row[.p999] / row[.p50]) { "\(Layout.figure($0)) ×" }
    let disk = results.row(.appendNever, Contender(engine: .disk), row.events)?[.max].median
    goals += atMost(5000, "longest ≤ 5 ms, unless the disk caused it", row, row[.max]) {
      "\(Layout.figure($0 / 1000)) ms" + (disk.map { ", raw disk \(Layout.figure($0 / 1000)) ms" } ?? "")
    }
    return goals
  }

  // MARK: As a table

  var table: [[String]] {
    goals.map { goal in
      [
        goal.workload, goal.goal, Layout.grouped(goal.events), goal.text,
        "\(Layout.figure(goal.measured.least))–\(Layout.figure(goal.measured.most))",
        goal.isMet ? "met" : "missed",
      ]
    }
  }

  static let columns = ["workload", "goal", "events", "measured", "min–max", ""]
}
