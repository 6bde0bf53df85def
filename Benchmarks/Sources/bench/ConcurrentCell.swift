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
    /// A sum of digests, since nobody knows the order.
    var digest: UInt64 = 0

    var count: Int { Int(latencies.count) }

    mutating func add(from before: UInt64, to after: UInt64) {
      latencies.add(after - before)
      start = min(start, before)
      end = max(end, after)
    }

    mutating func add(_ other: Turn) {
      latencies.add(other.latencies)
      start = min(start, other.start)
      end = max(end, other.end)
      digest &+= other.digest
    }

    func isOver(_ limit: UInt64) -> Bool { end > start && end - start > limit }

    /// An appender has appended the first events of its part.
    mutating func finish(_ events: ArraySlice<Event>) {
      digest = events.prefix(count).reduce(0) { $0 &+ RowDigest.unordered($1) }
    }
  }

  func run(_ findings: inout Findings) async throws {
    var generator = context.generator()
    let events = generator.take(context.count)
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
      turn = try inThreads(events, parts) { part, number in try own[part].commit(number..<number + 1) }
      for appender in own { try appender.finish() }
    case .mutex:
      let appender = try engine.appender()
      try appender.stage(events)
      let shared = Shared(appender)
      turn = try inThreads(events, parts) { part, number in
        let index = parts[part].lowerBound + number
        try shared.value.withLock { _ = try $0.commit(index..<index + 1) }
      }
      try shared.value.withLock { try $0.finish() }
    case .tasks:
      turn = try await inTasks(engine, parts.map { events[$0] })
    }
    try engine.close()
    findings.digest = turn.digest
    findings[.count] = Double(turn.count)
    findings[.rate] = Double(turn.count) / (Double(turn.end - turn.start) / 1e9)
    turn.latencies.report(to: &findings)
  }

  // MARK: Appending

  /// Appends the events of each part, in a thread of its own: `append` is told the part and the event's number in it.
  private func inThreads(
    _ events: [Event], _ parts: [Range<Int>], _ append: @escaping @Sendable (Int, Int) throws -> Void
  ) throws -> Turn {
    let gate = Gate(parts.count)
    let limit = context.limitNanoseconds
    let outcome = Shared<(turn: Turn, failure: (any Error)?)>((Turn(), nil))
    try SystemCall.inThreads(parts.count) { part in
      var turn = Turn()
      gate.pass()
      do {
        for number in 0..<parts[part].count where !turn.isOver(limit) {
          let before = SystemCall.nanoseconds()
          try append(part, number)
          turn.add(from: before, to: SystemCall.nanoseconds())
        }
      } catch {
        outcome.value.withLock { $0.failure = error }
      }
      turn.finish(events[parts[part]])
      let finished = turn
      outcome.value.withLock { $0.turn.add(finished) }
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

  private func inTasks(_ engine: any Engine, _ parts: [ArraySlice<Event>]) async throws -> Turn {
    let appenders = try parts.map { part in
      guard let appender = try engine.appender() as? any AsyncAppender else {
        throw BenchmarkError("the engine has no asynchronous interface")
      }
      try appender.stage(Array(part))
      return appender
    }
    SystemCall.markTrace()
    defer { SystemCall.markTrace() }
    let limit = context.limitNanoseconds
    return try await withThrowingTaskGroup(of: Turn.self) { group in
      for (appender, part) in zip(appenders, parts) {
        group.addTask {
          var turn = Turn()
          for number in 0..<part.count where !turn.isOver(limit) {
            let before = SystemCall.nanoseconds()
            try await appender.commit(number)
            turn.add(from: before, to: SystemCall.nanoseconds())
          }
          turn.finish(part)
          return turn
        }
      }
      return try await group.reduce(into: Turn()) { $0.add($1) }
    }
  }
}
