internal import Harness

/// Measures everything in every round, in processes of their own, and compares what the engines hold and answer.
struct Campaign {
  let arguments: Arguments
  private(set) var results = Results()
  /// How many stores hold what was appended, and how many answers agree.
  private(set) var agreements = 0
  /// What a workload answered on so many events, whichever engine it was asked of.
  private var answers: [String: UInt64] = [:]

  init(_ arguments: Arguments) { self.arguments = arguments }

  mutating func run() throws {
    SystemCall.removeTree(arguments.directory)
    try SystemCall.makeDirectory(arguments.directory)
    defer { SystemCall.removeTree(arguments.directory) }
    for round in 1...arguments.rounds {
      var measured: Set<String> = []
      for events in arguments.events {
        var stores: [EngineName: Store] = [:]
        for workload in Workload.allCases where isWanted(workload) {
          let count = plannedCount(workload, events)
          // What takes no more events than before would be the same row again.
          guard measured.insert("\(workload.rawValue) \(count)").inserted else { continue }
          for contender in contenders(workload, round) {
            SystemCall.report(
              "round \(round)/\(arguments.rounds): \(workload.rawValue), \(Layout.grouped(count)) events, \(contender.title)"
            )
            try measure(workload, contender, count, round, &stores)
          }
        }
        for store in stores.values { SystemCall.removeTree(store.path) }
      }
    }
  }

  /// A store that stays for workloads to come.
  private struct Store {
    var path: String
    var count: Int
    var runs: Int
  }

  private func isWanted(_ workload: Workload) -> Bool {
    arguments.workloads.contains(workload) && !Self.missing.contains(workload)
  }

  /// Not written yet.
  private static let missing: Set<Workload> = [
    .concurrent1, .concurrent8, .concurrent64, .duplicate, .verify, .recovery, .snapshot, .reopenRead,
    .reopenAppend, .killedRead, .killedAppend, .mixed, .retention,
  ]

  private func plannedCount(_ workload: Workload, _ events: Int) -> Int {
    switch workload.shape {
    case .fill(.always, 1): min(events, arguments.syncedEvents)
    case .concurrent(let appenders):
      min(events, arguments.syncedEvents * (appenders == 1 ? 1 : appenders == 8 ? 2 : 4))
    default: events
    }
  }

  /// Each round starts with another one.
  private func contenders(_ workload: Workload, _ round: Int) -> [Contender] {
    var all: [Contender] = []
    for engine in workload.engines where arguments.engines.contains(engine) {
      all.append(Contender(engine: engine))
      guard case .concurrent(let appenders) = workload.shape else { continue }
      if engine == .ledger { all.append(Contender(engine: engine, style: .tasks)) }
      if engine == .sqlite, appenders > 1 { all.append(Contender(engine: engine, style: .mutex)) }
    }
    guard !all.isEmpty else { return [] }
    let shift = (round - 1) % all.count
    return Array(all[shift...] + all[..<shift])
  }

  private mutating func measure(
    _ workload: Workload, _ contender: Contender, _ events: Int, _ round: Int,
    _ stores: inout [EngineName: Store]
  ) throws {
    let engine = contender.engine
    switch workload.shape {
    case .fill(let policy, let batch):
      let isKept = workload == .batchedNever && engine != .disk
      let path = "\(arguments.directory)/\(isKept ? engine.rawValue : "fill")"
      let findings = try fill(engine, path, policy, batch, events)
      results.add(findings, workload, contender, events: events, round: round)
      if isKept {
        stores[engine] = Store(
          path: path, count: try findings.count(Metric.count.rawValue), runs: try findings.count("runs"))
      } else {
        SystemCall.removeTree(path)
      }
    case .concurrent: break
    case .onStore:
      if stores[engine] == nil {
        let path = "\(arguments.directory)/\(engine.rawValue)"
        let findings = try fill(engine, path, .never, 1000, events)
        stores[engine] = Store(
          path: path, count: try findings.count(Metric.count.rawValue), runs: try findings.count("runs"))
      }
      guard let store = stores[engine] else { return }
      let findings = try cell(
        .read, engine, store.path, store.count, ["workload": workload.rawValue, "runs": store.runs])
      try agree("\(workload.rawValue) of \(store.count) events", findings.digest)
      results.add(findings, workload, contender, events: events, round: round)
    }
  }

  /// Fills a store and reads it back.
  private mutating func fill(
    _ engine: EngineName, _ path: String, _ policy: Policy, _ batch: Int, _ count: Int
  ) throws -> Findings {
    let findings = try cell(.append, engine, path, count, ["policy": policy.rawValue, "batch": batch])
    let check = try cell(.check, engine, path, count, ["ordered": 1])
    guard check.digest == findings.digest, check[.count] == findings[.count] else {
      throw BenchmarkError("\(engine.title) does not hold the events that were appended")
    }
    agreements += 1
    return findings
  }

  /// That whoever was asked the same answered the same.
  private mutating func agree(_ question: String, _ digest: UInt64) throws {
    guard answers[question, default: digest] == digest else {
      throw BenchmarkError("engines answer differently: \(question)")
    }
    answers[question] = digest
    agreements += 1
  }

  private func cell(
    _ cell: BenchCell, _ engine: EngineName, _ path: String, _ count: Int,
    _ more: KeyValuePairs<String, any CustomStringConvertible>
  ) throws -> Findings {
    if !arguments.isQuick { try SystemCall.settle(in: arguments.directory) }
    defer { SystemCall.removeTree(path + ".warm") }
    let settings = Settings([
      "engine": engine.rawValue, "path": path, "seed": arguments.seed,
      "payload": arguments.payloadByteCount ?? 0,
      "count": count, "limit": arguments.limitSeconds,
    ])
    return try Cell.findings([cell.rawValue] + settings.words + Settings(more).words, in: arguments.directory)
  }
}
