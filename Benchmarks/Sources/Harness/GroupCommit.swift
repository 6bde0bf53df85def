internal import Glibc
internal import Synchronization

/// A bare loop of leader and followers: whoever finds nobody writing writes what all have left behind so far, and wakes
/// them; the others wait. The least that a store does for which many threads append at once.
///
/// `@unchecked Sendable`: all of it is read and changed under `mutex`, except `writing`, which belongs to the leader alone while
/// `isBusy`.
@safe final class GroupCommit: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let isDone = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var waiting: [UInt8] = []
  private var writing: [UInt8] = []
  private var position = 0
  /// How many groups were opened, and how many are written.
  private var group = 1
  private var written = 0
  private var isBusy = false
  private var failure: (any Error)?

  init() {
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(isDone, nil)
  }

  deinit {
    unsafe pthread_cond_destroy(isDone)
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
    unsafe isDone.deallocate()
  }

  /// Returns once the bytes are written by `write`, this thread's call of it or another's.
  func commit(
    _ bytes: UnsafeRawBufferPointer, _ write: (UnsafeRawBufferPointer, Int) throws -> Void
  ) throws {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    if !isBusy, waiting.isEmpty {
      // Nobody else is there: its own bytes go out as they lie.
      return try lead { position in
        try unsafe write(bytes, position)
        return bytes.count
      }
    }
    unsafe waiting.append(contentsOf: bytes)
    let mine = group
    while written < mine, failure == nil {
      if isBusy {
        unsafe pthread_cond_wait(isDone, mutex)
      } else {
        swap(&waiting, &writing)
        try lead { position in
          try unsafe writing.withUnsafeBytes { bytes in try unsafe write(bytes, position) }
          let count = writing.count
          writing.removeAll(keepingCapacity: true)
          return count
        }
      }
    }
    if let failure { throw failure }
  }

  /// Writes one group without the lock, which is held before and behind it.
  private func lead(_ write: (Int) throws -> Int) throws {
    isBusy = true
    let mine = group
    group += 1
    let start = position
    unsafe pthread_mutex_unlock(mutex)
    let result = Result { try write(start) }
    unsafe pthread_mutex_lock(mutex)
    isBusy = false
    written = mine
    switch result {
    case .success(let count): position += count
    case .failure(let error): failure = error
    }
    unsafe pthread_cond_broadcast(isDone)
    _ = try result.get()
  }
}
