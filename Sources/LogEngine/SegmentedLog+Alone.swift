internal import PlatformIO
internal import Synchronization

/// An append that meets no other: committed at once by whoever brings it, without the queue.
extension SegmentedLog {
  /// Takes the lead if nobody has it: everything that was submitted is settled, and nothing is committed until
  /// ``handOverLead()`` but what ``commitLeading(_:durably:onStored:)`` is given. False if somebody leads.
  package func takeLead() -> Bool { commits.withLock { $0.takeLead() } }

  /// Commits a batch that has records, by who has the lead: as submitting it and waiting for its outcome, without the queue.
  /// `onStored` is called in the order of the log, with the batch and the offset of its first record, once they can be read.
  /// Returns that offset, and whether they are durable.
  package func commitLeading(
    _ batch: inout RecordBatch, durably: Bool?, onStored: (borrowing RecordBatch, Offset) -> Void
  ) throws(LogError) -> (first: Offset, isDurable: Bool) {
    let isDurable = durably ?? (syncPolicy == .always)
    let started = SystemEnvironment.monotonicNanoseconds()
    do throws(LogError) {
      let first = try writer.withLock { (writer) throws(LogError) in
        let first = try commit(&batch, isDurable: isDurable, started, &writer)
        onStored(batch, first)
        return first
      }
      return (first, isDurable)
    } catch {
      let nanoseconds = SystemEnvironment.monotonicNanoseconds() - started
      counted.withLock { counted in
        counted.failedAppends += 1
        counted.commits.add(nanoseconds)
      }
      throw error
    }
  }

  private func commit(
    _ batch: inout RecordBatch, isDurable: Bool, _ started: UInt64, _ writer: inout Writer
  ) throws(LogError) -> Offset {
    // First of all: a handle that cannot write says so, whatever is asked of it.
    if case .active = writer.state {} else { _ = try usable(&writer) }
    if byteQuota != nil { _ = try roomUnderQuota(for: batch.byteCount) }
    let active = try activeSegment(&writer, holding: batch.byteCount)
    var grown = active.extent
    let start = grown.end
    let offset = writer.header.firstOffset.advanced(by: UInt64(grown.tally.recordCount))
    let next = try lay(&batch, offset, active, &grown)
    do throws(FileSystemError) {
      try active.file.write(batch.bytes, at: start.rawValue)
    } catch {
      throw failedWrite(error, active, through: grown.end, &writer)
    }
    grown.quietEnd = nil
    active.extent = grown
    if isDurable { try sync(active, &writer) }
    published.withLock { published in
      let last = published.segments.count - 1
      batch.forEachFrame(at: start) { published.segments[last].positions.append($0) }
      published.advance(to: next, end: grown.end, isDurable: isDurable)
    }
    if !isDurable { scheduleSync(&writer) }
    workAhead(active, &writer)
    let nanoseconds = SystemEnvironment.monotonicNanoseconds() - started
    counted.withLock { $0.count(offset..<next, batch.byteCount, nanoseconds) }
    return offset
  }
}
