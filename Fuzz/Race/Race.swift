import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

// Two threads count together: under a lock unless the first argument is `race`, and then without. Fuzz/sanitizers.sh fails if the
// thread sanitizer overlooks the race, or reports the lock, or a value that was handed over by a continuation.

private final class Counter: @unchecked Sendable {
  let locked = Mutex(0)
  var open = 0
  let atomic = Atomic<UInt32>(0)
}

private let counter = Counter()
private let isRacing = CommandLine.arguments.dropFirst().first == "race"

private func count() {
  for _ in 0..<1000 {
    counter.locked.withLock { $0 += 1 }
    counter.atomic.add(1, ordering: .relaxed)
    if isRacing { counter.open += 1 }
  }
}

private func countOnTwoThreads() {
  var thread = pthread_t()
  let result = unsafe pthread_create(
    &thread, nil,
    { _ in
      count()
      return nil
    }, nil)
  precondition(result == 0, "a thread starts")
  count()
  pthread_join(thread, nil)
  print(counter.locked.withLock { $0 }, counter.atomic.load(ordering: .relaxed))
}

@main struct Race {
  static func main() { countOnTwoThreads() }
}
