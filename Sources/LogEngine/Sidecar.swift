internal import PlatformIO
internal import Synchronization

/// What a sidecar says of its segment, beside positions and index: which segment, and how far. FORMAT.md, "Sidecar".
package struct SidecarHeader: Sendable, Hashable {
  package static let byteCount = 256
  static let version: UInt32 = 2
  private static let magic: UInt64 = 0x0A0D_5844_494C_5289

  var log: UniqueID
  var application: ApplicationTag
  var number: SegmentNumber
  var nonce: UInt64
  var firstOffset: Offset
  /// The frames that the sidecar covers end here: the end of the seal, or of a sync frame.
  var end: FilePosition
  var isSealed: Bool
  /// Of the frames it covers, but for a seal.
  var tally: SegmentTally
  /// XXH3 of the bytes before `end`, as many as ``witness(before:)`` says, which tells two histories of one segment apart; 0 for a
  /// sealed one.
  var witness: UInt64
  var indexByteCount: UInt64 = 0

  // The digests stand behind the header, and then their blocks: the positions, and at a multiple of eight the index.
  private var indexOffset: UInt64 {
    (UInt64(tally.recordCount) * UInt64(PositionTable.entryByteCount) + 7) & ~7
  }
  private var contentByteCount: UInt64 { indexOffset + indexByteCount }
  private var digestByteCount: UInt64 { 8 * UInt64(BlockDigests.blockCount(of: Int(contentByteCount))) }
  var contentStart: UInt64 { UInt64(Self.byteCount) + digestByteCount }
  var positionsEnd: UInt64 {
    contentStart + UInt64(tally.recordCount) * UInt64(PositionTable.entryByteCount)
  }
  var indexStart: UInt64 { contentStart + indexOffset }
  package var fileByteCount: UInt64 { contentStart + contentByteCount }

  package func encode() -> ByteBuffer {
    var buffer = ByteBuffer(capacity: Self.byteCount)
    buffer.append(Self.magic)
    buffer.append(Self.version)
    buffer.append(UInt32(Self.byteCount))
    buffer.append(log)
    buffer.append(application.id)
    buffer.append(application.options)
    buffer.append(number.rawValue)
    buffer.append(nonce)
    buffer.append(firstOffset.rawValue)
    buffer.append(end.rawValue)
    buffer.append(UInt64(isSealed ? 1 : 0))
    buffer.append(UInt64(tally.recordCount))
    buffer.append(tally.frameCount)
    buffer.append(tally.bodyBytes)
    buffer.append(tally.digest)
    buffer.append(witness)
    buffer.append(indexByteCount)
    buffer.appendZeros(Self.byteCount - 8 - buffer.count)
    buffer.append(XXH3.hash64(buffer.bytes))
    return buffer
  }

  /// nil for anything that this version did not write whole.
  package init?(_ bytes: RawSpan) {
    guard bytes.byteCount == Self.byteCount, bytes.loadUInt64(at: 0) == Self.magic,
      bytes.loadUInt32(at: 8) == Self.version, bytes.loadUInt32(at: 12) == UInt32(Self.byteCount),
      XXH3.hash64(bytes.extracting(0..<Self.byteCount - 8)) == bytes.loadUInt64(at: Self.byteCount - 8),
      let records = UInt32(exactly: bytes.loadUInt64(at: 88)), bytes.loadUInt64(at: 80) <= 1
    else { return nil }
    log = bytes.loadUniqueID(at: 16)
    application = ApplicationTag(id: bytes.loadUInt64(at: 32), options: bytes.loadUInt64(at: 40))
    number = SegmentNumber(bytes.loadUInt64(at: 48))
    nonce = bytes.loadUInt64(at: 56)
    firstOffset = Offset(bytes.loadUInt64(at: 64))
    end = FilePosition(bytes.loadUInt64(at: 72))
    isSealed = bytes.loadUInt64(at: 80) == 1
    tally = SegmentTally(headerChecksum: bytes.loadUInt64(at: 112))
    tally.recordCount = records
    tally.frameCount = bytes.loadUInt64(at: 96)
    tally.bodyBytes = bytes.loadUInt64(at: 104)
    witness = bytes.loadUInt64(at: 120)
    indexByteCount = bytes.loadUInt64(at: 128)
    // Sums must not overflow, and no file is longer.
    guard indexByteCount <= LogLimits.segmentFileByteCount,
      end <= FilePosition(LogLimits.segmentFileByteCount),
      end >= SegmentHeader.dataStart
    else { return nil }
  }

  init(
    _ header: SegmentHeader, end: FilePosition, isSealed: Bool, tally: SegmentTally, witness: UInt64
  ) {
    log = header.log
    application = header.application
    number = header.number
    nonce = header.nonce
    firstOffset = header.firstOffset
    self.end = end
    self.isSealed = isSealed
    self.tally = tally
    self.witness = witness
  }

  /// The bytes of a segment that an unsealed sidecar which ends here answers for.
  static func witness(before end: FilePosition) -> Range<UInt64> {
    let limit: UInt64 = 64 << 10
    return max(SegmentHeader.dataStart.rawValue, end.rawValue - min(limit, end.rawValue))..<end.rawValue
  }

  func belongs(to segment: SegmentHeader) -> Bool {
    log == segment.log && application == segment.application && number == segment.number
      && nonce == segment.nonce && firstOffset == segment.firstOffset
  }
}

