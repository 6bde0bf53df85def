internal import PlatformIO
internal import Synchronization

extension SegmentedLog {
  /// Calls `body` with the record at `offset`, borrowed for the call; its checksum has been verified.
  ///
  /// Cost: a short lock and no system call and no copy, where the segment is sealed or reserved by this very writer;
  /// otherwise one read. The first record of a segment that is asked for has its table of positions checked, and made anew if it
  /// is damaged. Throws `.offsetNotKept`, `.offsetBeyondEnd`, or `.damaged` if the bytes are not what was written.
  @inlinable
  public func withRecord<R: ~Copyable>(
    at offset: Offset, _ body: (RawSpan) throws(LogError) -> R
  ) throws(LogError) -> R {
    var result: R?
    try readRecord(at: offset) { (record) throws(LogError) in result = try body(record) }
    guard let result else { preconditionFailure("a record was read, or an error thrown") }
    return result
  }

  /// As `withRecord`, compiled once for all results.
  @usableFromInline
  package func readRecord(
    at offset: Offset, _ body: (RawSpan) throws(LogError) -> Void
  ) throws(LogError) {
    try checkProcess()
    let (segment, frame) = try withPositions(of: offset) {
      (published) throws(LogError) -> (FrameSource, FramePlace)? in
      guard let (place, frame) = try locate(offset, published) else { return nil }
      return (published.segments[place].readable, frame)
    }
    try segment.source.withBytes(from: frame.start, to: frame.end) { (bytes) throws(LogError) in
      try body(verified(bytes, frame, segment, offset))
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
      let (segment, frames) = try findRun(from: next, through: end)
      let start = frames[0].start
      var goesOn = true
      try segment.source.withBytes(from: start, to: frames[frames.count - 1].end) {
        (bytes) throws(LogError) in
        for frame in frames {
          let local = Int(frame.start.rawValue - start.rawValue)
          goesOn = try body(next, verified(bytes.extracting(local..<bytes.byteCount), frame, segment, next))
          if !goesOn { return }
          next = next.next
        }
      }
      if !goesOn { return }
    }
  }

  /// Calls `body` with each record of `offsets`, in that order, until it answers false; as single reads do it, but cheaper where
  /// many that follow on each other are in one segment.
  package func forEachRecord(
    at offsets: [Offset], _ body: (Offset, RawSpan) throws(LogError) -> Bool
  ) throws(LogError) {
    try checkProcess()
    var next = 0
    while next < offsets.count {
      let dropsBefore = drops.load(ordering: .relaxed)
      let (segment, frames) = try find(offsets[next...])
      // More from time to time: who wants only the first should not wait for the disk for others.
      var (fetched, ahead) = (1, 2)
      for (place, frame) in frames.enumerated() {
        if drops.load(ordering: .relaxed) != dropsBefore { break }
        if place == fetched {
          segment.source.fetch(frames[place...].prefix(ahead))
          (fetched, ahead) = (fetched + ahead, min(ahead * 2, Self.aheadCount))
        }
        var goesOn = true
        try segment.source.withBytes(from: frame.start, to: frame.end) { (bytes) throws(LogError) in
          goesOn = try body(offsets[next], verified(bytes, frame, segment, offsets[next]))
        }
        if !goesOn { return }
        next += 1
      }
    }
  }

  // MARK: Finding

  /// So many bytes are read at once.
  private static let runByteCount: UInt64 = 256 << 10
  /// So many records are asked of the memory at once, at most.
  private static let aheadCount = 16

  /// Records that lie behind each other in one segment.
  private func findRun(
    from offset: Offset, through last: Offset
  ) throws(LogError) -> (FrameSource, [FramePlace]) {
    try checkProcess()
    return try withPositions(of: offset) { (published) throws(LogError) -> (FrameSource, [FramePlace])? in
      guard let (place, first) = try locate(offset, published) else { return nil }
      let count = Int(last.rawValue - offset.rawValue) + 1
      let frames = published.segments[place].frames(from: first, atMost: count, byteCount: Self.runByteCount)
      return (published.segments[place].readable, frames)
    }
  }

  /// The first of these records and those behind it that are in the same segment.
  private func find(_ offsets: ArraySlice<Offset>) throws(LogError) -> (FrameSource, [FramePlace]) {
    try withPositions(of: offsets[offsets.startIndex]) {
      (published) throws(LogError) -> (FrameSource, [FramePlace])? in
      guard let (place, first) = try locate(offsets[offsets.startIndex], published) else { return nil }
      var frames = [first]
      frames.reserveCapacity(offsets.count)
      // Out of the array once: each time counts all references in it, which costs more than the look.
      let (segment, next) = (published.segments[place], published.next)
      for offset in offsets.dropFirst() {
        // Whatever is the matter with it is said when it is asked for first.
        guard offset >= segment.firstOffset, offset < next, let frame = segment.frame(of: offset) else {
          break
        }
        frames.append(frame)
      }
      return (segment.readable, frames)
    }
  }

