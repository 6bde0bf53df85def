internal import AgentEvents
internal import Harness
internal import RunLedger

/// Creates a store and fills it, each commit timed.
struct AppendCell {
  let context: CellContext
  let policy: Policy
  let batchSize: Int

  init(_ context: CellContext) throws {
    self.context = context
    guard let policy = Policy(rawValue: try context.settings.text("policy")) else {
      throw BenchmarkError("no such policy")
    }
    self.policy = policy
    batchSize = try context.settings.number("batch")
  }

  func run(_ findings: inout Findings) throws {
    let isSyncedEach = policy == .always && batchSize == 1
    try context.warmUp(
      policy, events: isSyncedEach ? 100 : min(context.count, context.chunkCount), batchSize: batchSize)
    var events = context.generator()
    let engine = try context.engine.type.init(
      creating: context.path, policy, byteCount: context.byteCount(of: context.count))
    let appender = try engine.appender()
    let writtenBefore = try SystemCall.writtenBytes()
    var memoryBefore: SystemCall.Memory?
    var (digest, stopwatch, slowest) = (RowDigest(), Stopwatch(), SlowestCommits())
    var stored = 0
    while stored < context.count, stopwatch.busy < context.limitNanoseconds {
      let chunk = events.take(min(context.chunkCount, context.count - stored))
      try appender.stage(chunk)
      // By now the generator's own memory is in use.
      if memoryBefore == nil { memoryBefore = try SystemCall.memory() }
      slowest.begin()
      stopwatch.start()
      var end = 0
      while end < chunk.count, stopwatch.busy < context.limitNanoseconds {
        let start = end
        end = min(start + batchSize, chunk.count)
        try appender.commit(start..<end)
        let nanoseconds = stopwatch.lap()
        if slowest.takes(nanoseconds) {
          slowest.add(nanoseconds, event: stored + start)
          stopwatch.start()
        }
      }
      for event in chunk[..<end] { digest.add(event) }
      stored += end
      // What was staged is gone before more is made.
      try appender.stage([])
    }
    let (before, after) = (memoryBefore ?? SystemCall.Memory(), try SystemCall.memory())
    for fact in engine.facts { findings[fact.name] = fact.value }
    try appender.finish()
    try engine.close()

    let count = Double(stored)
    findings[.count] = count
    findings[.rate] = count / (Double(stopwatch.busy) / 1e9)
    stopwatch.latencies.report(to: &findings)
    findings[.heap] = Double(after.anonymous - before.anonymous) / count
    findings[.resident] = Double(after.resident - before.resident) / count
    findings[.written] = Double(try SystemCall.writtenBytes() - writtenBefore) / count
    findings[.disk] = Double(try context.engine.type.usedBytes(context.path)) / count
    findings[.allocated] = Double(SystemCall.allocatedBytes(context.path)) / count
    findings["runs"] = Double(events.runCount)
    findings.digest = digest.value
    findings.notes = slowest.notes
  }
}

/// The ten slowest commits, and what the system says of them. It is asked only behind a slow one, so that the others are
/// not held up; what it says is then of all commits since it was asked before.
private struct SlowestCommits {
  private var commits: [(nanoseconds: UInt64, text: String)] = []
  private var usage = SystemCall.ThreadUsage.none

  mutating func begin() { usage = SystemCall.threadUsage() }

  func takes(_ nanoseconds: UInt64) -> Bool {
    nanoseconds > 100_000 && (commits.count < 10 || nanoseconds > commits[9].nanoseconds)
  }

  mutating func add(_ nanoseconds: UInt64, event: Int) {
    let now = SystemCall.threadUsage()
    let change = now - usage
    usage = now
    let text =
      "\(Layout.grouped(Double(nanoseconds) / 1000)) µs at event \(Layout.grouped(event + 1)): waited \(change.waits)×, preempted \(change.preemptions)×, \(change.pageFaults) page faults"
    let place = commits.firstIndex { $0.nanoseconds < nanoseconds } ?? commits.count
    commits.insert((nanoseconds, text), at: place)
    if commits.count > 10 { commits.removeLast() }
  }

  var notes: [String] { commits.map(\.text) }
}

/// Reads a store through, for comparing it with what was put into it.
struct CheckCell {
  let context: CellContext

  /// A digest of the first events, so many, in order, or a sum over all of them if no order is known; and how many
  /// there are in all.
  func run(_ findings: inout Findings) throws {
    let engine = try context.open(.reading)
    let isOrdered = try context.settings.number("ordered") > 0
    var (digest, sum, count) = (RowDigest(), UInt64(0), 0)
    try engine.scan(after: 0, limit: .max) {
      count += 1
      if !isOrdered {
        sum &+= RowDigest.unordered(id: $0, run: $1, payload: $2)
      } else if count <= context.count {
        digest.add(id: $0, run: $1, payload: $2)
      }
    }
    try engine.close()
    findings[.count] = Double(count)
    findings.digest = isOrdered ? digest.value : sum
  }
}

extension Findings {
  subscript(metric: Metric) -> Double? {
    get { self[metric.rawValue] }
    set { self[metric.rawValue] = newValue }
  }
}
