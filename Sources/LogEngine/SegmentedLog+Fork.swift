package import PlatformIO
internal import Synchronization

extension SegmentedLog {
  /// Makes a log of its own at a new path that holds this one's records up to an offset, the last one unless given.
  ///
  /// It keeps the log's identity and starts a new epoch behind that offset. The offset must be the last of a batch, or the
  /// one before the log's first. Segments wholly up to it are linked, as for a snapshot; the one that it lies in is copied
  /// as far. For the rest see ``snapshot(to:replacing:)``.
  ///
  /// Thread-safe. Throws `.notABatchEnd` with the batch around the offset, `.offsetBeyondEnd` or `.offsetNotKept`, and what
  /// a snapshot does.
  @discardableResult
  public func fork(
    to path: String, through last: Offset? = nil, replacing: Bool = false
  ) throws(LogError) -> LogCopy {
    try fork(to: path, through: last, replacing: replacing, in: directory.fileSystem)
  }

  @discardableResult
  package func fork(
    to path: String, through last: Offset?, replacing: Bool, in fileSystem: any FileSystem
  ) throws(LogError) -> LogCopy {
    try checkWritable()
    return try excludingCopies { () throws(LogError) in
      try Destination.make(path, replacing: replacing, from: directory, in: fileSystem, environment) {
        (new) throws(LogError) in
        let branch: Branch = try writer.withLock { (writer) throws(LogError) in
          try branchPoint(last, &writer)
        }
        return try fill(new, with: branch)
      }
    }
  }

  /// What a fork consists of.
  private struct Branch {
    var last: Offset
    /// The newest header, for what all have in common.
    var header: SegmentHeader
    /// The epoch that the fork goes on from.
    var parent: UniqueID
    var logStart: Offset
    var whole: [ReadableSegment] = []
    /// The segment that ends behind the fork, and is taken in part.
    var part: ReadableSegment?
  }

  private func branchPoint(_ last: Offset?, _ writer: inout Writer) throws(LogError) -> Branch {
    try sync(&writer)
    let (next, logStart) = published.withLock { ($0.next, $0.logStart) }
    let last = last ?? Offset(next.rawValue - 1)
    guard last < next else {
      throw LogError(
        .offsetBeyondEnd, path: directory.path,
        "no record has offset \(last); the last is \(next.rawValue - 1), fork there or before")
    }
    guard last.next >= logStart else {
      throw LogError(
        .offsetNotKept, path: directory.path,
        "the log starts at offset \(logStart), so a fork can end at \(logStart.rawValue - 1) at the earliest")
    }
    if last.next == next, case .active(let active) = writer.state, active.extent.tally.recordCount > 0 {
      try seal(active, &writer)
    }
    var branch = Branch(last: last, header: writer.header, parent: writer.header.epoch.id, logStart: logStart)
    published.withLock { published in
      let start = published.place(of: logStart)
      for place in published.segments.indices[start...] where published.segments[place].firstOffset <= last {
        let end = place + 1 < published.segments.count ? published.segments[place + 1].firstOffset : next
        if end <= last.next {
          branch.whole.append(published.segments[place])
        } else {
          branch.part = published.segments[place]
        }
      }
    }
    // The segments up to there may be of an older epoch than the newest.
    if let number = (branch.part ?? branch.whole.last)?.number {
      branch.parent = try readableHeader(number).header.epoch.id
    }
    return branch
  }

  private func fill(_ new: LogDirectory, with branch: Branch) throws(LogError) -> LogCopy {
    var copied: UInt64 = 0
    var bytes: UInt64 = 0
    var previous = SegmentHeader.Predecessor.dropped(0)
    for segment in branch.whole {
      let listed = try listed(segment)
      copied += try new.takeOver(segment.number, length: listed.length, from: directory)
      previous = .init(number: segment.number.rawValue, length: listed.length, digest: listed.digest)
      bytes += listed.length
    }
    if let part = branch.part {
      previous = try takeOver(part.number, through: branch.last, in: new)
      copied += previous.length
      bytes += previous.length
    }
    let header = try new.startEpoch(
      like: branch.header, behind: previous, at: branch.last.next, logStart: branch.logStart,
      parent: branch.parent, environment)
    return LogCopy(
      log: id, epoch: header.epoch.id, firstOffset: branch.logStart, latestOffset: branch.last,
      segments: branch.whole.count + (branch.part == nil ? 0 : 1) + 1,
      bytes: bytes + SegmentHeader.dataStart.rawValue, copiedBytes: copied)
  }