/// A sidecar whose header was found sound. The rest is compared with the digests of its blocks when it is used.
struct Sidecar: Sendable {
  let header: SidecarHeader
  fileprivate(set) var positions: PositionTable
  let index: StoredBytes

  /// A header and the digests of most sidecars: one read.
  private static let firstByteCount = 4 << 10

  /// The sidecars of segments, read by several threads where there are many: what an opening waits for is the disk.
  static func readAll(
    for segments: [SegmentHeader], in directory: LogDirectory
  ) -> [SegmentNumber: Sidecar] {
    let threads = min(max(segments.count / 8, 1), 4)
    let found = Mutex<[SegmentNumber: Sidecar]>([:])
    Parallel.forEach(0..<threads, threads: threads) { thread in
      var buffer = ByteBuffer()
      for place in stride(from: thread, to: segments.count, by: threads) {
        guard let sidecar = read(for: segments[place], in: directory, &buffer) else { continue }
        found.withLock { $0[segments[place].number] = sidecar }
      }
    }
    return found.withLock { $0 }
  }

  /// The sidecar of a segment; nil if there is none, or none that is whole and this segment's. What cannot be read is as good
  /// as missing: a sidecar only saves work.
  /// `buffer` is memory to work in.
  static func read(
    for segment: SegmentHeader, in directory: LogDirectory, _ buffer: inout ByteBuffer
  ) -> Sidecar? {
    do throws(FileSystemError) {
      let file = try directory.fileSystem.open(
        directory.path(of: LogDirectory.sidecarName(of: segment.number)), .readOnly)
      return try read(file, segment, &buffer)
    } catch {
      return nil
    }
  }

  private static func read(
    _ file: any LogFile, _ segment: SegmentHeader, _ buffer: inout ByteBuffer
  ) throws(FileSystemError) -> Sidecar? {
    buffer.truncate(to: 0)
    try buffer.fill(firstByteCount) { (space) throws(FileSystemError) in try file.read(into: &space, at: 0) }
    guard buffer.count >= SidecarHeader.byteCount,
      let header = SidecarHeader(buffer.bytes.extracting(0..<SidecarHeader.byteCount)),
      header.belongs(to: segment), try file.status().length == header.fileByteCount
    else { return nil }
    let contentStart = Int(header.contentStart)
    if buffer.count < contentStart {
      let read = UInt64(buffer.count)
      try buffer.fill(contentStart - buffer.count) { (space) throws(FileSystemError) in
        try file.read(into: &space, at: read)
      }
    }
    // One that was cut meanwhile is another.
    guard buffer.count >= contentStart else { return nil }
    // A digest that is not what was written makes its block look damaged, which costs no more than that.
    let digests = stride(from: SidecarHeader.byteCount, to: contentStart, by: 8).map {
      buffer.bytes.loadUInt64(at: $0)
    }
    var sidecar = try map(file, header, digests)
    // What is appended to has to be right from the start.
    return header.isSealed || (sidecar.positions.check() && sidecar.index.isSound) ? sidecar : nil
  }

