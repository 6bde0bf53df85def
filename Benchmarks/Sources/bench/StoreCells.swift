internal import AgentEvents
internal import Harness
internal import LogEngine
internal import RunLedger

/// Appends events that are stored, one by one.
struct DuplicateCell {
  let context: CellContext

  func run(_ findings: inout Findings) throws {
    let store = try context.open(.writing(.never))
    let appender = try store.appender()
    var events = context.generator()
    var stopwatch = Stopwatch()
    let count = min(context.count, 200_000)
    while events.count < count, stopwatch.busy < context.limitNanoseconds / 4 {
      let chunk = events.take(min(context.chunkCount, count - events.count))
      try appender.stage(chunk)
      stopwatch.start()
      for index in chunk.indices {
        guard try appender.commit(index..<index + 1) == 0 else {
          throw BenchmarkError("an event was stored twice")
        }
        stopwatch.lap()
      }
    }
    findings[.rate] = Double(events.count) / (Double(stopwatch.busy) / 1e9)
    stopwatch.latencies.report(to: &findings)
    findings[.count] = Double(context.count)
    try appender.finish()
    try store.close()
  }
}

/// Nine gets of stored events, one append of a new one, and so on.
struct MixedCell {
  let context: CellContext

  func run(_ findings: inout Findings) throws {
    let store = try context.open(.writing(.never))
    let appender = try store.appender()
    let count = min(context.count, 200_000) / 10 * 10
    var events = context.generator(extra: try context.settings.number("extra"))
    try appender.stage(events.take(count / 10))
    let ids = (0..<count).map {
      EventGenerator.eventID(scattered($0, below: context.count), seed: context.seed)
    }
    var (stopwatch, operations, payloadBytes) = (Stopwatch(), 0, 0)
    stopwatch.start()
    while operations < count, stopwatch.busy < context.limitNanoseconds / 4 {
      if operations % 10 == 9 {
        try appender.commit(operations / 10..<operations / 10 + 1)
      } else {
        guard try store.find(id: ids[operations], { payloadBytes += $2.byteCount }) else {
          throw BenchmarkError("the event \(ids[operations]) is missing")
        }
      }
      operations += 1
      stopwatch.lap()
    }
    findings[.rate] = Double(operations) / (Double(stopwatch.busy) / 1e9)
    stopwatch.latencies.report(to: &findings)
    findings[.count] = Double(context.count)
    findings["stored"] = Double(operations / 10)
    try appender.finish()
    try store.close()
  }
}

/// Copies a store that nobody else uses.
struct SnapshotCell {
  let context: CellContext

  func run(_ findings: inout Findings) throws {
    let store = try context.open(.writing(.never))
    let start = SystemCall.nanoseconds()
    try store.snapshot(to: try context.settings.text("copy"))
    findings[.seconds] = SystemCall.seconds(since: start)
    findings[.count] = Double(context.count)
    try store.close()
  }
}

/// Drops the older half of a store, or as much of it as the store drops at once.
struct RetentionCell {
  let context: CellContext

  func run(_ findings: inout Findings) throws {
    let store = try context.open(.writing(.always))
    var before: [UInt64] = []
    try store.scan(after: 0, limit: .max) { before.append(RowDigest.unordered(id: $0, run: $1, payload: $2)) }
    let start = SystemCall.nanoseconds()
    let dropped = try store.drop(through: UInt64(before.count / 2))
    findings[.seconds] = SystemCall.seconds(since: start)
    findings[.rate] = Double(dropped) / (findings[.seconds] ?? 1)
    findings[.count] = Double(dropped)
    var (kept, place) = (true, dropped)
    try store.scan(after: 0, limit: .max) {
      kept =
        kept && place < before.count && before[place] == RowDigest.unordered(id: $0, run: $1, payload: $2)
      place += 1
    }
    guard kept, place == before.count, dropped <= before.count / 2 else {
      throw BenchmarkError("\(context.path): what is left is not the newer events")
    }
    if dropped > 0 {
      let first = EventGenerator.eventID(0, seed: context.seed)
      guard try !store.find(id: first, { _, _, _ in }) else {
        throw BenchmarkError("\(context.path): a dropped event is found by its id")
      }
    }
    try store.close()
  }
}

/// Reads every byte of a ledger, beside a plain read of the same bytes from memory: verified, or opened when no index is
/// there.
struct LedgerReadingCell {
  let context: CellContext
  let isRecovery: Bool

  func run(_ findings: inout Findings) throws {
    let path = context.path
    let names = SystemCall.entries(path)
    let segments = names.filter { $0.hasSuffix(".seg") }.map { "\(path)/\($0)" }
    let store = try LedgerEngine(opening: path, .reading)
    let byteCount = Double(store.ledger.size.bytes)
    try store.close()
    // The first pass finds the pages; it is the second that counts.
    for _ in 0..<2 {
      findings[.memoryRead] = try SystemCall.memoryReadRate(segments.sorted(), byteCount: Int(byteCount))
    }
    let aside = path + ".aside"
    let sidecars = isRecovery ? names.filter { $0.hasSuffix(".idx") } : []
    try SystemCall.makeDirectory(aside)
    for name in sidecars { try SystemCall.move("\(path)/\(name)", to: "\(aside)/\(name)") }
    let (start, processorStart) = (SystemCall.nanoseconds(), SystemCall.processorSeconds())
    let count = isRecovery ? try recover() : Int(try Ledger.verify(at: path).records)
    let seconds = SystemCall.seconds(since: start)
    let processorSeconds = SystemCall.processorSeconds() - processorStart
    for name in sidecars { try SystemCall.move("\(aside)/\(name)", to: "\(path)/\(name)") }
    SystemCall.removeTree(aside)
    guard count == context.count else { throw BenchmarkError("\(path): \(count) events were read") }
    findings[.rate] = byteCount / seconds
    findings[.perCore] = byteCount / processorSeconds
    findings[.seconds] = seconds
    findings[.count] = Double(count)
  }

  private func recover() throws -> Int {
    let store = try LedgerEngine(opening: context.path, .reading)
    try store.scan(after: UInt64(context.count - 1), limit: 1) { _, _, _ in }
    let count = store.ledger.eventCount
    try store.close()
    return count
  }
}
