internal import AgentEvents
internal import Harness
internal import RunLedger
internal import Synchronization

/// Takes snapshots while threads append, one event an append, each synced.
struct SnapshotLoadCell {
  let context: CellContext
  /// Snapshots go to this with their number behind.
  private let copy: String
  private let snapshots: Int
  /// How long the appenders are left alone before each snapshot and behind the last one.
  private let pauseMilliseconds: Int
  /// The first of as many streams as there are appenders.
  private let extra: Int
  /// How many events the store holds.
  private let total: Int

  static let appenders = 8

  init(_ context: CellContext) throws {
    self.context = context
    copy = try context.settings.text("copy")
    snapshots = try context.settings.number("snapshots")
    pauseMilliseconds = try context.settings.number("pause")
    extra = try context.settings.number("extra")
    total = try context.settings.number("total")
  }

  /// Where everybody stands.
  private final class Progress: Sendable {
    /// Odd while a snapshot is taken.
    let phase = Atomic<Int>(0)
    let begun = Atomic<Int>(0)
    let acknowledged = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
  }

  private struct Outcome {
    /// Appends that a snapshot touched, and the others.
    var (during, elsewhere) = (Histogram(), Histogram())
    var failure: (any Error)?

    mutating func add(_ other: Outcome) {
      during.add(other.during)
      elsewhere.add(other.elsewhere)
      failure = failure ?? other.failure
    }
  }

  func run(_ findings: inout Findings) throws {
    let store = try context.open(.writing(.always))
    let appenders = try (0..<Self.appenders).map { _ in try store.appender() }
    let progress = Progress()
    let outcome = Shared(Outcome())
    let taken = Shared(Result<Findings, any Error>.success(Findings()))
    let cell = self
    try SystemCall.inThreads(Self.appenders + 1) { number in
      // The last thread takes the snapshots.
      if number == Self.appenders {
        let result = Result { try cell.takeSnapshots(of: store, progress) }
        progress.isOver.store(true, ordering: .releasing)
        taken.value.withLock { $0 = result }
      } else {
        let part = cell.append(to: appenders[number], number, progress)
        outcome.value.withLock { $0.add(part) }
      }
    }
    findings = try taken.value.withLock { try $0.get() }
    let all = outcome.value.withLock { $0 }
    if let failure = all.failure { throw failure }
    all.during.report(to: &findings)
    findings[.elsewhere] = all.elsewhere.value(tenThousandths: 10_000).map { Double($0) / 1000 }
    findings[.count] = Double(context.count)
    findings["appended"] = Double(progress.acknowledged.load(ordering: .acquiring))
    for appender in appenders { try appender.finish() }
    try store.close()
  }

  private func takeSnapshots(of store: any Engine, _ progress: Progress) throws -> Findings {
    var findings = Findings()
    var longest = 0.0
    for number in 0..<snapshots {
      SystemCall.sleep(milliseconds: pauseMilliseconds)
      findings["from.\(number)"] = Double(total + progress.acknowledged.load(ordering: .acquiring))
      progress.phase.add(1, ordering: .sequentiallyConsistent)
      let start = SystemCall.nanoseconds()
      try store.snapshot(to: "\(copy)\(number)")
      longest = max(longest, SystemCall.seconds(since: start))
      progress.phase.add(1, ordering: .sequentiallyConsistent)
      findings["through.\(number)"] = Double(total + progress.begun.load(ordering: .acquiring))
    }
    SystemCall.sleep(milliseconds: pauseMilliseconds)
    findings[.seconds] = longest
    return findings
  }

  private func append(to appender: any Appender, _ number: Int, _ progress: Progress) -> Outcome {
    var outcome = Outcome()
    var events = context.generator(extra: extra + number)
    do {
      while !progress.isOver.load(ordering: .acquiring) {
        try appender.stage(events.take(1))
        let phaseBefore = progress.phase.load(ordering: .sequentiallyConsistent)
        progress.begun.add(1, ordering: .acquiringAndReleasing)
        let before = SystemCall.nanoseconds()
        try appender.commit(0..<1)
        let nanoseconds = SystemCall.nanoseconds() - before
        progress.acknowledged.add(1, ordering: .acquiringAndReleasing)
        let isTouched =
          phaseBefore % 2 == 1 || phaseBefore != progress.phase.load(ordering: .sequentiallyConsistent)
        if isTouched { outcome.during.add(nanoseconds) } else { outcome.elsewhere.add(nanoseconds) }
      }
    } catch {
      outcome.failure = error
    }
    return outcome
  }
}
