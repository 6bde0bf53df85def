import PlatformIO
import Synchronization

/// What the sanitizers must report, and what they must not. Fuzz/sanitizers.sh starts it once for each argument, with the very
/// flags that the tests have.
@main struct SanitizerCanary {
  static func main() {
    switch CommandLine.arguments.dropFirst().first {
    case "race": race()
    case "overread": overread()
    default: behaveWell()
    }
  }

  /// For long enough that both threads are at it.
  private static func race() {
    Parallel.forEach(0..<2, threads: 2) { _ in
      for _ in 0..<1_000_000 { Shared.counters.open += 1 }
    }
    print(Shared.counters.open)
  }

  private static func overread() {
    let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 8)
    unsafe bytes.initialize(repeating: 1, count: 8)
    unsafe print(bytes[CommandLine.arguments.count + 6])
    unsafe bytes.deallocate()
  }

  /// Under a lock or by an atomic: neither is a race. (What a continuation hands over is now and then reported: where it is resumed
  /// before its task has gone to sleep, the runtime's library does not tell the sanitizer.)
  private static func behaveWell() {
    Parallel.forEach(0..<1000, threads: 2) { _ in
      Shared.counters.locked.withLock { $0 += 1 }
      Shared.counters.atomic.add(1, ordering: .relaxed)
    }
    print(
      Shared.counters.locked.withLock { $0 }, Shared.counters.atomic.load(ordering: .relaxed))
  }
}

/// `@unchecked Sendable`: that it is not safe is what the sanitizer has to find.
private final class Shared: @unchecked Sendable {
  static let counters = Shared()

  let locked = Mutex(0)
  let atomic = Atomic<UInt32>(0)
  var open = 0
}
