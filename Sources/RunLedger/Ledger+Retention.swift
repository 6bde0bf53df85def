public import LogEngine
internal import PlatformIO
internal import Synchronization

extension Ledger {
  /// Drops old events, as far as they fill whole segments, and frees their ids.
  ///
  /// A segment goes if all of it and of those before it may go by any rule that is given:
  /// - `before`: its events are before this offset;
  /// - `olderThan`: its newest event was created before this time;
  /// - `keepingBytes`: it and those behind it use more bytes than this. The last segment that holds events stays.
  ///
  /// One atomic step: a crash leaves the ledger as it was or trimmed. Offsets, the epoch and cursors go on. Works on a full
  /// disk. If nothing can go, nothing is written. Whoever is reading a dropped event reads it to its end; who comes to one
  /// later gets `log` with code `offsetNotKept`.
  ///
  /// Thread-safe. Cost: as a roll of the log, and the memory of the indexes is walked through once, for which appends and
  /// lookups wait; for `olderThan` the events of what goes, and some of the first segment that stays, are read before.
  @discardableResult
  public func trim(
    before offset: Offset? = nil, olderThan time: Timestamp? = nil, keepingBytes byteCount: UInt64? = nil
  ) throws(LedgerError) -> Trimmed {
    try onLog { () throws(LogError) in try log.checkWritable() }
    // Copies first: while one is made, nobody who decides what to append may have to wait for it.
    return try log.excludingCopies { () throws(LedgerError) in
      var start = offset ?? .zero
      let spans = try onLog { () throws(LogError) in try log.segmentSpans() }
      if let byteCount { start = max(start, Self.start(of: spans, keeping: byteCount)) }
      if let time { start = max(start, try self.start(of: spans, olderThan: time)) }
      return try deciding.withLock { () throws(LedgerError) in
        // As for a reset: what was decided before, duplicates among it, takes effect before.
        _ = log.outcome(of: log.submit(RecordBatch(), durably: false))
        return try onLog { () throws(LogError) in try log.drop(before: start) }
      }
    }
  }

  /// The first offset of the newest segments that use so many bytes at most; of the last with events at least. One without
  /// does not count: a trim leaves one, and the next would drop another segment for it.
  private static func start(of spans: [SegmentSpan], keeping byteCount: UInt64) -> Offset {
    var start: Offset?
    var rest = byteCount
    for span in spans.reversed() where !span.offsets.isEmpty {
      guard span.bytes <= rest || start == nil else { break }
      rest -= min(span.bytes, rest)
      start = span.offsets.lowerBound
    }
    return start ?? .zero
  }

  /// The end of the segments whose events were all created before a time.
  private func start(of spans: [SegmentSpan], olderThan time: Timestamp) throws(LedgerError) -> Offset {
    var start = Offset.zero
    for span in spans {
      var isOld = true
      if !span.offsets.isEmpty {
        try forEachEvent(
          after: Offset(span.offsets.lowerBound.rawValue - 1),
          through: Offset(span.offsets.upperBound.rawValue - 1)
        ) { (view) throws(LedgerError) in
          isOld = view.createdAt < time
          return isOld
        }
      }
      guard isOld else { break }
      start = span.offsets.upperBound
    }
    return start
  }
}
