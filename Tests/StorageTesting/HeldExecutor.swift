/// Lets its tasks take their next step when it is told to, until it lets them go: as if a pool had no thread for them.
package final class HeldExecutor: TaskExecutor {
  /// nil: let go.
  private let held = Locked<[UnownedJob]?>([])

  package init() {}

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let isHeld = held.withLock { held in
      held?.append(job)
      return held != nil
    }
    if !isHeld { globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
  }

  /// Lets the tasks that wait for it take a step, on this thread.
  package func step() {
    let jobs = held.withLock { held in
      defer { held = held.map { _ in [] } }
      return held ?? []
    }
    for job in jobs { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
  }

  package func letGo() {
    let jobs = held.withLock { held in
      defer { held = nil }
      return held ?? []
    }
    for job in jobs { globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
  }
}
