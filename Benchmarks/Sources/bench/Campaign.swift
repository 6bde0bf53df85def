internal import Harness

/// Measures everything in every round, in processes of their own, and compares what the engines hold and answer.
struct Campaign {
  let arguments: Arguments
  private(set) var results = Results()
  private var bench: StoreBench
  private let trace: SyncTrace?

  init(_ arguments: Arguments) throws {
    self.arguments = arguments
    bench = StoreBench(arguments)
    SystemCall.removeTree(arguments.directory)
    try SystemCall.makeDirectory(arguments.directory)
    trace = SyncTrace(in: arguments.directory)
  }

  /// How often a store held what was appended, or an engine answered as the others did.
  var agreements: Int { bench.agreements }

  mutating func run() throws {
    defer { SystemCall.removeTree(arguments.directory) }
    if trace == nil { SystemCall.report("strace is missing or may not trace: syncs are not counted") }
    for round in 1...arguments.rounds {
      var measured: Set<String> = []
      for events in arguments.events {
        for workload in Workload.allCases where isWanted(workload) {
          let count = plannedCount(workload, events)
          // What takes no more events than before would be the same row again.
          guard measured.insert("\(workload.rawValue) \(count)").inserted else { continue }
          for contender in contenders(workload, round) {
            SystemCall.report(
              "round \(round)/\(arguments.rounds): \(workload.rawValue), \(Layout.grouped(count)) events, \(contender.title)"
            )
            let findings = try measure(workload, contender, count, round)
            results.add(findings, workload, contender, events: count, round: round)
          }
        }
        bench.removeStores()
      }
    }
  }

  private func isWanted(_ workload: Workload) -> Bool {
    guard arguments.workloads.contains(workload) else { return false }
    // The other works of a machine where CI runs keep their page cache.
    let isCold = workload == .coldRead || workload == .coldAppend
    return !isCold || !arguments.isQuick && SystemCall.mayDropCaches()
  }

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
    _ workload: Workload, _ contender: Contender, _ count: Int, _ round: Int
  ) throws -> Findings {
    let engine = contender.engine
    switch workload.shape {
    case .fill(let policy, let batch):
      if workload == .batchedNever, engine != .disk { return try bench.fillStore(engine, count) }
      return try bench.fillAside(engine, policy, batch, count)
    case .concurrent(let appenders):
      var findings = try bench.concurrent(contender, appenders, count)
      if let trace, round == 1 {
        let traced = try bench.concurrent(
          contender, appenders, max(appenders, count / 4), tracer: trace.tracer)
        findings[.syncs] = Double(try trace.count()) / (try traced.value(Metric.count.rawValue))
      }
      return findings
    case .onStore: return try bench.measure(workload, engine, count)
    }
  }
}
