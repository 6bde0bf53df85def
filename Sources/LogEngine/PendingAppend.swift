internal import PlatformIO
internal import Synchronization

/// An append on its way: what it brings, and the word on what became of it. Its owner waits for the word, as a thread or as
/// a task; a leader, perhaps another's thread, commits it.
package final class PendingAppend: Sendable {
  package typealias Outcome = Result<Range<Offset>, LogError>

  enum Word: Sendable {
    /// Nobody else writes: the owner, a thread, has to lead a group, with this append in it.
    case leads
    case settled(Outcome)
  }

  @safe private enum Waiter {
    case nobody
    case thread(Monitor<Word?>)
    case task(UnsafeContinuation<Word, Never>)
  }

  private struct State {
    /// Told, and not yet heard.
    var word: Word?
    var waiter = Waiter.nobody
  }

  let batch: Mutex<RecordBatch>
  let byteCount: Int
  let isDurable: Bool
  /// The owner is a task. It runs when the pool has a thread for it, so nothing may wait for it to lead.
  let isOfTask: Bool
  /// Called by the leader, in the order of the log: once the records can be read, or it is clear that they will not be,
  /// and before anybody of the group hears a word.
  let onSettled: @Sendable (Outcome) -> Void
  private let state = Mutex(State())

  init(
    _ batch: consuming RecordBatch, isDurable: Bool, isOfTask: Bool,
    onSettled: @escaping @Sendable (Outcome) -> Void
  ) {
    byteCount = batch.byteCount
    self.batch = Mutex(batch)
    self.isDurable = isDurable
    self.isOfTask = isOfTask
    self.onSettled = onSettled
  }

  /// The batch's memory, emptied, to be used again.
  package func takeBatch() -> RecordBatch {
    batch.withLock { batch in
      var taken = RecordBatch()
      swap(&taken, &batch)
      taken.removeAll()
      return taken
    }
  }

  /// Gives the owner a word; each is heard once.
  func tell(_ word: Word) {
    let waiter = state.withLock { state in
      let waiter = state.waiter
      state.waiter = .nobody
      if case .nobody = waiter { state.word = word }
      return waiter
    }
    switch waiter {
    case .nobody: break
    case .thread(let monitor): monitor.update { $0 = word }
    case .task(let continuation): unsafe continuation.resume(returning: word)
    }
  }

  /// Blocks the thread until there is a word.
  func hear() -> Word {
    let (word, monitor): (Word?, Monitor<Word?>?) = state.withLock { state in
      if let word = state.word.take() { return (word, nil) }
      let monitor = Monitor<Word?>(nil)
      state.waiter = .thread(monitor)
      return (nil, monitor)
    }
    if let word { return word }
    guard let monitor else { preconditionFailure("there is a word or somebody to wait for it") }
    return monitor.wait { $0.take() }
  }

  /// Suspends the task until there is a word.
  func hear() async -> Word {
    await unsafe withUnsafeContinuation { continuation in
      let word: Word? = state.withLock { state in
        if let word = state.word.take() { return word }
        state.waiter = unsafe .task(continuation)
        return nil
      }
      if let word { unsafe continuation.resume(returning: word) }
    }
  }
}
