internal import PlatformIO
internal import Synchronization

/// An append that meets no other: committed at once by whoever brings it, without the queue.
extension SegmentedLog {
  /// Takes the lead if nobody has it: everything that was submitted is settled, and nothing is committed until
  /// ``handOverLead()`` but what ``commitLeading(_:durably:onStored:)`` is given. False if somebody leads.
  package func takeLead() -> Bool { commits.withLock { $0.takeLead() } }

  /// Commits a batch that has records, by who has the lead: as submitting it and waiting for its outcome, without the queue.
  /// `onStored` is called in the order of the log, with the batch and the offset of its first record, before they can be read.
  /// Returns that offset, and whether they are durable.
  package func commitLeading(
    _ batch: inout RecordBatch, durably: Bool?, onStored: (borrowing RecordBatch, Offset) -> Void
  ) throws(LogError) -> (first: Offset, isDurable: Bool) {
    let isDurable = durably ?? (syncPolicy == .always)
    let started = SystemEnvironment.monotonicNanoseconds()
    do throws(LogError) {
      let first = try writer.withLock { (writer) throws(LogError) in
        let written = try write(&batch, isDurable: isDurable, &writer)
        onStored(batch, written.first)
        publish(written, batch, isDurable: isDurable, started, &writer)
        return written.first
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

  /// A batch that stands in the active segment, and that nobody can read yet.
  private struct Written {
    var first: Offset
    var next: Offset
    var start: FilePosition
  }

  private func write(
    _ batch: inout RecordBatch, isDurable: Bool, _ writer: inout Writer
  ) throws(LogError) -> Written {
    // First of all: a handle that cannot write says so, whatever is asked of it.
    if case .active = writer.state {} else { _ = try usable(&writer) }
    if byteQuota != nil { _ = try roomUnderQuota(for: batch.byteCount) }
    let active = try activeSegment(&writer, holding: batch.byteCount)
    var grown = active.extent
    let start = grown.end
    let first = writer.header.firstOffset.advanced(by: UInt64(grown.tally.recordCount))
    let next = try lay(&batch, first, active, &grown)
    do throws(FileSystemError) {
      try active.file.write(batch.bytes, at: start.rawValue)
    } catch {
      throw failedWrite(error, active, through: grown.end, &writer)
    }
    grown.quietEnd = nil
    active.extent = grown
    if isDurable { try sync(active, &writer) }
    return Written(first: first, next: next, start: start)
  }

  private func publish(
    _ written: Written, _ batch: borrowing RecordBatch, isDurable: Bool, _ started: UInt64,
    _ writer: inout Writer
  ) {
    guard case .active(let active) = writer.state else { preconditionFailure("a batch was written") }
    published.withLock { published in
      let last = published.segments.count - 1
      batch.forEachFrame(at: written.start) { published.segments[last].positions.append($0) }
      published.advance(to: written.next, end: active.end, isDurable: isDurable)
    }
    if !isDurable { scheduleSync(&writer) }
    workAhead(active, &writer)
    let nanoseconds = SystemEnvironment.monotonicNanoseconds() - started
    counted.withLock { $0.count(written.first..<written.next, batch.byteCount, nanoseconds) }
  }
}
