internal import AgentEvents
internal import Harness
internal import LogEngine
internal import RunLedger
internal import Synchronization

/// Who appends to what, and how.
enum AppenderStyle: String, CaseIterable {
  case threads, tasks, connections, sharedConnection

  var engine: EngineName {
    switch self {
    case .threads, .tasks: .ledger
    case .connections, .sharedConnection: .sqlite
    }
  }

  var title: String {
    switch self {
    case .threads: "RunLedger .always, threads"
    case .tasks: "RunLedger .always, tasks"
    case .connections: "SQLite FULL, a connection each"
    case .sharedConnection: "SQLite FULL, one behind a mutex"
    }
  }
}

/// So many appenders at once, one event an append, each of them synced; every appender has runs of its own.
struct ConcurrentCell {
  let style: AppenderStyle
  let appenders: Int
  let count: Int
  let seed: UInt64
  let path: String

  init(_ settings: Settings) throws {
    guard let style = AppenderStyle(rawValue: try settings.text("style")) else {
      throw BenchmarkError("no such style of appending")
    }
    self.style = style
    appenders = try settings.number("appenders")
    count = try settings.number("count")
    seed = try settings.seed()
    path = try settings.text("path")
  }

  /// An event with its time as text, which is the caller's work and not the database's.
  struct Staged: Sendable {
    var event: Event
    var createdAt: String
  }

  /// What one appender saw.
  struct Turn: Sendable {
    var latencies = Histogram()
    var start: UInt64 = .max
    var end: UInt64 = 0

    mutating func add(from before: UInt64, to after: UInt64) {
      latencies.add(after - before)
      start = min(start, before)
      end = max(end, after)
    }

    mutating func add(_ other: Turn) {
      latencies.add(other.latencies)
      start = min(start, other.start)
      end = max(end, other.end)
    }
  }

  func run(_ findings: inout Findings) async throws {
    var generator = EventGenerator(seed: seed)
    let events = generator.take(count)
    // Sums of digests, since nobody knows the order.
    findings.digest = events.reduce(0) { $0 &+ RowDigest.unordered($1) }
    let staged = events.map { Staged(event: $0, createdAt: $0.createdAt.description) }
    let parts = (0..<appenders).map {
      Array(staged[count * $0 / appenders..<count * ($0 + 1) / appenders])
    }
    try style.engine.warmUp(
      beside: path, .synced, byteCount: 1 << 20, events: 100, batchSize: 1, seed: seed)
    let turn: Turn
    switch style {
    case .threads:
      let ledger = try Self.createLedger(at: path)
      turn = try Self.inThreads(parts) { _ in { staged in try ledger.append(staged.event) } }
      try Self.close(ledger, holding: count, &findings)
    case .tasks:
      let ledger = try Self.createLedger(at: path)
      turn = try await Self.inTasks(parts, ledger)
      try Self.close(ledger, holding: count, &findings)
    case .connections:
      let first = try SQLiteEngine(creating: path, .synced, byteCount: 0)
      let path = path
      turn = try Self.inThreads(parts) { _ in
        let engine = try SQLiteEngine(joining: path)
        return { staged in try engine.insert(staged.event, createdAt: staged.createdAt) }
      }
      try first.close()
    case .sharedConnection:
      let shared = Shared(try SQLiteEngine(creating: path, .synced, byteCount: 0))
      turn = try Self.inThreads(parts) { _ in
        { staged in
          try shared.value.withLock { try $0.insert(staged.event, createdAt: staged.createdAt) }
        }
      }
      try shared.value.withLock { try $0.close() }
    }
    guard turn.latencies.count == count else { throw BenchmarkError("\(path): not every event was appended") }
    findings["rate"] = Double(count) / (Double(turn.end - turn.start) / 1e9)
    turn.latencies.report(as: "append") { findings[$0] = $1 }
  }

  private static func createLedger(at path: String) throws -> Ledger {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    return try Ledger.open(at: path, options: options)
  }

  private static func close(_ ledger: Ledger, holding count: Int, _ findings: inout Findings) throws {
    guard ledger.eventCount == count, ledger.durableOffset == ledger.latestOffset else {
      throw BenchmarkError("the ledger does not hold \(count) durable events")
    }
    try ledger.close()
  }

  // MARK: Appending

  private typealias Append = (Staged) throws -> Void

  /// Appends each part in a thread of its own. `prepare` is called in the thread, before all of them start.
  private static func inThreads(
    _ parts: [[Staged]], _ prepare: @escaping @Sendable (Int) throws -> Append
  ) throws -> Turn {
    let gate = Gate(parts.count)
    let outcome = Shared<(turn: Turn, failure: (any Error)?)>((Turn(), nil))
    try SystemCall.inThreads(parts.count) { number in
      var turn = Turn()
      let append = Result { try prepare(number) }
      gate.pass()
      do {
        let append = try append.get()
        for staged in parts[number] {
          let before = SystemCall.nanoseconds()
          try append(staged)
          turn.add(from: before, to: SystemCall.nanoseconds())
        }
      } catch {
        outcome.value.withLock { $0.failure = error }
      }
      outcome.value.withLock { $0.turn.add(turn) }
    }
    SystemCall.markTrace()
    let (turn, failure) = outcome.value.withLock { $0 }
    if let failure { throw failure }
    return turn
  }

  /// Nobody passes before all have come; the last one marks the start for a tracer.
  private final class Gate: Sendable {
    private let missing: Atomic<Int>

    init(_ count: Int) { missing = Atomic(count) }

    func pass() {
      if missing.load(ordering: .relaxed) == 1 { SystemCall.markTrace() }
      missing.subtract(1, ordering: .acquiringAndReleasing)
      while missing.load(ordering: .acquiring) > 0 { SystemCall.yield() }
    }
  }

  private static func inTasks(_ parts: [[Staged]], _ ledger: Ledger) async throws -> Turn {
    SystemCall.markTrace()
    defer { SystemCall.markTrace() }
    return try await withThrowingTaskGroup(of: Turn.self) { group in
      for part in parts {
        group.addTask {
          var turn = Turn()
          for staged in part {
            let before = SystemCall.nanoseconds()
            try await ledger.append(staged.event)
            turn.add(from: before, to: SystemCall.nanoseconds())
          }
          return turn
        }
      }
      return try await group.reduce(into: Turn()) { $0.add($1) }
    }
  }
}

/// Counts a store's rows and digests them, in no order.
struct RowsCell {
  let engine: EngineName
  let path: String

  init(_ settings: Settings) throws {
    guard let engine = EngineName(rawValue: try settings.text("engine")) else {
      throw BenchmarkError("no such engine")
    }
    self.engine = engine
    path = try settings.text("path")
  }

  func run(_ findings: inout Findings) throws {
    let store = try engine.type.init(opening: path, forWriting: false)
    var (rows, sum) = (0, UInt64(0))
    try store.scan {
      rows += 1
      sum &+= RowDigest.unordered(id: $0, run: $1, payload: $2)
    }
    try store.close()
    findings["rows"] = Double(rows)
    findings.digest = sum
  }
}