  /// Calls `body`, while others wait, once the positions of the records about `offset` are known to be sound: as long as it answers
  /// nil they have to be checked first.
  @inline(__always)
  private func withPositions<R>(
    of offset: Offset, _ body: (inout Published) throws(LogError) -> R?
  ) throws(LogError) -> R {
    while true {
      if let found = try published.withLock({ (published) throws(LogError) in try body(&published) }) {
        return found
      }
      try checkPositions(ofSegmentWith: offset)
    }
  }

  /// The place of the segment that holds a record, and where it is there; nil if that is not known to be sound.
  private func locate(
    _ offset: Offset, _ published: borrowing Published
  ) throws(LogError) -> (segment: Int, FramePlace)? {
    if published.isClosed { throw closedError() }
    guard offset >= published.logStart else {
      throw LogError(
        .offsetNotKept, path: directory.path, offsets: offset..<offset.next,
        "the record is no longer kept; the log starts at offset \(published.logStart)")
    }
    guard offset < published.next else {
      throw LogError(
        .offsetBeyondEnd, path: directory.path,
        "no record has offset \(offset); the last is \(published.next.rawValue - 1)")
    }
    let place = published.place(of: offset)
    guard let frame = published.segments[place].frame(of: offset) else {
      guard published.segments[place].positions.isChecked else { return nil }
      throw lost(offset, published.segments[place].number)
    }
    return (place, frame)
  }

  private func lost(_ offset: Offset, _ segment: SegmentNumber) -> LogError {
    LogError(
      .damaged, path: directory.path(of: LogDirectory.name(of: segment)),
      offsets: offset..<offset.next, "the record is among damaged bytes; restore it from a copy, or salvage")
  }

  // MARK: Verifying

  /// The body of the frame at the start of `bytes`, or why it is not the record that was written there.
  @_lifetime(copy bytes)
  private func verified(
    _ bytes: RawSpan, _ frame: FramePlace, _ segment: FrameSource, _ offset: Offset
  ) throws(LogError) -> RawSpan {
    guard let record = segment.record(of: frame, bytes) else {
      throw LogError(
        .damaged, path: directory.path(of: LogDirectory.name(of: segment.number)),
        bytes: frame.start.rawValue..<frame.end.rawValue, offsets: offset..<offset.next,
        "the record's bytes are not what was written; restore the file from a copy, or salvage")
    }
    return record
  }
}

/// Where a record's frame should be.
struct FramePlace {
  var start: FilePosition
  /// The frame ends here or before.
  var end: FilePosition
  /// The record's index in the segment.
  var index: UInt32
}

/// What frames of a segment are read and verified by.
struct FrameSource {
  var source: SegmentSource
  var nonce: UInt64
  var number: SegmentNumber

  /// The body of the frame at the start of `bytes`; nil if it is not the record that was written there.
  @_lifetime(copy bytes)
  func record(of frame: FramePlace, _ bytes: RawSpan) -> RawSpan? {
    guard bytes.byteCount >= FrameHeader.byteCount,
      let length = FrameHeader.recordLength(bytes, at: frame.start, nonce: nonce, index: frame.index),
      length <= bytes.byteCount - FrameHeader.byteCount
    else { return nil }
    let body = bytes.extracting(FrameHeader.byteCount..<FrameHeader.byteCount + length)
    return XXH3.hash64(body) == bytes.loadUInt64(at: 8) ? body : nil
  }
}

extension SegmentedLog.ReadableSegment {
  var readable: FrameSource { FrameSource(source: source, nonce: nonce, number: number) }

  /// nil if the segment does not have the record, has lost it, or has positions that are not checked yet. A sidecar's word on where
  /// frames start has yet to prove true.
  @inline(__always)
  func frame(of offset: Offset) -> FramePlace? {
    let index = Int(offset.rawValue - firstOffset.rawValue)
    guard positions.isChecked, index < positions.count, let start = positions.position(at: index), start < end
    else { return nil }
    let next = index + 1 < positions.count ? positions.position(at: index + 1) : nil
    return FramePlace(start: start, end: max(start, min(next ?? end, end)), index: UInt32(index))
  }

  /// A record and those behind it, as far as about so many bytes go. A lost record ends them; asking for it by itself says what
  /// is lost.
  func frames(from first: FramePlace, atMost count: Int, byteCount: UInt64) -> [FramePlace] {
    var frames = [first]
    var last = first
    while frames.count < count, last.end.rawValue - first.start.rawValue < byteCount,
      let next = frame(of: firstOffset.advanced(by: UInt64(last.index) + 1)), next.start == last.end
    {
      frames.append(next)
      last = next
    }
    return frames
  }
}
