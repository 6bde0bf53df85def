internal import AgentEvents
internal import Harness
internal import RunLedger
internal import Synchronization

/// So many appenders at once, one event an append, each of them synced.
struct ConcurrentCell {
  let context: CellContext
  let style: Contender.Style
  let appenders: Int

  init(_ context: CellContext) throws {
    self.context = context
    guard let style = Contender.Style(rawValue: try context.settings.text("style")) else {
      throw BenchmarkError("no such style of appending")
    }
    self.style = style
    appenders = try context.settings.number("appenders")
  }

  /// What one appender saw.
  private struct Turn: Sendable {
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
    var generator = context.generator()
    let events = generator.take(context.count)
    // A sum of digests, since nobody knows the order.
    findings.digest = events.reduce(0) { $0 &+ RowDigest.unordered($1) }
    try context.warmUp(.always, events: 100)
    let engine = try context.engine.type.init(
      creating: context.path, .always, byteCount: context.byteCount(of: context.count))
    let parts = (0..<appenders).map { context.count * $0 / appenders..<context.count * ($0 + 1) / appenders }
    let turn: Turn
    switch style {
    case .threads:
      let own = try parts.map { part in
        let appender = try engine.appender()
        try appender.stage(Array(events[part]))
        return appender
      }
      turn = try Self.inThreads(parts) { part, number in try own[part].commit(number..<number + 1) }
      for appender in own { try appender.finish() }
    case .mutex:
      let appender = try engine.appender()
      try appender.stage(events)
      let shared = Shared(appender)
      turn = try Self.inThreads(parts) { part, number in
        let index = parts[part].lowerBound + number
        try shared.value.withLock { _ = try $0.commit(index..<index + 1) }
      }
      try shared.value.withLock { try $0.finish() }
    case .tasks:
      turn = try await Self.inTasks(engine, parts.map { Array(events[$0]) })
    }
    try engine.close()
    guard turn.latencies.count == context.count else {
      throw BenchmarkError("\(context.path): not every event was appended")
    }
    findings[.count] = Double(context.count)
    findings[.rate] = Double(context.count) / (Double(turn.end - turn.start) / 1e9)
    turn.latencies.report(to: &findings)
  }

  // MARK: Appending

  /// Appends the events of each part, in a thread of its own: `append` is told the part and the event's number in it.
  private static func inThreads(
    _ parts: [Range<Int>], _ append: @escaping @Sendable (Int, Int) throws -> Void
  ) throws -> Turn {
    let gate = Gate(parts.count)
    let outcome = Shared<(turn: Turn, failure: (any Error)?)>((Turn(), nil))
    try SystemCall.inThreads(parts.count) { part in
      var turn = Turn()
      gate.pass()
      do {
        for number in 0..<parts[part].count {
          let before = SystemCall.nanoseconds()
          try append(part, number)
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

  private static func inTasks(_ engine: any Engine, _ parts: [[Event]]) async throws -> Turn {
    let appenders = try parts.map { part in
      guard let appender = try engine.appender() as? any AsyncAppender else {
        throw BenchmarkError("the engine has no asynchronous interface")
      }
      try appender.stage(part)
      return appender
    }
    SystemCall.markTrace()
    defer { SystemCall.markTrace() }
    return try await withThrowingTaskGroup(of: Turn.self) { group in
      for (appender, part) in zip(appenders, parts) {
        group.addTask {
          var turn = Turn()
          for number in part.indices {
            let before = SystemCall.nanoseconds()
            try await appender.commit(number)
            turn.add(from: before, to: SystemCall.nanoseconds())
          }
          return turn
        }
      }
      return try await group.reduce(into: Turn()) { $0.add($1) }
    }
  }
}
