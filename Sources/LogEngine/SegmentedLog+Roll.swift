internal import PlatformIO
internal import Synchronization

/// From one segment to the next. FORMAT.md, "Roll" and "Publish a segment".
extension SegmentedLog {
  /// The segment to write to, with room for so many bytes: a new one if need be.
  func activeSegment(_ writer: inout Writer, holding byteCount: Int) throws(LogError) -> ActiveSegment {
    if case .active(let active) = writer.state, active.hasRoom(for: byteCount) { return active }
    let state = try usable(&writer)
    let started = SystemEnvironment.monotonicNanoseconds()
    let active = try createSuccessor(
      of: try sealed(state, &writer), holding: UInt64(byteCount), &writer)
    counted.withLock { $0.rolls.add(SystemEnvironment.monotonicNanoseconds() - started) }
    return active
  }

  /// Ends the active segment if there is one. Returns what its successor says of it.
  func sealed(
    _ end: Writer.Usable, _ writer: inout Writer
  ) throws(LogError) -> SegmentHeader.Predecessor {
    switch end {
    case .active(let active): try seal(active, &writer)
    case .sealed(let last): last
    }
  }

  /// Ends a segment. The seal is synced before the file is cut: were the shorter length to reach the disk first, a crash
  /// would leave an unsealed file that is shorter than it was, and that is damage (FORMAT.md, "Roll").
  @discardableResult
  func seal(
    _ active: ActiveSegment, _ writer: inout Writer
  ) throws(LogError) -> SegmentHeader.Predecessor {
    let (end, tally) = (active.end, active.extent.tally)
    let file = active.file
    let first = writer.header.firstOffset
    let seal = Self.sealFrame(
      tally, firstOffset: first, at: end, nonce: active.nonce, syncedThrough: active.extent.synced)
    let sealedEnd = end.advanced(by: Seal.frameByteCount)
    do throws(FileSystemError) {
      try file.write(seal.bytes.span.rawBytes, at: end.rawValue)
    } catch {
      writer.state = .unfinished(active, dirtyEnd: sealedEnd)
      throw LogError(error)
    }
    try synchronize(file, &writer)
    let last = SegmentHeader.Predecessor(active.number, end: sealedEnd, digest: tally.digest)
    writer.state = .sealed(last)
    // Zeros behind a seal mean nothing, so it is only space that a failure leaves.
    do throws(FileSystemError) { try file.setLength(sealedEnd.rawValue) } catch {}
    readPages(of: file, through: sealedEnd.rawValue)
    published.withLock { published in
      let last = published.segments.count - 1
      published.segments[last].byteCount = sealedEnd.rawValue
      published.durable = published.next
    }
    queueSidecar(ofSealed: writer.header, sealedEnd, tally)
    return last
  }

  /// From here on the last segment's bytes are taken from its pages, unless they are already or cannot be had.
  func readPages(of file: any LogFile, through length: UInt64) {
    let isMapped = published.withLock {
      if case .mapped = $0.segments[$0.segments.count - 1].source { true } else { false }
    }
    guard !isMapped else { return }
    let source = SegmentSource.pages(of: file, through: length)
    published.withLock { $0.segments[$0.segments.count - 1].source = source }
  }

  static func sealFrame(
    _ tally: SegmentTally, firstOffset: Offset, at position: FilePosition, nonce: UInt64,
    syncedThrough: FilePosition
  ) -> ControlFrame {
    ControlFrame(
      .seal, body: Seal(tally, firstOffset: firstOffset).encode(), at: position, nonce: nonce,
      syncedThrough: syncedThrough,
      index: tally.recordCount)
  }

  /// Publishes the segment after a sealed one and makes it the active one. On failure the log stays sealed, and the next
  /// append tries again.
  private func createSuccessor(
    of last: SegmentHeader.Predecessor, holding byteCount: UInt64, _ writer: inout Writer
  ) throws(LogError) -> ActiveSegment {
    var header = nextHeader(writer.header, behind: last)
    header.preallocated = max(
      header.segmentSize, SegmentHeader.dataStart.rawValue + byteCount + ActiveSegment.reserve)
    return try activate(header, &writer)
  }

  /// As a header before says of the log, for a new segment at its end; nothing is reserved for it.
  func nextHeader(_ header: SegmentHeader, behind previous: SegmentHeader.Predecessor) -> SegmentHeader {
    var header = header
    header.number = SegmentNumber(previous.number + 1)
    header.firstOffset = published.withLock { $0.next }
    header.nonce = environment.randomUInt64()
    header.previous = previous
    header.created = environment.microseconds()
    header.preallocated = 0
    return header
  }

  func activate(_ header: SegmentHeader, _ writer: inout Writer) throws(LogError) -> ActiveSegment {
    let active: ActiveSegment
    let before = writer.header
    do throws(LogError) {
      (active, writer.header) = try Self.createSegment(
        header, isExpendable: header.logStart == before.logStart && header.epoch == before.epoch,
        in: directory, prepared: takePrepared(for: header, &writer))
    } catch {
      // Up to here nothing but a temporary file exists, and the next append may try again.
      if let operation = error.cause?.operation, [.open, .preallocate, .write].contains(operation) {
        throw error
      }
      let unknown = Self.unknown(error, directory)
      writer.state = .stopped(.poisoned(unknown))
      throw unknown
    }
    writer.state = .active(active)
    let readable = ReadableSegment(
      number: header.number, firstOffset: header.firstOffset, nonce: header.nonce,
      source: .growing(active),
      positions: PositionTable(), end: active.end, byteCount: active.end.rawValue)
    published.withLock { $0.segments.append(readable) }
    index?.beginSegment(at: header.firstOffset)
    return active
  }

  /// Publishes a segment; without reserved space if the disk has not that much left.
  static func createSegment(
    _ header: SegmentHeader, isExpendable: Bool, in directory: LogDirectory,
    prepared: LogDirectory.PreparedSegment? = nil
  ) throws(LogError) -> (ActiveSegment, SegmentHeader) {
    var header = header
    let capacity = header.capacity
    let file: any LogFile
    let checksum: UInt64
    do throws(LogError) {
      (file, checksum) = try directory.publish(header, in: prepared)
    } catch {
      guard error.cause?.operation == .preallocate else { throw error }
      header.preallocated = 0
      (file, checksum) = try directory.publish(header)
    }
    let start = SegmentHeader.dataStart
    let empty = ActiveSegment.Extent(end: start, synced: start, tally: SegmentTally(headerChecksum: checksum))
    return (ActiveSegment(file, header, capacity: capacity, isExpendable: isExpendable, empty), header)
  }
}