  private func readableHeader(
    _ number: SegmentNumber
  ) throws(LogError) -> (opened: LogDirectory.OpenedSegment, header: SegmentHeader) {
    let opened = try directory.openSegment(number)
    guard let header = opened.header else {
      throw LogError(
        .damaged, path: directory.path(of: LogDirectory.name(of: number)),
        bytes: 0..<UInt64(SegmentHeader.byteCount),
        "both copies of the segment's header are damaged; restore it from a copy, or salvage")
    }
    return (opened, header)
  }

  /// Writes a segment anew with its batches up to an offset, under a nonce of its own, since other bytes follow them.
  private func takeOver(
    _ number: SegmentNumber, through last: Offset, in new: LogDirectory
  ) throws(LogError) -> SegmentHeader.Predecessor {
    let (opened, oldHeader) = try readableHeader(number)
    var scan = try SegmentScan(
      try directory.openFile(number, .readOnly), oldHeader, headerChecksum: opened.headerChecksum)
    var header = oldHeader
    header.nonce = environment.randomUInt64()
    header.created = environment.microseconds()
    header.preallocated = 0
    let (block, checksum) = header.encode()
    let copy = try onFile { () throws(FileSystemError) in
      let copy = try new.fileSystem.open(new.path(of: LogDirectory.name(of: number)), .createNew)
      try copy.write(block.span.rawBytes, at: 0)
      try copy.write(block.span.rawBytes, at: UInt64(SegmentHeader.blockByteCount))
      return copy
    }
    var tally = SegmentTally(headerChecksum: checksum)
    var end = SegmentHeader.dataStart
    var next = header.firstOffset
    var batch = RecordBatch()
    var gathered = ByteBuffer()
    var written = end.rawValue
    while next <= last {
      batch.removeAll()
      switch try scan.next({ (_, _, record) throws(LogError) in try batch.append(record) }) {
      case .sync: continue
      case .seal, .stopped:
        throw LogError(
          .damaged, path: directory.path(of: LogDirectory.name(of: number)), offsets: next..<last.next,
          "the segment's records are not all what was written; restore it from a copy, or salvage")
      case .batch: break
      }
      let following = next.advanced(by: UInt64(batch.count))
      guard following <= last.next else { throw notABatchEnd(last, next..<following) }
      batch.seal(at: end, nonce: header.nonce, syncedThrough: SegmentHeader.dataStart, tally: &tally)
      gathered.append(batch.bytes)
      end = end.advanced(by: UInt64(batch.byteCount))
      next = following
      guard UInt64(gathered.count) >= Chunk.byteCount else { continue }
      try onFile { () throws(FileSystemError) in try copy.write(gathered.bytes, at: written) }
      written = end.rawValue
      gathered.removeAll(keepingAtMost: Int(2 * Chunk.byteCount))
    }
    let seal = Self.sealFrame(
      tally, firstOffset: header.firstOffset, at: end, nonce: header.nonce,
      syncedThrough: SegmentHeader.dataStart)
    gathered.append(seal.bytes.span.rawBytes)
    try onFile { () throws(FileSystemError) in
      try copy.write(gathered.bytes, at: written)
      try copy.sync()
    }
    return .init(
      number: number.rawValue, length: end.rawValue + Seal.frameByteCount, digest: tally.digest)
  }

  private func notABatchEnd(_ offset: Offset, _ batch: Range<Offset>) -> LogError {
    LogError(
      .notABatchEnd, path: directory.path, offsets: batch,
      "offset \(offset) lies within a batch; the nearest offsets to fork at are \(batch.lowerBound.rawValue - 1) and \(batch.upperBound.rawValue - 1)"
    )
  }
}

extension LogDirectory {
  /// Publishes the segment of a new epoch, in which a copy goes on.
  func startEpoch(
    like other: SegmentHeader, behind previous: SegmentHeader.Predecessor, at next: Offset, logStart: Offset,
    parent: UniqueID, _ environment: any Environment
  ) throws(LogError) -> SegmentHeader {
    var header = other
    header.epoch = Epoch(
      id: environment.uniqueID(), start: next, parent: parent, parentEnd: Offset(next.rawValue - 1))
    header.number = SegmentNumber(previous.number + 1)
    header.firstOffset = next
    header.logStart = logStart
    header.nonce = environment.randomUInt64()
    header.previous = previous
    header.created = environment.microseconds()
    header.preallocated = 0
    let (file, _) = try publish(header)
    // A copy takes no more room than it has to; what the next records need is a gain in speed only.
    do throws(FileSystemError) { try file.preallocate(header.capacity) } catch {}
    return header
  }
}
