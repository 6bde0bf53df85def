internal import PlatformIO

extension LogScan {
  /// Takes from a segment's sidecar what it has, so that only what stands behind has to be read. What is wrong with a sidecar
  /// is no damage: then the segment is read.
  mutating func restore(_ segment: inout Segment, _ scan: inout SegmentScan, isLast: Bool) throws(LogError) {
    // Segments that overlap do not belong together, and have to be read to say which records they have twice.
    guard let index, segment.header.firstOffset >= nextToVisit,
      let sidecar = sidecars.removeValue(forKey: segment.number)
    else { return }
    let header = sidecar.header
    // Nobody needs to be told of no records, and two segments would seem to start at the same one.
    guard header.tally.recordCount > 0 else { return }
    let floor = try header.isSealed ? end(of: header, scan, isLast: isLast) : floor(of: header, sidecar, scan)
    guard let floor,
      index.restoreSegment(
        sidecar.index, count: Int(header.tally.recordCount), isSealed: header.isSealed)
    else { return }
    scan.resume(at: header.end, tally: header.tally, floor: floor)
    segment.positions = header.isSealed ? sidecar.positions : sidecar.positions.growing()
    segment.tally = header.tally
    segment.end = header.end
    segment.isSealed = header.isSealed
    segment.endsInSyncFrame = !header.isSealed
    segment.sidecarEnd = header.end
    nextToVisit = segment.nextOffset
  }

  /// Where the records of a sealed segment are by its frames, for one whose sidecar turned out not to be what was written. Damage is
  /// passed over, and leaves records without a position; then it is not sound.
  static func positions(
    of number: SegmentNumber, nonce: UInt64, count: Int, in directory: LogDirectory
  ) throws(LogError) -> (PositionTable, isSound: Bool) {
    var log = LogScan(directory, besideWriter: true, keepsSources: false)
    let file = try log.listed { () throws(LogError) in try directory.openFile(number, .readOnly) }
    let opened = try directory.openSegment(number, in: file)
    guard let header = opened.header, header.nonce == nonce else { throw log.changedMeanwhile() }
    var scan = try SegmentScan(file, header, headerChecksum: opened.headerChecksum)
    var segment = Segment(
      number: number, header: header, source: nil, positions: PositionTable(),
      end: SegmentHeader.dataStart, tally: SegmentTally(headerChecksum: opened.headerChecksum),
      isSealed: false)
    try log.read(&scan, into: &segment, { _, _ in }, isLast: false)
    segment.positions.appendLost(upTo: count)
    return (segment.positions, log.findings.isEmpty)
  }

  /// Where a sealed segment ends, if its seal says the same as its sidecar and nothing but zeros follows.
  private func end(
    of header: SidecarHeader, _ scan: borrowing SegmentScan, isLast: Bool
  ) throws(LogError) -> FilePosition? {
    let place = header.end.rawValue - Seal.frameByteCount
    guard header.end <= FilePosition(scan.fileLength), place >= SegmentHeader.dataStart.rawValue else {
      return nil
    }
    let bytes = try scan.bytes(at: place, count: Int(Seal.frameByteCount))
    guard bytes.count == Int(Seal.frameByteCount),
      case .frame(let frame) = FrameHeader.decode(
        bytes.bytes.extracting(0..<FrameHeader.byteCount), at: FilePosition(place), nonce: header.nonce),
      frame.kind == .seal, frame.index == header.tally.recordCount
    else { return nil }
    let body = bytes.bytes.extracting(FrameHeader.byteCount..<bytes.count)
    let stated = Seal(header.tally, firstOffset: header.firstOffset)
    guard XXH3.hash64(body) == frame.bodyChecksum, Seal(body) == stated else { return nil }
    if isLast { return header.end }
    let follows = try SegmentScan.lastNonzero(in: scan.file, from: header.end, fileLength: scan.fileLength)
    return follows == nil ? header.end : nil
  }

  /// What is durable of an unsealed segment, as the sync frame says that its sidecar ends with; nil if that frame or the bytes
  /// before it are others.
  private func floor(
    of header: SidecarHeader, _ sidecar: Sidecar, _ scan: borrowing SegmentScan
  ) throws(LogError) -> FilePosition? {
    let place = FilePosition(header.end.rawValue - UInt64(FrameHeader.byteCount))
    guard place >= SegmentHeader.dataStart, header.end <= FilePosition(scan.fileLength),
      header.tally.recordCount > 0,
      let last = sidecar.positions.position(at: sidecar.positions.count - 1), last < place
    else { return nil }
    let sync = try scan.bytes(at: place.rawValue, count: FrameHeader.byteCount)
    let range = SidecarHeader.witness(before: header.end)
    let witness = try scan.bytes(at: range.lowerBound, count: range.count)
    guard sync.count == FrameHeader.byteCount,
      case .frame(let frame) = FrameHeader.decode(sync.bytes, at: place, nonce: header.nonce),
      frame.kind == .sync, frame.index == header.tally.recordCount, frame.bodyLength == 0,
      XXH3.hash64(witness.bytes) == header.witness, frame.syncedThrough <= place
    else { return nil }
    return frame.syncedThrough
  }
}
