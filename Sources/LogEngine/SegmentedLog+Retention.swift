internal import PlatformIO
internal import Synchronization

/// What a trim dropped.
public struct Trimmed: Sendable, Hashable {
  /// How many records.
  public var records: UInt64 = 0
  /// How many segments.
  public var segments = 0
  /// How many bytes those used.
  public var bytes: UInt64 = 0
}

/// A segment as retention sees it: only whole ones go.
package struct SegmentSpan: Sendable, Hashable {
  package var offsets: Range<Offset>
  /// With its seal, also if it has none yet: a trim seals it.
  package var bytes: UInt64
}

extension SegmentedLog {
  /// Drops the records before an offset, as far as they fill whole segments; the one that holds the offset stays whole.
  /// Beyond the end everything goes. Offsets and the epoch go on.
  ///
  /// One atomic step: a crash leaves the log as it was or trimmed. Records being read meanwhile stay readable to their
  /// readers; other reads of dropped ones throw `.offsetNotKept`. Works on a full disk. If nothing can go, nothing is
  /// written. Cost: the active segment is sealed and another started, as in a roll, and one unlink a segment. Thread-safe;
  /// waits for a copy that is being made. Throws what an append would.
  @discardableResult
  public func trim(before offset: Offset) throws(LogError) -> Trimmed {
    try checkProcess()
    return try excludingCopies { () throws(LogError) in try drop(before: offset) }
  }

  /// To be called within `excludingCopies`.
  package func drop(before offset: Offset) throws(LogError) -> Trimmed {
    try writer.withLock { (writer) throws(LogError) in
      try checkWritable(writer)
      guard let start = published.withLock({ $0.start(keeping: offset) }) else { return Trimmed() }
      // Nothing is reserved before the switch, and if even a header is too much there is the reserve.
      let active = try directory.withReserve { () throws(LogError) in
        var header = nextHeader(writer.header, behind: try sealed(try usable(&writer), &writer))
        header.logStart = start
        return try activate(header, &writer)
      }
      let (dropped, trimmed) = published.withLock { published in
        drops.add(1, ordering: .relaxed)
        return published.drop(before: start)
      }
      index?.removeAll(below: start)
      giveBack(dropped, active)
      return trimmed
    }
  }

  // MARK: Reset

  /// Empties the log in one atomic step. Offsets go on; a new epoch starts, so cursors of the old one are refused.
  ///
  /// A crash leaves the old log or the empty one. Records being read meanwhile stay readable to their readers.
  public func reset() throws(LogError) {
    try checkProcess()
    try excludingCopies { () throws(LogError) in try empty() }
  }

  /// To be called within `excludingCopies`.
  package func empty() throws(LogError) {
    try writer.withLock { (writer) throws(LogError) in
      let last =
        switch try directory.withReserve({ () throws(LogError) in try usable(&writer) }) {
        case .active(let active): active.number.rawValue
        case .sealed(let last): last.number
        }
      // Nothing is reserved before the switch, so that a reset works on a full disk.
      var header = nextHeader(writer.header, behind: .dropped(last))
      let next = header.firstOffset
      header.logStart = next
      header.epoch = Epoch(
        id: environment.uniqueID(), start: next, parent: header.epoch.id,
        parentEnd: Offset(next.rawValue - 1))
      let active = try directory.withReserve { () throws(LogError) in try activate(header, &writer) }
      let dropped = published.withLock { published in
        drops.add(1, ordering: .relaxed)
        let dropped = published.segments.dropLast().map(\.number)
        published.segments.removeFirst(published.segments.count - 1)
        published.logStart = next
        published.durable = next
        published.epoch = header.epoch
        return dropped
      }
      index?.removeAll(below: next)
      giveBack(dropped, active)
    }
  }

  /// Frees the space of dropped segments, and reserves what the new one needs. The switch is done: what fails from here on is
  /// only space, and the next opening for writing tries again.
  private func giveBack(_ dropped: [SegmentNumber], _ active: ActiveSegment) {
    do throws(FileSystemError) {
      for number in dropped { try directory.removeSegment(number) }
    } catch {}
    do throws(FileSystemError) { try active.file.preallocate(active.capacity) } catch {}
    readPages(of: active.file, through: active.capacity)
    directory.makeReserve()
  }

  // MARK: Deciding what may go

  /// The segments from the first to the last, for deciding what may go.
  package func segmentSpans() throws(LogError) -> [SegmentSpan] {
    try checkOpen()
    let isSealed = writer.withLock { if case .sealed = $0.state { true } else { false } }
    return published.withLock { published in
      published.segments.indices.map { place in
        let isLast = place == published.segments.count - 1
        let first = max(published.segments[place].firstOffset, published.logStart)
        let next =
          isLast ? published.next : published.segments[place + 1].firstOffset
        return SegmentSpan(
          offsets: first..<max(first, next),
          bytes: published.segments[place].byteCount + (isLast && !isSealed ? Seal.frameByteCount : 0))
      }
    }
  }
}

extension SegmentedLog.Published {
  /// Where the log would start if all whole segments before an offset went; nil if it starts there already.
  fileprivate func start(keeping offset: Offset) -> Offset? {
    let ends = segments.dropFirst().map(\.firstOffset) + [next]
    guard let start = ends.last(where: { $0 <= offset }), start > logStart else { return nil }
    return start
  }

  fileprivate mutating func drop(before start: Offset) -> ([SegmentNumber], Trimmed) {
    let count = place(of: start)
    let dropped = segments[..<count]
    let trimmed = Trimmed(
      records: start.rawValue - logStart.rawValue, segments: count,
      bytes: dropped.reduce(0) { $0 + $1.byteCount })
    let numbers = dropped.map(\.number)
    segments.removeFirst(count)
    logStart = start
    return (numbers, trimmed)
  }
}

extension LogDirectory {
  /// Removes a segment that is no part of the log any more, and its sidecar, which without it means nothing.
  func removeSegment(_ number: SegmentNumber) throws(FileSystemError) {
    try removeIfPresent(path(of: Self.name(of: number)))
    try removeIfPresent(path(of: Self.sidecarName(of: number)))
  }
}
