internal import LogEngine

extension Ledger {
  /// Looks something up in the index, while others wait. Where the index of a segment turns out not to be what was written, it is
  /// made of the records, and `body` is called again.
  func inIndex<R>(
    _ body: (inout sending LedgerIndex) throws(UnsoundPart) -> sending R
  ) throws(LedgerError) -> R {
    while true {
      let unsound: UnsoundPart
      do throws(UnsoundPart) { return try index.withLock(body) } catch { unsound = error }
      try remake(unsound)
    }
  }

  /// Brings the dictionary of values up to date a piece at a time, so that nobody waits for all of it.
  func catchUp() throws(LedgerError) {
    for shard in 0..<SealedIndex.shardCount {
      try inIndex { (index) throws(UnsoundPart) in try index.catchUp(shard) }
    }
  }

  /// Makes the index of a segment of its records. Cost: they are all read.
  func remake(_ unsound: UnsoundPart) throws(LedgerError) {
    // Somebody else may have done so, or the segment may be gone.
    guard let part = index.withLock({ $0.part(at: unsound.first) }) else { return }
    let made = EventIndex(seed: idSeed, refusesUnreadable: false)
    made.beginSegment(at: part.first)
    do throws(LogError) {
      try log.forEachRecord(from: part.first, through: Offset(part.end.rawValue - 1)) {
        (offset, record) throws(LogError) in
        try made.add(offset, record)
        return true
      }
    } catch {
      guard error.code == .offsetNotKept else { throw LedgerError(error) }
    }
    made.endSegment()
    _ = made.encodeSegment(at: part.first)
    // What was dropped meanwhile has nothing to be found.
    let isKept = log.firstOffset <= part.first
    let sealed = isKept ? made.withLock { $0.part(at: part.first) } : nil
    index.withLock { $0.replace(unsound, with: sealed) }
    log.removeSidecar(ofSegmentAt: part.first)
  }

  /// The records that were looked for are gone.
  var droppedMeanwhile: LedgerError {
    LedgerError(
      LogError(.offsetNotKept, path: log.path, "the ledger was reset or trimmed while it was being read"))
  }
}
