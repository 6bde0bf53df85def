package import LogEngine
package import PlatformIO

/// Opens and fills small logs of text records.
package enum TestLog {
  package static let path = "log"

  package static func open(
    _ fileSystem: any FileSystem, environment: any Environment = SeededEnvironment(seed: 1),
    at path: String = TestLog.path, segmentSize: UInt64 = 16 << 10,
    _ change: (inout LogOptions) -> Void = { _ in }
  ) throws(LogError) -> SegmentedLog {
    var options = LogOptions()
    options.creation = .createIfMissing
    options.segmentSize = segmentSize
    change(&options)
    return try SegmentedLog.open(at: path, options: options, fileSystem: fileSystem, environment: environment)
  }

  package static func append(_ log: SegmentedLog, _ records: [String], durably: Bool? = nil) throws(LogError)
  {
    var batch = RecordBatch()
    for record in records { try batch.append(record.utf8Span.span.rawBytes) }
    try log.append(&batch, durably: durably)
  }

  package static func records(_ log: SegmentedLog) throws(LogError) -> [String] {
    var records: [String] = []
    try log.forEachRecord(from: 1) { _, record in
      records.append(text(record))
      return true
    }
    return records
  }

  package static func text(_ record: RawSpan) -> String {
    unsafe record.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}

/// A clock that goes on when it is told to, numbers from a seed, and threads as long as there are any.
package final class SeededEnvironment: Environment {
  private struct Timers: Sendable {
    var now: UInt64 = 0
    var hasThreads = true
    var due: [(time: UInt64, job: @Sendable () -> Void)] = []
  }

  private let generator: Locked<SeededGenerator>
  private let timers = Locked(Timers())

  package init(seed: UInt64) { generator = Locked(SeededGenerator(seed: seed)) }

  package func perform(
    after nanoseconds: UInt64, on worker: Worker, _ job: @escaping @Sendable () -> Void
  ) -> Bool {
    timers.withLock { timers in
      if timers.hasThreads { timers.due.append((timers.now + nanoseconds, job)) }
      return timers.hasThreads
    }
  }

  package func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    timers.withLock { $0.hasThreads } && SystemEnvironment().startThread(body)
  }

  /// Lets the system have no more threads, or some again.
  package func setThreads(_ hasThreads: Bool) { timers.withLock { $0.hasThreads = hasThreads } }

  /// Lets time pass, and does what falls due, in order, on this thread.
  package func advance(by duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let nanoseconds = UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
    let end = timers.withLock { $0.now + nanoseconds }
    while true {
      let job: (@Sendable () -> Void)? = timers.withLock { timers in
        guard let next = timers.due.indices.min(by: { timers.due[$0].time < timers.due[$1].time }),
          timers.due[next].time <= end
        else {
          timers.now = end
          return nil
        }
        let timer = timers.due.remove(at: next)
        timers.now = timer.time
        return timer.job
      }
      guard let job else { return }
      job()
    }
  }

  package func wallTime() -> WallTime { WallTime(seconds: 1_700_000_000, nanoseconds: 0) }
  package func randomUInt64() -> UInt64 { generator.withLock { $0.next() } }
}
