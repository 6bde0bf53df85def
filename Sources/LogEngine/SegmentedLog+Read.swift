internal import PlatformIO
internal import Synchronization

extension SegmentedLog {
  /// A record found, not yet read.
  private struct Place {
    var source: SegmentSource
    var nonce: UInt64
    var start: FilePosition
    /// The record's frame ends here or before.
    var end: FilePosition
    var index: UInt32
    var segment: SegmentNumber
  }

  /// Calls `body` with the record at `offset`, borrowed for the call; its checksum has been verified.
  ///
  /// Cost: a short lock and, for a sealed segment, no system call and no copy; otherwise one read. Throws
  /// `.offsetNotKept`, `.offsetBeyondEnd`, or `.damaged` if the bytes are not what was written.
  public func withRecord<R: ~Copyable>(
    at offset: Offset, _ body: (RawSpan) throws(LogError) -> R
  ) throws(LogError) -> R {
    let place = try find(offset)
    return try place.source.withBytes(from: place.start, to: place.end) { (bytes) throws(LogError) in
      try body(verified(bytes, place, offset))
    }
  }

  /// Calls `body` with each record from `first` on, in order, up to the end at the time of the call or until `body`
  /// answers false. Records are borrowed for the call and verified. Reads ahead, so it is cheaper than single reads.
  public func forEachRecord(
    from first: Offset, through last: Offset = .max, _ body: (Offset, RawSpan) throws(LogError) -> Bool
  ) throws(LogError) {
    try checkOpen()
    var next = max(first, firstOffset)
    let end = min(last, latestOffset)
    while next <= end {
      let run = try findRun(from: next, through: end)
      var goesOn = true
      try run.source.withBytes(from: run.start, to: run.end) { (bytes) throws(LogError) in
        for (index, position) in run.positions.enumerated() {
          let offset = next.advanced(by: UInt64(index))
          let local = Int(position.rawValue - run.start.rawValue)
          let following = index + 1 < run.positions.count ? run.positions[index + 1] : run.end
          let place = Place(
            source: run.source, nonce: run.nonce, start: position, end: following,
            index: run.firstIndex + UInt32(index), segment: run.segment)
          goesOn = try body(
            offset, verified(bytes.extracting(local..<bytes.byteCount), place, offset))
          if !goesOn { return }
        }
      }
      if !goesOn { return }
      next = next.advanced(by: UInt64(run.positions.count))
    }
  }

  // MARK: Finding

  private func find(_ offset: Offset) throws(LogError) -> Place {
    try locate(offset) { (segment, index, start) in
      let next = index + 1 < segment.positions.count ? segment.positions.position(at: index + 1) : nil
      // Positions may come from a sidecar, whose word on where the frame ends has yet to prove true.
      let end = max(start, min(next ?? segment.end, segment.end))
      return Place(
        source: segment.source, nonce: segment.nonce, start: start, end: end, index: UInt32(index),
        segment: segment.number)
    }
  }

  /// Records that lie behind each other in one segment and are read at once.
  private struct Run {
    var source: SegmentSource
    var nonce: UInt64
    var start: FilePosition
    var end: FilePosition
    var positions: [FilePosition]
    var firstIndex: UInt32
    var segment: SegmentNumber
  }

  private static let runByteCount: UInt64 = 256 << 10

  private func findRun(from offset: Offset, through last: Offset) throws(LogError) -> Run {
    try locate(offset) { (segment, index, start) in
      var run = Run(
        source: segment.source, nonce: segment.nonce, start: start, end: segment.end, positions: [start],
        firstIndex: UInt32(index), segment: segment.number)
      let limit = min(segment.positions.count, index + Int(last.rawValue - offset.rawValue) + 1)
      var following = index + 1
      // A lost record ends the run; asking for it by itself says what is lost.
      while following < segment.positions.count,
        let position = segment.positions.position(at: following),
        position > run.positions[run.positions.count - 1], position < segment.end
      {
        if following >= limit || position.rawValue - start.rawValue >= Self.runByteCount {
          run.end = position
          break
        }
        run.positions.append(position)
        following += 1
      }
      return run
    }
  }

  private func locate<T>(
    _ offset: Offset, _ found: (borrowing ReadableSegment, Int, FilePosition) -> T
  ) throws(LogError) -> T {
    try checkProcess()
    let result: Result<T, LogError> = published.withLock { published in
      if published.isClosed { return .failure(closedError()) }
      guard offset >= published.logStart else {
        return .failure(
          LogError(
            .offsetNotKept, path: directory.path, offsets: offset..<offset.next,
            "the record is no longer kept; the log starts at offset \(published.logStart)"))
      }
      guard offset < published.next else {
        return .failure(
          LogError(
            .offsetBeyondEnd, path: directory.path,
            "no record has offset \(offset); the last is \(published.next.rawValue - 1)"))
      }
      let place = published.place(of: offset)
      let index = Int(offset.rawValue - published.segments[place].firstOffset.rawValue)
      guard index < published.segments[place].positions.count,
        let start = published.segments[place].positions.position(at: index),
        start < published.segments[place].end
      else { return .failure(lost(offset, published.segments[place].number)) }
      return .success(found(published.segments[place], index, start))
    }
    return try result.get()
  }

  private func lost(_ offset: Offset, _ segment: SegmentNumber) -> LogError {
    LogError(
      .damaged, path: directory.path(of: LogDirectory.name(of: segment)),
      offsets: offset..<offset.next, "the record is among damaged bytes; restore it from a copy, or salvage")
  }

  // MARK: Verifying

  /// The body of the frame at the start of `bytes`, or why it is not the record that was written there.
  @_lifetime(copy bytes)
  private func verified(_ bytes: RawSpan, _ place: Place, _ offset: Offset) throws(LogError) -> RawSpan {
    guard bytes.byteCount >= FrameHeader.byteCount,
      case .frame(let header) = FrameHeader.decode(
        bytes.extracting(0..<FrameHeader.byteCount), at: place.start, nonce: place.nonce),
      header.kind == .record, header.index == place.index,
      FrameHeader.byteCount + Int(header.bodyLength) <= bytes.byteCount
    else { throw damaged(place, offset) }
    let body = bytes.extracting(FrameHeader.byteCount..<FrameHeader.byteCount + Int(header.bodyLength))
    guard XXH3.hash64(body) == header.bodyChecksum else { throw damaged(place, offset) }
    return body
  }

  private func damaged(_ place: Place, _ offset: Offset) -> LogError {
    LogError(
      .damaged, path: directory.path(of: LogDirectory.name(of: place.segment)),
      bytes: place.start.rawValue..<place.end.rawValue, offsets: offset..<offset.next,
      "the record's bytes are not what was written; restore the file from a copy, or salvage")
  }
}
