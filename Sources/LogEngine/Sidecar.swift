internal import PlatformIO
internal import Synchronization

/// What a sidecar says of its segment, beside positions and index: which segment, and how far. FORMAT.md, "Sidecar".
package struct SidecarHeader: Sendable, Hashable {
  package static let byteCount = 256
  static let version: UInt32 = 1
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
  /// Of everything behind the header.
  var contentDigest: UInt64 = 0

  var positionByteCount: UInt64 { UInt64(tally.recordCount) * UInt64(PositionTable.entryByteCount) }
  /// The index starts at a multiple of eight.
  var indexStart: UInt64 { UInt64(Self.byteCount) + (positionByteCount + 7) & ~7 }
  package var fileByteCount: UInt64 { indexStart + indexByteCount }

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
    buffer.append(contentDigest)
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
    contentDigest = bytes.loadUInt64(at: 136)
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

/// A sidecar that was read and found whole.
struct Sidecar: Sendable {
  let header: SidecarHeader
  let positions: PositionTable
  let index: StoredBytes

  /// Contents are hashed in blocks of this size, each with the hash of the one before as its seed.
  fileprivate static let blockByteCount = 1 << 20

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
    try buffer.fill(SidecarHeader.byteCount) { (space) throws(FileSystemError) in
      try file.read(into: &space, at: 0)
    }
    guard let header = SidecarHeader(buffer.bytes), header.belongs(to: segment),
      try file.status().length == header.fileByteCount
    else { return nil }
    // Read, not mapped: a bad sector is an error here, and would be a signal there.
    var digest: UInt64 = 0
    var place = UInt64(SidecarHeader.byteCount)
    while place < header.fileByteCount {
      let count = Int(min(UInt64(blockByteCount), header.fileByteCount - place))
      buffer.truncate(to: 0)
      try buffer.fill(count) { (space) throws(FileSystemError) in try file.read(into: &space, at: place) }
      // Of a file that was cut meanwhile it is another.
      digest = XXH3.hash64(buffer.bytes, seed: digest)
      place += UInt64(count)
    }
    guard digest == header.contentDigest else { return nil }
    return try map(file, header)
  }

  fileprivate static func map(_ file: any LogFile, _ header: SidecarHeader) throws(FileSystemError) -> Sidecar
  {
    let region = try Self.region(file, header.fileByteCount)
    let positionsEnd = SidecarHeader.byteCount + Int(header.positionByteCount)
    return Sidecar(
      header: header,
      positions: PositionTable(stored: StoredBytes(region, SidecarHeader.byteCount..<positionsEnd)),
      index: StoredBytes(region, Int(header.indexStart)..<Int(header.fileByteCount)))
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
      let (file, header) = try write(index, as: temporary, in: directory)
      try directory.fileSystem.rename(temporary, to: target)
      return try Sidecar.map(file, header)
    } catch {
      do throws(FileSystemError) { try directory.removeIfPresent(temporary) } catch _ {}
      throw error
    }
  }

  private func write(
    _ index: StoredBytes, as temporary: String, in directory: LogDirectory
  ) throws(FileSystemError) -> (any LogFile, SidecarHeader) {
    var header = header
    header.indexByteCount = UInt64(index.count)
    let file = try directory.fileSystem.open(temporary, .createNew)
    var blocks = Blocks(file: file)
    try positions.encode { (bytes) throws(FileSystemError) in try blocks.put(bytes) }
    try blocks.padTo(header.indexStart)
    try blocks.put(index.bytes)
    header.contentDigest = try blocks.finish()
    try file.write(header.encode().bytes, at: 0)
    try file.sync()
    return (file, header)
  }

  /// Gathers bytes into blocks, hashes those and writes them.
  private struct Blocks: ~Copyable {
    let file: any LogFile
    private var buffer = ByteBuffer()
    private var digest: UInt64 = 0
    private var place = UInt64(SidecarHeader.byteCount)

    init(file: any LogFile) { self.file = file }

    mutating func put(_ bytes: RawSpan) throws(FileSystemError) {
      var start = 0
      while start < bytes.byteCount {
        let count = min(bytes.byteCount - start, Sidecar.blockByteCount - buffer.count)
        buffer.append(bytes.extracting(start..<start + count))
        start += count
        if buffer.count == Sidecar.blockByteCount { try flush() }
      }
    }

    mutating func padTo(_ position: UInt64) throws(FileSystemError) {
      let missing = Int(position - place) - buffer.count
      try put([UInt8](repeating: 0, count: missing).span.rawBytes)
    }

    mutating func finish() throws(FileSystemError) -> UInt64 {
      try flush()
      return digest
    }

    private mutating func flush() throws(FileSystemError) {
      guard buffer.count > 0 else { return }
      digest = XXH3.hash64(buffer.bytes, seed: digest)
      try file.write(buffer.bytes, at: place)
      place += UInt64(buffer.count)
      buffer.truncate(to: 0)
    }
  }
}
