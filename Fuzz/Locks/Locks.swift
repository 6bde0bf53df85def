#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

// What the thread sanitizer sees in place of the standard library's `Synchronization`. That one takes its locks inside a library
// that is not instrumented, by a futex the sanitizer does not know, so that everything a lock guards would be reported. Fuzz/sanitizers.sh
// compiles with `-module-alias Synchronization=Locks`: no source says anything of it.

/// A lock that the sanitizer follows, because it intercepts pthread's.
///
/// `@unchecked Sendable`: the value is touched only between lock and unlock, and the two addresses never change.
@safe public struct Mutex<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
  private let handle = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let value = UnsafeMutablePointer<Value>.allocate(capacity: 1)

  /// Guards this value.
  public init(_ value: consuming sending Value) {
    let result = unsafe pthread_mutex_init(handle, nil)
    precondition(result == 0, "there is memory for a lock")
    unsafe self.value.initialize(to: value)
  }

  deinit {
    unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
    unsafe pthread_mutex_destroy(handle)
    unsafe handle.deallocate()
  }

  /// Calls `body` with the value, and nobody else meanwhile.
  public borrowing func withLock<R: ~Copyable, E: Error>(
    _ body: (inout sending Value) throws(E) -> sending R
  ) throws(E) -> sending R {
    unsafe pthread_mutex_lock(handle)
    defer { unsafe pthread_mutex_unlock(handle) }
    return unsafe try body(&value.pointee)
  }

  /// The same, or nil at once if somebody has the lock.
  public borrowing func withLockIfAvailable<R: ~Copyable, E: Error>(
    _ body: (inout sending Value) throws(E) -> sending R
  ) throws(E) -> sending R? {
    guard unsafe pthread_mutex_trylock(handle) == 0 else { return nil }
    defer { unsafe pthread_mutex_unlock(handle) }
    return unsafe try body(&value.pointee)
  }
}

/// An atomic integer that the sanitizer follows. By its own functions and not by a lock, which would order what a relaxed access
/// does not, and so hide races.
///
/// `@unchecked Sendable`: the address never changes, and what is there is touched only by atomic instructions.
@safe public struct Atomic<Value: FixedWidthInteger & Sendable>: ~Copyable, @unchecked Sendable {
  private let place = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)

  /// Begins with this value.
  public init(_ value: Value) {
    precondition(Value.bitWidth == 32, "the engine has no others")
    unsafe place.initialize(to: UInt32(truncatingIfNeeded: value))
  }

  deinit { unsafe place.deallocate() }

  /// The value now.
  public func load(ordering: Ordering) -> Value {
    Value(truncatingIfNeeded: unsafe watchedLoad(place, ordering.rawValue))
  }

  /// Replaces the value.
  public func store(_ value: Value, ordering: Ordering) {
    unsafe watchedStore(place, UInt32(truncatingIfNeeded: value), ordering.rawValue)
  }

  /// Adds to the value, and wraps.
  public func add(_ value: Value, ordering: Ordering) {
    _ = unsafe watchedAdd(place, UInt32(truncatingIfNeeded: value), ordering.rawValue)
  }
}

/// By the numbers the sanitizer has for them.
public enum Ordering: CInt, Sendable {
  case relaxed = 0
}

@_silgen_name("__tsan_atomic32_load")
private func watchedLoad(_ place: UnsafeMutablePointer<UInt32>, _ ordering: CInt) -> UInt32

@_silgen_name("__tsan_atomic32_store")
private func watchedStore(_ place: UnsafeMutablePointer<UInt32>, _ value: UInt32, _ ordering: CInt)

@_silgen_name("__tsan_atomic32_fetch_add")
private func watchedAdd(_ place: UnsafeMutablePointer<UInt32>, _ value: UInt32, _ ordering: CInt) -> UInt32
