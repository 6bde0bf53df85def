/// A thread that does jobs one after another, for work that must not hold up a caller. It starts with the first job and
/// ends when the worker goes.
package final class Worker: Sendable {
  private struct Jobs: Sendable {
    var waiting: [@Sendable () -> Void] = []
    /// By the monotonic clock, in nanoseconds.
    var timed: [(time: UInt64, job: @Sendable () -> Void)] = []
    var isRunning = false
    var isEnding = false

    /// When the next timed job is due.
    var nextTime: UInt64? { timed.map(\.time).min() }

    mutating func takeDue(at now: UInt64) -> (@Sendable () -> Void)? {
      if !waiting.isEmpty { return waiting.removeFirst() }
      guard let place = timed.firstIndex(where: { $0.time <= now }) else { return nil }
      return timed.remove(at: place).job
    }
  }

  private let jobs = Monitor(Jobs())

  package init() {}

  deinit { jobs.update { $0.isEnding = true } }

  /// Does a job on the worker's thread, soon, or once the monotonic clock shows `time`. Jobs that are due keep their order.
  /// If the system gives no thread, a job without a time is done at once, by the caller, and one with a time waits for the
  /// next job to start one.
  package func perform(at time: UInt64? = nil, _ job: @escaping @Sendable () -> Void) {
    let mustStart = jobs.update { jobs in
      if let time { jobs.timed.append((time, job)) } else { jobs.waiting.append(job) }
      defer { jobs.isRunning = true }
      return !jobs.isRunning
    }
    guard mustStart else { return }
    // Not the worker itself: that would keep it alive.
    let jobs = jobs
    guard !Platform.startThread({ Worker.run(jobs) }) else { return }
    let left = jobs.update { jobs in
      defer {
        jobs.waiting = []
        jobs.isRunning = false
      }
      return jobs.waiting
    }
    for job in left { job() }
  }

  private enum Step {
    case run(@Sendable () -> Void)
    case sleep(until: UInt64)
    case end
  }

  private static func run(_ jobs: Monitor<Jobs>) {
    while true {
      let step: Step = jobs.wait { jobs in
        let now = SystemEnvironment.monotonicNanoseconds()
        if let job = jobs.takeDue(at: now) { return .run(job) }
        if jobs.isEnding { return .end }
        return jobs.nextTime.map { .sleep(until: $0) }
      }
      switch step {
      case .run(let job): job()
      case .end: return
      case .sleep(let time):
        _ = jobs.wait(until: time) { jobs in
          jobs.waiting.isEmpty && !jobs.isEnding && jobs.nextTime ?? .max >= time ? nil : true
        }
      }
    }
  }
}