  fileprivate static func map(
    _ file: any LogFile, _ header: SidecarHeader, _ digests: [UInt64]
  ) throws(FileSystemError) -> Sidecar {
    let region = try Self.region(file, header.fileByteCount)
    let content = BlockDigests(digests, of: Int(header.contentStart)..<Int(header.fileByteCount))
    return Sidecar(
      header: header,
      positions: PositionTable(
        region, Int(header.contentStart)..<Int(header.positionsEnd), content),
      index: StoredBytes(region, Int(header.indexStart)..<Int(header.fileByteCount), content))
  }
}

extension Sidecar {
  /// What cannot be mapped and is larger is not worth its memory.
  private static let largestInMemory: UInt64 = 256 << 20

  private static func region(_ file: any LogFile, _ length: UInt64) throws(FileSystemError) -> MemoryRegion {
    do throws(FileSystemError) {
      return try file.map(length)
    } catch {
      // A process has a limit of mappings. Memory serves as well, and costs memory.
      guard error.code == .outOfMemory || error.code == .notSupported, length <= largestInMemory else {
        throw error
      }
      let region = MemoryRegion.zeroed(Int(length))
      try file.forEachChunk(from: FilePosition(0), to: FilePosition(length)) { bytes, place in
        region.write(bytes, at: Int(place.rawValue))
      }
      return region
    }
  }
}

/// A sidecar that is to be written; its header is complete but for what is said of the index.
struct SidecarDraft: Sendable {
  var header: SidecarHeader
  var positions: PositionTable

  /// Writes it under a temporary name, syncs it, and gives it its name, in the place of an older one. Returns what readers
  /// share from here on.
  func write(_ index: StoredBytes, in directory: LogDirectory) throws(FileSystemError) -> Sidecar {
    let target = directory.path(of: LogDirectory.sidecarName(of: header.number))
    let temporary = target + LogDirectory.temporarySuffix
    try directory.removeIfPresent(temporary)
    do throws(FileSystemError) {
      let (file, header, digests) = try write(index, as: temporary, in: directory)
      try directory.fileSystem.rename(temporary, to: target)
      return try Sidecar.map(file, header, digests)
    } catch {
      do throws(FileSystemError) { try directory.removeIfPresent(temporary) } catch _ {}
      throw error
    }
  }

  private func write(
    _ index: StoredBytes, as temporary: String, in directory: LogDirectory
  ) throws(FileSystemError) -> (any LogFile, SidecarHeader, [UInt64]) {
    var header = header
    header.indexByteCount = UInt64(index.count)
    let file = try directory.fileSystem.open(temporary, .createNew)
    var blocks = Blocks(file: file, start: header.contentStart)
    try positions.encode { (bytes) throws(FileSystemError) in try blocks.put(bytes) }
    try blocks.padTo(header.indexStart)
    try blocks.put(index.bytes)
    let digests = try blocks.finish()
    var beginning = header.encode()
    for digest in digests { beginning.append(digest) }
    try file.write(beginning.bytes, at: 0)
    try file.sync()
    return (file, header, digests)
  }

  /// Gathers bytes, hashes them in blocks and writes many at once.
  private struct Blocks: ~Copyable {
    /// A multiple of a block.
    private static let writeByteCount = 1 << 20

    let file: any LogFile
    private var buffer = ByteBuffer()
    private var digests: [UInt64] = []
    private var place: UInt64

    init(file: any LogFile, start: UInt64) {
      self.file = file
      place = start
    }

    mutating func put(_ bytes: RawSpan) throws(FileSystemError) {
      var start = 0
      while start < bytes.byteCount {
        let count = min(bytes.byteCount - start, Self.writeByteCount - buffer.count)
        buffer.append(bytes.extracting(start..<start + count))
        start += count
        if buffer.count == Self.writeByteCount { try flush() }
      }
    }

    mutating func padTo(_ position: UInt64) throws(FileSystemError) {
      let missing = Int(position - place) - buffer.count
      try put([UInt8](repeating: 0, count: missing).span.rawBytes)
    }

    mutating func finish() throws(FileSystemError) -> [UInt64] {
      try flush()
      return digests
    }

    private mutating func flush() throws(FileSystemError) {
      guard buffer.count > 0 else { return }
      for start in stride(from: 0, to: buffer.count, by: BlockDigests.blockByteCount) {
        let end = min(start + BlockDigests.blockByteCount, buffer.count)
        digests.append(XXH3.hash64(buffer.bytes.extracting(start..<end)))
      }
      try file.write(buffer.bytes, at: place)
      place += UInt64(buffer.count)
      buffer.truncate(to: 0)
    }
  }
}
