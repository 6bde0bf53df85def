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

    /// What is due by the clock comes first, or a worker that always has something waiting would never get to it.
    mutating func takeDue(at now: UInt64) -> (@Sendable () -> Void)? {
      if let next = timed.indices.min(by: { timed[$0].time < timed[$1].time }), timed[next].time <= now {
        return timed.remove(at: next).job
      }
      return waiting.isEmpty ? nil : waiting.removeFirst()
    }
  }

  private let environment: any Environment
  private let jobs = Monitor(Jobs())

  /// Which process the worker is of.
  private let forkCount: UInt32

  package init(_ environment: any Environment = SystemEnvironment()) {
    self.environment = environment
    Platform.watchForks()
    forkCount = Platform.forkCount
  }

  deinit {
    // A forked child has no such thread, which may have held the lock at that moment.
    if forkCount == Platform.forkCount { jobs.update { $0.isEnding = true } }
  }

  /// Does a job on the worker's thread, in turn, or once the monotonic clock shows `time`. False: the system gives no
  /// thread, and the job will not be done.
  package func perform(at time: UInt64? = nil, _ job: @escaping @Sendable () -> Void) -> Bool {
    // Not the worker itself: that would keep it alive.
    let shared = jobs
    return jobs.update { jobs in
      // In the same step as the job is taken, so that there is no job without a thread.
      if !jobs.isRunning { jobs.isRunning = environment.startThread { Worker.run(shared) } }
      guard jobs.isRunning else { return false }
      if let time { jobs.timed.append((time, job)) } else { jobs.waiting.append(job) }
      return true
    }
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
