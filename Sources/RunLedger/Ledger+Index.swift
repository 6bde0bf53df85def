internal import LogEngine
internal import Synchronization

extension Ledger {
  /// Looks something up in the index, while others wait. Where the index of a segment turns out not to be what was written, it is
  /// made of the records, and `body` is called again. With `allValues` it finds the dictionary of values up to date.
  func inIndex<R>(
    allValues: Bool = false, _ body: (inout sending LedgerIndex) throws(UnsoundPart) -> sending R
  ) throws(LedgerError) -> R {
    while true {
      let unsound: UnsoundPart
      do throws(UnsoundPart) {
        if allValues { try catchUp() }
        return try index.withLock(body)
      } catch { unsound = error }
      try remake(unsound)
    }
  }

  /// Brings the dictionary of values up to date a piece at a time, so that nobody waits for all of it.
  private func catchUp() throws(UnsoundPart) {
    for shard in 0..<SealedIndex.shardCount {
      try index.withLock { (index) throws(UnsoundPart) in try index.catchUp(shard) }
    }
  }

  /// Makes the index of a segment of its records. Cost: they are all read, by one thread at a time.
  func remake(_ unsound: UnsoundPart) throws(LedgerError) {
    try remaking.withLock { (_) throws(LedgerError) in
      // Somebody else may have done so, or the segment may be gone.
      guard let part = index.withLock({ $0.part(at: unsound.first) }), !part.isInMemory else { return }
      let made = EventIndex(seed: idSeed, refusesUnreadable: false)
      made.beginSegment(at: part.first)
      let isComplete = try read(part, into: made)
      made.endSegment()
      _ = made.encodeSegment(at: part.first)
      let start = log.firstOffset
      let sealed = start <= part.first ? made.withLock { $0.part(at: part.first) } : nil
      index.withLock { $0.replace(part, with: sealed, start: start) }
      if isComplete { log.removeSidecar(ofSegmentWith: part.first) }
    }
  }

  /// False if not all of its records can be read.
  private func read(_ part: SealedPart, into made: EventIndex) throws(LedgerError) -> Bool {
    var next = part.first
    var isComplete = true
    // So many are read in one go: all at first, and few behind damage, so that each damaged record costs no more than itself.
    var ahead = UInt64(part.count)
    while next < part.end {
      let end = min(next.advanced(by: ahead), part.end)
      do throws(LogError) {
        try log.forEachRecord(from: next, through: Offset(end.rawValue - 1)) {
          (offset, record) throws(LogError) in
          try made.add(offset, record)
          next = offset.next
          return true
        }
        next = end
        ahead *= 2
      } catch {
        // What was dropped meanwhile has nothing to be found.
        if error.code == .offsetNotKept { return isComplete }
        // An id that cannot be read could be stored a second time. A reader finds what is left, as at an opening.
        guard error.code == .damaged, !log.isWriter else { throw LedgerError(error) }
        isComplete = false
        next = next.next
        ahead = 1
      }
    }
    return isComplete
  }

  /// The records that were looked for are gone.
  var droppedMeanwhile: LedgerError {
    LedgerError(
      LogError(.offsetNotKept, path: log.path, "the ledger was reset or trimmed while it was being read"))
  }
}
