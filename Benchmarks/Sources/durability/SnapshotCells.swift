internal import AgentEvents
internal import Harness
internal import LogEngine
internal import RunLedger
internal import Synchronization

/// Fills a store, 1,000 events a commit: the ledger up to so many bytes, SQLite with so many events.
struct FillCell {
  let path: String
  let seed: UInt64
  let bytes: Int
  let count: Int
  let segmentSize: Int

  init(_ settings: Settings) throws {
    path = try settings.text("path")
    seed = try settings.seed()
    bytes = try settings.number("bytes")
    segmentSize = try settings.number("segmentSize")
    count = try settings.number("count")
  }

  func runLedger(_ findings: inout Findings) throws {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = .never
    options.segmentSize = UInt64(segmentSize)
    let ledger = try Ledger.open(at: path, options: options)
    var events = EventGenerator(seed: seed)
    while ledger.size.bytes < UInt64(bytes) { try ledger.extend(events.take(1000)) }
    findings["rows"] = Double(events.count)
    findings["bytes"] = Double(ledger.size.bytes)
    findings["segments"] = Double(ledger.size.segments)
    try ledger.close()
  }

  func runSQLite(_ findings: inout Findings) throws {
    let engine = try SQLiteEngine(creating: path, .unsynced, byteCount: 0)
    var events = EventGenerator(seed: seed)
    var digest = RowDigest()
    while events.count < count {
      let chunk = events.take(min(4000, count - events.count))
      for event in chunk { digest.add(event) }
      engine.stage(chunk)
      try engine.commit(batchSize: 1000)
    }
    engine.stage([])
    try engine.checkpoint()
    findings["rows"] = Double(events.count)
    findings["bytes"] = SystemCall.length(path).map { Double($0) }
    findings.digest = digest.value
    try engine.close()
  }
}

/// Copies a store that nobody else uses.
struct SnapshotCell {
  let path: String
  let copy: String

  init(_ settings: Settings) throws {
    path = try settings.text("path")
    copy = try settings.text("copy")
  }

  func run(_ findings: inout Findings) throws {
    let ledger = try Ledger.open(at: path)
    let start = SystemCall.nanoseconds()
    try ledger.snapshot(to: copy)
    findings["seconds"] = SystemCall.seconds(since: start)
    findings["rows"] = Double(ledger.eventCount)
    try ledger.close()
  }

  func runSQLite(_ findings: inout Findings) throws {
    let engine = try SQLiteEngine(opening: path, forWriting: true)
    let start = SystemCall.nanoseconds()
    try engine.backUp(to: copy)
    findings["seconds"] = SystemCall.seconds(since: start)
    try engine.close()
  }
}

/// Takes snapshots while threads append under `.always`, one event an append.
struct LoadCell {
  let path: String
  /// Snapshots go to this with their number behind.
  let copy: String
  let seed: UInt64
  let appenders: Int
  let snapshots: Int
  /// How long the appenders are left alone before each snapshot and behind the last one.
  let pauseMilliseconds: Int

  init(_ settings: Settings) throws {
    path = try settings.text("path")
    copy = try settings.text("copy")
    seed = try settings.seed()
    appenders = try settings.number("appenders")
    snapshots = try settings.number("snapshots")
    pauseMilliseconds = try settings.number("pause")
  }

  /// Where the snapshots stand: 0 before the first, odd while one is taken, `isOver` when the appenders are to end.
  private final class Phase: Sendable {
    let number = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
  }

  private struct Outcome {
    /// Appends that a snapshot touched, and the others.
    var during = Histogram()
    var without = Histogram()
    var failure: (any Error)?

    mutating func add(_ other: Outcome) {
      during.add(other.during)
      without.add(other.without)
      failure = failure ?? other.failure
    }
  }

  func run(_ findings: inout Findings) throws {
    let ledger = try Ledger.open(at: path)
    let countBefore = ledger.eventCount
    let phase = Phase()
    let outcome = Shared(Outcome())
    let taken = Shared(Result<Findings, any Error>.success(Findings()))
    let (cell, appenders, seed) = (self, appenders, seed)
    try SystemCall.inThreads(appenders + 1) { number in
      // The last thread takes the snapshots.
      if number == appenders {
        let result = Result { try cell.takeSnapshots(of: ledger, phase) }
        phase.isOver.store(true, ordering: .releasing)
        taken.value.withLock { $0 = result }
      } else {
        let part = Self.append(to: ledger, extra: number + 1, seed, phase)
        outcome.value.withLock { $0.add(part) }
      }
    }
    findings = try taken.value.withLock { try $0.get() }
    let all = outcome.value.withLock { $0 }
    if let failure = all.failure { throw failure }
    let appended = Int(all.during.count + all.without.count)
    guard ledger.eventCount == countBefore + appended else {
      throw BenchmarkError("the ledger does not hold what was appended")
    }
    all.during.report(as: "during") { findings[$0] = $1 }
    all.without.report(as: "without") { findings[$0] = $1 }
    findings["appendsDuring"] = Double(all.during.count)
    findings["appendsWithout"] = Double(all.without.count)
    findings["rows"] = Double(ledger.eventCount)
    try ledger.close()
  }

  private func takeSnapshots(of ledger: Ledger, _ phase: Phase) throws -> Findings {
    var findings = Findings()
    var longest = 0.0
    for number in 0..<snapshots {
      SystemCall.sleep(milliseconds: pauseMilliseconds)
      let acknowledged = ledger.durableOffset
      phase.number.add(1, ordering: .sequentiallyConsistent)
      let start = SystemCall.nanoseconds()
      try ledger.snapshot(to: "\(copy)\(number)")
      let seconds = SystemCall.seconds(since: start)
      phase.number.add(1, ordering: .sequentiallyConsistent)
      longest = max(longest, seconds)
      findings["seconds.\(number)"] = seconds
      findings["from.\(number)"] = Double(acknowledged.rawValue)
      findings["through.\(number)"] = Double(ledger.latestOffset.rawValue)
    }
    SystemCall.sleep(milliseconds: pauseMilliseconds)
    findings["longestSeconds"] = longest
    return findings
  }

  private static func append(to ledger: Ledger, extra number: Int, _ seed: UInt64, _ phase: Phase) -> Outcome
  {
    var outcome = Outcome()
    var events = EventGenerator(extra: number, seed: seed)
    do {
      while !phase.isOver.load(ordering: .acquiring), let event = events.next() {
        let phaseBefore = phase.number.load(ordering: .sequentiallyConsistent)
        let before = SystemCall.nanoseconds()
        try ledger.append(event)
        let nanoseconds = SystemCall.nanoseconds() - before
        let phaseAfter = phase.number.load(ordering: .sequentiallyConsistent)
        if phaseBefore % 2 == 1 || phaseBefore != phaseAfter {
          outcome.during.add(nanoseconds)
        } else {
          outcome.without.add(nanoseconds)
        }
      }
    } catch {
      outcome.failure = error
    }
    return outcome
  }
}
