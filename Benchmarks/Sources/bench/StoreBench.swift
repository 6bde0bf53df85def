internal import Harness

/// The stores that measurements are made on, and the processes that make them.
struct StoreBench {
  private let arguments: Arguments
  private(set) var agreements = 0
  private var stores: [EngineName: Store] = [:]
  /// What was answered to a question, whichever engine it was asked of.
  private var answers: [String: UInt64] = [:]

  init(_ arguments: Arguments) { self.arguments = arguments }

  /// A store that stays for workloads to come.
  private struct Store {
    let path: String
    /// What it was filled with.
    let count: Int
    let runs: Int
    let digest: UInt64
    /// What was appended since, and how many streams of events that took.
    var more = 0
    var streams = 0

    mutating func nextStream() -> Int {
      streams += 1
      return streams
    }
  }

  private func path(_ name: String) -> String { "\(arguments.directory)/\(name)" }

  mutating func removeStores() {
    for store in stores.values { SystemCall.removeTree(store.path) }
    stores = [:]
  }

  // MARK: Filling

  mutating func fillStore(_ engine: EngineName, _ count: Int) throws -> Findings {
    let path = path(engine.rawValue)
    let findings = try fill(engine, path, .never, 1000, count)
    stores[engine] = Store(
      path: path, count: try findings.count(Metric.count.rawValue), runs: try findings.count("runs"),
      digest: findings.digest)
    return findings
  }

  /// A store that is measured and removed.
  mutating func fillAside(
    _ engine: EngineName, _ policy: Policy, _ batch: Int, _ count: Int
  ) throws -> Findings {
    let path = path("aside")
    defer { SystemCall.removeTree(path) }
    return try fill(engine, path, policy, batch, count)
  }

  private mutating func fill(
    _ engine: EngineName, _ path: String, _ policy: Policy, _ batch: Int, _ count: Int
  ) throws -> Findings {
    let findings = try run(.append, engine, path, count, ["policy": policy.rawValue, "batch": batch])
    try check(
      engine, path, findings.count(Metric.count.rawValue), findings.digest,
      in: findings.count(Metric.count.rawValue))
    return findings
  }

  mutating func concurrent(
    _ contender: Contender, _ appenders: Int, _ count: Int, tracer: [String] = []
  ) throws -> Findings {
    let path = path("aside")
    defer { SystemCall.removeTree(path) }
    let findings = try run(
      .concurrent, contender.engine, path, count,
      ["style": contender.style.rawValue, "appenders": appenders], tracer: tracer)
    let stored = try findings.count(Metric.count.rawValue)
    try check(contender.engine, path, stored, findings.digest, in: stored, isOrdered: false)
    return findings
  }

  // MARK: Using what was filled

  mutating func measure(_ workload: Workload, _ engine: EngineName, _ count: Int) throws -> Findings {
    if stores[engine] == nil { _ = try fillStore(engine, count) }
    guard var store = stores[engine] else { throw BenchmarkError("there is no store") }
    defer { stores[engine] = store }
    switch workload {
    case .duplicate:
      let findings = try run(.duplicate, engine, store.path, store.count)
      try check(engine, store)
      return findings
    case .verify: return try run(.verify, engine, store.path, store.count)
    case .recovery: return try run(.recovery, engine, store.path, store.count)
    case .snapshot: return try snapshot(engine, store)
    case .reopenRead, .killedRead, .coldRead, .reopenAppend, .killedAppend, .coldAppend:
      return try open(workload, engine, &store)
    case .snapshotLoad: return try load(engine, &store)
    case .mixed:
      let findings = try run(.mixed, engine, store.path, store.count, ["extra": store.nextStream()])
      store.more += try findings.count("stored")
      try check(engine, store)
      return findings
    case .retention: return try run(.retention, engine, store.path, store.count)
    default:
      let findings = try run(
        .read, engine, store.path, store.count, ["workload": workload.rawValue, "runs": store.runs])
      try agree("\(workload.rawValue) of \(store.count) events", findings.digest)
      return findings
    }
  }

