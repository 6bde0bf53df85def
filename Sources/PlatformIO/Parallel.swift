internal import Synchronization

/// Work on several threads at once.
package enum Parallel {
  /// How many threads the machine can run at the same time.
  package static var processorCount: Int { Platform.processorCount }

  /// Calls `body` with each number of a range, on up to so many threads, the caller's among them, and returns when all are
  /// done. Numbers are taken in order. With fewer threads than asked for, it takes longer.
  package static func forEach(
    _ range: Range<Int>, threads: Int, _ body: @escaping @Sendable (Int) -> Void
  ) {
    let next = Mutex(range.lowerBound)
    let work: @Sendable () -> Void = {
      while true {
        let number = next.withLock { next -> Int? in
          guard next < range.upperBound else { return nil }
          defer { next += 1 }
          return next
        }
        guard let number else { return }
        body(number)
      }
    }
    let running = Monitor(0)
    for _ in 0..<max(0, min(threads, range.count) - 1) {
      running.update { $0 += 1 }
      let hasStarted = Platform.startThread {
        work()
        running.update { $0 -= 1 }
      }
      if !hasStarted { running.update { $0 -= 1 } }
    }
    work()
    running.wait { $0 == 0 ? () : nil }
  }
}
