/// Walks the frames of one segment: a pure state machine over bytes that somebody else reads.
///
/// `next` either answers with what stands at the scanner's place or says which bytes it needs in the window first. It
/// moves by whole batches, so a consumer sees a batch only after its closing frame proved valid, and `position` is
/// always a batch boundary. After `.stopped`, `resync` looks for the next sound frame. Where damage is certain,
/// `takeSingleFrames` gives up on batches, so that a bad frame costs no more than itself.
///
/// Work is linear in the file's length whatever the bytes are: each is hashed at most once by `next`, and `resync` stops
/// when the bodies it tried add up to more than ``resyncBudget``.
package struct SegmentScanner {
  package enum Step: Equatable {
    /// Call again when the window reaches at least to this position.
    case needBytes(through: FilePosition)
    /// The frames of one batch, from the scanner's old position to its new one.
    case batch(start: FilePosition, end: FilePosition, firstIndex: UInt32, count: UInt32)
    /// A sync frame, and the zeros before it.
    case sync
    /// The last frame of the segment.
    case seal(Seal)
    /// No valid frame here, or a batch that is not closed.
    case stopped
    /// A frame of a later format.
    case newer(String, at: FilePosition)
  }

  package enum ResyncStep: Equatable {
    case needBytes(through: FilePosition)
    /// `position` is now at this sound frame.
    case found
    /// No sound frame up to the end of the file.
    case exhausted
    /// Too many plausible headers in front of bad bodies to go on.
    case budgetSpent
    case newer(String, at: FilePosition)
  }

  package let nonce: UInt64
  package private(set) var fileLength: FilePosition
  /// A batch boundary: everything before it is accounted for.
  package private(set) var position: FilePosition
  /// The index of the next record at `position`.
  package private(set) var nextIndex: UInt32 = 0
  /// Counts and digest of the frames before `position`; meaningless once `hasResynced`.
  package private(set) var tally: SegmentTally
  package private(set) var hasResynced = false
  /// Where the last `.stopped` found no sound frame: `position`, or further on in a batch that is not closed.
  package private(set) var stoppedAt = SegmentHeader.dataStart
  private var takesSingleFrames = false
  /// The highest durable position that any sound frame states (FORMAT.md, "Recovery").
  package private(set) var floor = SegmentHeader.dataStart

  // Inside a batch whose closing frame has not been seen:
  private var cursor: FilePosition
  private var cursorIndex: UInt32 = 0
  private var cursorTally: SegmentTally
  // While looking for a sound frame:
  private var probe: FilePosition?
  private var resyncHashed: UInt64 = 0
  /// Only zeros from here on, so no sound frame starts here or later.
  private var searchEnd: FilePosition?

  package init(nonce: UInt64, headerChecksum: UInt64, fileLength: UInt64) {
    self.nonce = nonce
    self.fileLength = FilePosition(fileLength)
    position = SegmentHeader.dataStart
    cursor = position
    tally = SegmentTally(headerChecksum: headerChecksum)
    cursorTally = tally
  }

  /// As if it had walked the frames up to `position`, a batch boundary, which somebody else vouches for.
  package mutating func resume(
    at position: FilePosition, nextIndex: UInt32, tally: SegmentTally, floor: FilePosition
  ) {
    self.position = position
    self.nextIndex = nextIndex
    self.tally = tally
    self.floor = max(self.floor, floor)
    cursor = position
    cursorIndex = nextIndex
    cursorTally = tally
  }

  /// The window must start no later than this.
  package var retained: FilePosition { probe ?? position }

  package var resyncBudget: UInt64 { 4 * fileLength.rawValue + 1 << 20 }

  /// A writer has let the file grow, or cut it behind its seal, since.
  package mutating func setFileLength(_ length: UInt64) { fileLength = FilePosition(length) }

  /// From `position` on there are only zeros; nothing is looked for there.
  package mutating func endSearch(at position: FilePosition) { searchEnd = position }

  // MARK: In order

  package mutating func next(_ window: RawSpan, at windowStart: FilePosition) -> Step {
    while true {
      switch examine(cursor, window, windowStart) {
      case .needBytes(let end): return .needBytes(through: end)
      case .newer(let what): return .newer(what, at: cursor)
      case .unsound:
        return cursor == position ? syncAfterGap(window, windowStart) : stop()
      case .sound(let header):
        guard header.index == cursorIndex else { return stop() }
        switch header.kind {
        case .record:
          let start = Int(cursor.rawValue - windowStart.rawValue)
          accept(header, window.extracting(start..<start + FrameHeader.byteCount))
          if header.continues, !takesSingleFrames { continue }
          let step = Step.batch(
            start: position, end: cursor, firstIndex: nextIndex, count: cursorIndex - nextIndex)
          settle()
          return step
        case .sync:
          guard cursor == position, !header.continues, header.bodyLength == 0 else { return stop() }
          let start = Int(cursor.rawValue - windowStart.rawValue)
          accept(header, window.extracting(start..<start + FrameHeader.byteCount))
          settle()
          return .sync
        case .seal:
          guard cursor == position, !header.continues else { return stop() }
          let body = Int(cursor.rawValue - windowStart.rawValue) + FrameHeader.byteCount
          guard let seal = Seal(window.extracting(body..<body + Int(header.bodyLength))) else {
            return stop()
          }
          cursor = cursor.advanced(by: header.frameByteCount)
          position = cursor
          return .seal(seal)
        }
      }
    }
  }

  /// A sync frame may stand at the next block boundary, with zeros up to it.
  private mutating func syncAfterGap(_ window: RawSpan, _ windowStart: FilePosition) -> Step {
    let place = position.roundedUp(to: SyncFrame.blockByteCount)
    let end = place.advanced(by: UInt64(FrameHeader.byteCount))
    guard place != position, end <= fileLength else { return stop() }
    guard windowHolds(end, window, windowStart) else { return .needBytes(through: end) }
    let gap = window.extracting(
      Int(position.rawValue - windowStart.rawValue)..<Int(place.rawValue - windowStart.rawValue))
    guard gap.isAllZeros else { return stop() }
    let header: FrameHeader
    switch examine(place, window, windowStart) {
    // Of another frame, which has its say on the floor all the same.
    case .needBytes(let end): return .needBytes(through: end)
    case .sound(let sound): header = sound
    case .unsound, .newer: return stop()
    }
    guard header.kind == .sync, header.index == nextIndex, header.bodyLength == 0, !header.continues else {
      return stop()
    }
    let start = Int(place.rawValue - windowStart.rawValue)
    cursor = place
    accept(header, window.extracting(start..<start + FrameHeader.byteCount))
    settle()
    return .sync
  }

  private mutating func accept(_ header: FrameHeader, _ bytes: RawSpan) {
    cursorTally.add(bytes, kind: header.kind, bodyLength: header.bodyLength)
    cursor = cursor.advanced(by: header.frameByteCount)
    if header.kind == .record { cursorIndex += 1 }
  }

  private mutating func settle() {
    position = cursor
    nextIndex = cursorIndex
    tally = cursorTally
  }

  private mutating func stop() -> Step {
    stoppedAt = cursor
    cursor = position
    cursorIndex = nextIndex
    cursorTally = tally
    return .stopped
  }

  // MARK: One frame

  private enum Examined {
    case sound(FrameHeader)
    case unsound
    case newer(String)
    case needBytes(FilePosition)
  }

  /// Header check, length within the file, body checksum, zero padding. Every sound frame has its say on the floor.
  private mutating func examine(
    _ place: FilePosition, _ window: RawSpan, _ windowStart: FilePosition, resyncing: Bool = false
  ) -> Examined {
    let headerEnd = place.advanced(by: UInt64(FrameHeader.byteCount))
    guard headerEnd <= fileLength else { return .unsound }
    guard windowHolds(headerEnd, window, windowStart) else { return .needBytes(headerEnd) }
    let start = Int(place.rawValue - windowStart.rawValue)
    let header: FrameHeader
    var newer: String?
    switch FrameHeader.decode(
      window.extracting(start..<start + FrameHeader.byteCount), at: place, nonce: nonce)
    {
    case .invalid: return .unsound
    case .frame(let decoded):
      // Each record before it took a frame. A greater index is no writer's, and would have to be believed in memory.
      guard
        UInt64(decoded.index) <= (place.rawValue - SegmentHeader.dataStart.rawValue)
          / UInt64(FrameHeader.byteCount)
      else { return .unsound }
      header = decoded
    case .newer(let decoded, let what):
      // In order, the check alone is proof enough. Among torn bytes 32 bits meet by chance now and then, so there the
      // body must hold too.
      guard resyncing else { return .newer(what) }
      header = decoded
      newer = what
    }
    let end = place.advanced(by: header.frameByteCount)
    guard end <= fileLength else { return .unsound }
    guard windowHolds(end, window, windowStart) else { return .needBytes(end) }
    let bodyStart = start + FrameHeader.byteCount
    let bodyEnd = bodyStart + Int(header.bodyLength)
    if resyncing { resyncHashed += UInt64(header.bodyLength) }
    guard XXH3.hash64(window.extracting(bodyStart..<bodyEnd)) == header.bodyChecksum,
      window.extracting(bodyEnd..<start + Int(header.frameByteCount)).isAllZeros
    else { return .unsound }
    if let newer { return .newer(newer) }
    if header.syncedThrough <= place { floor = max(floor, header.syncedThrough) }
    return .sound(header)
  }

  private func windowHolds(_ end: FilePosition, _ window: RawSpan, _ windowStart: FilePosition) -> Bool {
    end.rawValue <= windowStart.rawValue + UInt64(window.byteCount)
  }

  // MARK: After damage

  /// From here on every sound frame counts as a batch, or batches count again.
  package mutating func takeSingleFrames(_ single: Bool = true) { takesSingleFrames = single }

  /// Looks for the next sound frame behind `stoppedAt`, at every multiple of eight. Only a header is hashed at a place
  /// that holds none.
  package mutating func resync(_ window: RawSpan, at windowStart: FilePosition) -> ResyncStep {
    // A seal that was passed on the way is behind.
    var place = probe ?? max(stoppedAt.advanced(by: FrameHeader.alignment), position)
    while true {
      guard place.advanced(by: UInt64(FrameHeader.byteCount)) <= fileLength,
        place < searchEnd ?? fileLength
      else {
        probe = nil
        return .exhausted
      }
      switch examine(place, window, windowStart, resyncing: true) {
      case .needBytes(let end):
        probe = place
        return .needBytes(through: end)
      case .newer(let what): return .newer(what, at: place)
      case .unsound:
        if resyncHashed > resyncBudget { return .budgetSpent }
        place = place.advanced(by: FrameHeader.alignment)
      case .sound(let header):
        probe = nil
        hasResynced = true
        position = place
        // An index that went back would break the order of offsets; it can only come from a writer's bug.
        nextIndex = max(nextIndex, header.index)
        cursor = place
        cursorIndex = nextIndex
        return .found
      }
    }
  }
}

/// What a quiet writer lays behind its last record. FORMAT.md, "Sync frame".
package enum SyncFrame {
  /// The frame starts the next block, so that one bad sector cannot kill both it and the records it speaks of.
  package static let blockByteCount: UInt64 = 4096
  /// The most that a sync frame with the zeros before it takes.
  package static let maximumByteCount = blockByteCount + UInt64(FrameHeader.byteCount)
}