  private mutating func snapshot(_ engine: EngineName, _ store: Store) throws -> Findings {
    let copy = path("copy")
    defer { SystemCall.removeTree(copy) }
    let findings = try run(.snapshot, engine, store.path, store.count, ["copy": copy])
    try check(engine, copy, store.count, store.digest, in: store.count + store.more)
    return findings
  }

  private mutating func open(
    _ workload: Workload, _ engine: EngineName, _ store: inout Store
  ) throws -> Findings {
    let isAppend = [.reopenAppend, .killedAppend, .coldAppend].contains(workload)
    if workload == .killedRead || workload == .killedAppend {
      let more = max(100, min(50_000, store.count / 20))
      _ = try run(
        .kill, engine, store.path, store.count, ["extra": store.nextStream(), "more": more], isKilled: true)
      store.more += more
    }
    if workload == .coldRead || workload == .coldAppend { try SystemCall.dropCaches() }
    let findings = try run(
      .open, engine, store.path, store.count, ["extra": isAppend ? store.nextStream() : 0])
    if isAppend { store.more += 1 } else { try agree("first run of \(store.count) events", findings.digest) }
    try check(engine, store)
    return findings
  }

  /// Each snapshot must end neither before what was acknowledged when it began nor behind what was begun when it was done,
  /// and be exactly what the store begins with.
  private mutating func load(_ engine: EngineName, _ store: inout Store) throws -> Findings {
    let snapshots = arguments.isQuick ? 2 : 5
    let copy = path("copy")
    defer { for number in 0..<snapshots { SystemCall.removeTree("\(copy)\(number)") } }
    let first = store.nextStream()
    for _ in 1..<SnapshotLoadCell.appenders { _ = store.nextStream() }
    let findings = try run(
      .load, engine, store.path, store.count,
      [
        "copy": copy, "snapshots": snapshots, "pause": arguments.isQuick ? 100 : 2000, "extra": first,
        "total": store.count + store.more,
      ])
    store.more += try findings.count("appended")
    for number in 0..<snapshots {
      let end = try run(.check, engine, "\(copy)\(number)", 0, ["ordered": 1]).count(Metric.count.rawValue)
      guard end >= (try findings.count("from.\(number)")), end <= (try findings.count("through.\(number)"))
      else { throw BenchmarkError("a snapshot does not end where the store did") }
      let digest = try run(.check, engine, store.path, end, ["ordered": 1]).digest
      try check(engine, "\(copy)\(number)", end, digest, in: end)
    }
    return findings
  }

  // MARK: Comparing

  private mutating func check(_ engine: EngineName, _ store: Store) throws {
    try check(engine, store.path, store.count, store.digest, in: store.count + store.more)
  }

  /// That a store holds so many events in all, and that its first ones are those of a digest.
  private mutating func check(
    _ engine: EngineName, _ path: String, _ count: Int, _ digest: UInt64, in total: Int,
    isOrdered: Bool = true
  ) throws {
    let found = try run(.check, engine, path, count, ["ordered": isOrdered ? 1 : 0])
    guard found.digest == digest, found[.count] == Double(total) else {
      throw BenchmarkError("\(engine.title) does not hold the events that were appended")
    }
    agreements += 1
  }

  /// That whoever was asked the same answered the same.
  private mutating func agree(_ question: String, _ digest: UInt64) throws {
    guard answers[question, default: digest] == digest else {
      throw BenchmarkError("engines answer differently: \(question)")
    }
    answers[question] = digest
    agreements += 1
  }

  // MARK: Processes

  private func run(
    _ cell: BenchCell, _ engine: EngineName, _ path: String, _ count: Int,
    _ more: KeyValuePairs<String, any CustomStringConvertible> = [:], isKilled: Bool = false,
    tracer: [String] = []
  ) throws -> Findings {
    // A comparison is not timed.
    if !arguments.isQuick, cell != .check { try SystemCall.settle(in: arguments.directory) }
    defer { SystemCall.removeTree(path + ".warm") }
    let settings = Settings([
      "engine": engine.rawValue, "path": path, "seed": arguments.seed,
      "payload": arguments.payloadByteCount ?? 0, "count": count, "limit": arguments.limitSeconds,
    ])
    return try Cell.findings(
      [cell.rawValue] + settings.words + Settings(more).words, in: arguments.directory, isKilled: isKilled,
      tracer: tracer)
  }
}
