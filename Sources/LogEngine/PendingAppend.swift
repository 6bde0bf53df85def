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

  /// What a thread finds when it listens.
  private enum Heard {
    case word(Word)
    case nothing(Monitor<Outcome?>)
  }

  @safe private enum Waiter {
    case nobody
    case thread(Monitor<Outcome?>)
    case task(UnsafeContinuation<Outcome, Never>)
  }

  private struct State {
    // Told, and not yet heard:
    var leads = false
    var outcome: Outcome?
    var waiter = Waiter.nobody

    mutating func takeWord() -> Word? {
      if leads {
        leads = false
        return .leads
      }
      return outcome.take().map { .settled($0) }
    }
  }

  let batch: Mutex<RecordBatch>
  let byteCount: Int
  let isDurable: Bool
  /// What the application hears of it, from the leader and in the order of the log.
  package enum Stage {
    /// The records are in the log, the first of them at this offset, and nobody can read them yet: what is indexed now is found
    /// by whoever sees their offsets.
    case stored(Offset)
    /// They can be read, or never will be. Nobody of the group has heard a word yet.
    case settled
  }

  let onStage: @Sendable (Stage, borrowing RecordBatch) -> Void
  private let state = Mutex(State())

  init(
    _ batch: consuming RecordBatch, isDurable: Bool,
    onStage: @escaping @Sendable (Stage, borrowing RecordBatch) -> Void
  ) {
    byteCount = batch.byteCount
    self.batch = Mutex(batch)
    self.isDurable = isDurable
    self.onStage = onStage
  }

  func reach(_ stage: Stage) { batch.withLock { onStage(stage, $0) } }

  /// The batch's memory, emptied, to be used again.
  package func takeBatch() -> RecordBatch {
    batch.withLock { batch in
      var taken = RecordBatch()
      swap(&taken, &batch)
      taken.removeAll()
      return taken
    }
  }

  /// Tells the owner, a thread that does not wait yet, to lead; heard once.
  func tellToLead() { state.withLock { $0.leads = true } }

  /// Tells the owner what became of it.
  func settle(_ outcome: Outcome) {
    let waiter = state.withLock { state in
      let waiter = state.waiter
      state.waiter = .nobody
      if case .nobody = waiter { state.outcome = outcome }
      return waiter
    }
    switch waiter {
    case .nobody: break
    case .thread(let monitor): monitor.update { $0 = outcome }
    case .task(let continuation): unsafe continuation.resume(returning: outcome)
    }
  }

  /// Blocks the thread until there is a word.
  func hear() -> Word {
    let heard: Heard = state.withLock { state in
      if let word = state.takeWord() { return .word(word) }
      let monitor = Monitor<Outcome?>(nil)
      state.waiter = .thread(monitor)
      return .nothing(monitor)
    }
    switch heard {
    case .word(let word): return word
    case .nothing(let monitor): return .settled(monitor.wait { $0.take() })
    }
  }

  /// Suspends the task until there is an outcome: a task is not told to lead.
  func outcome() async -> Outcome {
    await unsafe withUnsafeContinuation { continuation in
      let outcome: Outcome? = state.withLock { state in
        if let outcome = state.outcome.take() { return outcome }
        state.waiter = unsafe .task(continuation)
        return nil
      }
      if let outcome { unsafe continuation.resume(returning: outcome) }
    }
  }
}
