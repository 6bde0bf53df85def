internal import AgentEvents
internal import Harness
internal import RunLedger

/// Opens a store and does the first thing that its kind of user does: reads the first event and its run, or appends.
struct OpenCell {
  let context: CellContext
  /// Which stream the appended event is of, each once for a store; 0 for reading.
  let extra: Int

  init(_ context: CellContext) throws {
    self.context = context
    extra = try context.settings.number("extra")
  }

  func run(_ findings: inout Findings) throws {
    // The library's own first steps are not this store's.
    try context.warmUp(extra > 0 ? .always : .never, events: 100, batchSize: 100)
    var events = extra > 0 ? context.generator(extra: extra) : context.generator()
    let event = events.take(1)
    let memoryBefore = try SystemCall.memory()
    let store = extra > 0 ? try append(event, &findings) : try read(event, &findings)
    let memory = try SystemCall.memory()
    findings[.heap] = Double(memory.anonymous - memoryBefore.anonymous) / Double(context.count)
    findings[.resident] = Double(memory.resident - memoryBefore.resident) / Double(context.count)
    findings[.count] = Double(context.count)
    try store.close()
  }

  private func append(_ event: [Event], _ findings: inout Findings) throws -> any Engine {
    let start = SystemCall.nanoseconds()
    let store = try context.open(.writing(.always))
    let appender = try store.appender()
    try appender.stage(event)
    let stored = try appender.commit(0..<1)
    findings[.seconds] = SystemCall.seconds(since: start)
    guard stored == 1 else { throw BenchmarkError("a new event was not stored") }
    try appender.finish()
    return store
  }

  private func read(_ first: [Event], _ findings: inout Findings) throws -> any Engine {
    let run = EventGenerator.runID(0, seed: context.seed)
    var (digest, runDigest) = (RowDigest(), RowDigest())
    let start = SystemCall.nanoseconds()
    let store = try context.open(.reading)
    try store.scan(after: 0, limit: 1) { digest.add(id: $0, run: $1, payload: $2) }
    try store.read(run: run) { runDigest.add(id: $0, run: $1, payload: $2) }
    findings[.seconds] = SystemCall.seconds(since: start)
    var expected = RowDigest()
    expected.add(first[0])
    guard digest.value == expected.value, runDigest.count > 0 else {
      throw BenchmarkError("\(context.path): the first event or its run is not what was stored")
    }
    findings.digest = runDigest.value
    return store
  }
}

/// Appends more events without a sync, and is killed.
struct KillCell {
  let context: CellContext

  /// The process ends here; what it found is written before.
  func run(reportingTo report: String) throws -> Never {
    let more = try context.settings.number("more")
    var events = context.generator(extra: try context.settings.number("extra"))
    let store = try context.open(.writing(.never))
    let appender = try store.appender()
    while events.count < more {
      let chunk = events.take(min(context.chunkCount, more - events.count))
      try appender.stage(chunk)
      for index in chunk.indices { try appender.commit(index..<index + 1) }
    }
    var findings = Findings()
    findings[.count] = Double(events.count)
    try SystemCall.write(findings.text, to: report)
    SystemCall.killSelf()
  }
}
