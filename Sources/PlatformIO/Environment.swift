/// What the engine takes from the world besides files: time, chance and threads. Injected, so that tests replay a failure
/// by its seed and the golden files can be written again byte for byte.
package protocol Environment: Sendable {
  /// Time since the Unix epoch, UTC.
  func wallTime() -> WallTime
  func randomUInt64() -> UInt64
  /// Runs `body` on a thread of its own. False: there is none to be had.
  func startThread(_ body: @escaping @Sendable () -> Void) -> Bool
  /// Does a job on the worker's thread once so much time has passed. False: it will not, for want of a thread.
  func perform(after nanoseconds: UInt64, on worker: Worker, _ job: @escaping @Sendable () -> Void) -> Bool
}

extension Environment {
  package func startThread(_ body: @escaping @Sendable () -> Void) -> Bool { Platform.startThread(body) }

  package func perform(
    after nanoseconds: UInt64, on worker: Worker, _ job: @escaping @Sendable () -> Void
  ) -> Bool {
    let (time, isTooLate) = SystemEnvironment.monotonicNanoseconds().addingReportingOverflow(nanoseconds)
    return worker.perform(at: isTooLate ? .max : time, job)
  }
}

package struct WallTime: Sendable, Hashable {
  package var seconds: Int64
  package var nanoseconds: UInt32

  package init(seconds: Int64, nanoseconds: UInt32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }
}

/// The system's clock and its cryptographic random numbers.
package struct SystemEnvironment: Environment {
  package init() {}

  package func wallTime() -> WallTime {
    let time = Platform.clock(.wall)
    return WallTime(seconds: time.seconds, nanoseconds: time.nanoseconds)
  }

  package func randomUInt64() -> UInt64 {
    var generator = SystemRandomNumberGenerator()
    return generator.next()
  }

  /// Nanoseconds on a clock that never steps.
  package static func monotonicNanoseconds() -> UInt64 {
    let time = Platform.clock(.monotonic)
    return UInt64(time.seconds) * 1_000_000_000 + UInt64(time.nanoseconds)
  }
}
