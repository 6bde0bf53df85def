internal import PlatformIO

/// What a snapshot consists of: its file SNAPSHOT. FORMAT.md, "SNAPSHOT".
///
/// As long as the file is there the directory is a snapshot that nobody has written to; the first writer unlinks it.
package struct SnapshotManifest: Sendable, Hashable {
  package static let name = "SNAPSHOT"
  static let magic: UInt64 = 0x0A1A_0A0D_534C_5289
  package static let version: UInt32 = 1
  static let fixedByteCount = 80
  static let segmentByteCount = 32
  static let checksumByteCount = 8
  /// So that a reader never has to make room for more on the word of a length.
  static let segmentLimit = 1 << 20

  /// A sealed segment of the snapshot.
  package struct Segment: Sendable, Hashable {
    package var number: SegmentNumber
    /// To the end of its seal; the file may be longer, by zeros.
    package var length: UInt64
    /// As its seal states it.
    package var digest: UInt64
    package var firstOffset: Offset
  }

  package var log: UniqueID
  package var epoch: UniqueID
  package var logStart: Offset
  package var next: Offset
  /// Microseconds since the Unix epoch.
  package var created: Int64
  package var segments: [Segment]

  /// The segments' lengths together.
  var byteCount: UInt64 { segments.reduce(0) { $0 + $1.length } }

  // MARK: Bytes

  package func encode() -> [UInt8] {
    var buffer = ByteBuffer(
      capacity: Self.fixedByteCount + segments.count * Self.segmentByteCount + Self.checksumByteCount)
    buffer.append(Self.magic)
    buffer.append(Self.version)
    buffer.append(UInt32(segments.count))
    buffer.append(log)
    buffer.append(epoch)
    buffer.append(logStart.rawValue)
    buffer.append(next.rawValue)
    buffer.append(UInt64(bitPattern: created))
    buffer.appendZeros(Self.fixedByteCount - buffer.count)
    for segment in segments {
      buffer.append(segment.number.rawValue)
      buffer.append(segment.length)
      buffer.append(segment.digest)
      buffer.append(segment.firstOffset.rawValue)
    }
    buffer.append(XXH3.hash64(buffer.bytes))
    return buffer.copy()
  }

  package enum Decoded: Equatable {
    case manifest(SnapshotManifest)
    /// Written by a version that this reader does not know; what it is, in words.
    case newer(String)
    case invalid
  }

  package static func decode(_ bytes: RawSpan) -> Decoded {
    let end = bytes.byteCount - checksumByteCount
    guard end >= fixedByteCount, bytes.loadUInt64(at: 0) == magic,
      XXH3.hash64(bytes.extracting(0..<end)) == bytes.loadUInt64(at: end)
    else { return .invalid }
    // The checksum holds, so what follows is what some writer meant.
    let version = bytes.loadUInt32(at: 8)
    guard version == Self.version else { return .newer("snapshot version \(version)") }
    let count = Int(bytes.loadUInt32(at: 12))
    guard count <= segmentLimit, end == fixedByteCount + count * segmentByteCount else { return .invalid }
    var manifest = SnapshotManifest(
      log: bytes.loadUniqueID(at: 16), epoch: bytes.loadUniqueID(at: 32),
      logStart: Offset(bytes.loadUInt64(at: 48)), next: Offset(bytes.loadUInt64(at: 56)),
      created: Int64(bitPattern: bytes.loadUInt64(at: 64)), segments: [])
    manifest.segments.reserveCapacity(count)
    for place in 0..<count {
      let start = fixedByteCount + place * segmentByteCount
      manifest.segments.append(
        Segment(
          number: SegmentNumber(bytes.loadUInt64(at: start)), length: bytes.loadUInt64(at: start + 8),
          digest: bytes.loadUInt64(at: start + 16), firstOffset: Offset(bytes.loadUInt64(at: start + 24))))
    }
    return manifest.isPlausible ? .manifest(manifest) : .invalid
  }

  /// Numbers that no writer makes, and that arithmetic must not meet.
  private var isPlausible: Bool {
    guard let first = segments.first, first.number.rawValue >= 1, first.firstOffset == logStart,
      logStart.rawValue >= 1, next <= Offset.max.next
    else { return false }
    var expected = first.number
    var offset = logStart
    for segment in segments {
      guard segment.number == expected, segment.number.rawValue < UInt64(Int64.max),
        segment.length >= SegmentHeader.dataStart.rawValue + Seal.frameByteCount,
        segment.length <= 2 * LogLimits.segmentFileByteCount, segment.firstOffset >= offset
      else { return false }
      expected = expected.next
      offset = segment.firstOffset
    }
    return next >= offset
  }
}

extension Seal {
  /// Reads the whole frame of a seal that stands at `position`; nil if it is none.
  init?(frame: RawSpan, at position: FilePosition, nonce: UInt64) {
    guard frame.byteCount == Int(Self.frameByteCount),
      case .frame(let header) = FrameHeader.decode(
        frame.extracting(0..<FrameHeader.byteCount), at: position, nonce: nonce),
      header.kind == .seal, header.bodyLength == UInt32(Self.bodyByteCount)
    else { return nil }
    let body = frame.extracting(FrameHeader.byteCount..<frame.byteCount)
    guard XXH3.hash64(body) == header.bodyChecksum else { return nil }
    self.init(body)
  }
}

extension LogDirectory {
  /// What SNAPSHOT says; nil if there is none. Throws `.damaged` if it is not what was written.
  func readSnapshot() throws(LogError) -> SnapshotManifest? {
    let path = path(of: SnapshotManifest.name)
    let file: any LogFile
    do throws(FileSystemError) {
      file = try fileSystem.open(path, .readOnly)
    } catch {
      if error.code == .notFound { return nil }
      throw LogError(error)
    }
    let limit =
      SnapshotManifest.fixedByteCount + SnapshotManifest.segmentLimit * SnapshotManifest.segmentByteCount
      + SnapshotManifest.checksumByteCount
    let length = try onFile { () throws(FileSystemError) in try file.status().length }
    var buffer = ByteBuffer()
    if length <= UInt64(limit) {
      try onFile { () throws(FileSystemError) in
        try buffer.fill(Int(length)) { (space) throws(FileSystemError) in try file.read(into: &space, at: 0) }
      }
    }
    switch SnapshotManifest.decode(buffer.bytes) {
    case .manifest(let manifest): return manifest
    case .newer(let what):
      throw LogError(
        .newerFormat, path: path, "is of \(what), which this version does not know; use the newer program")
    case .invalid:
      throw LogError(
        .damaged, path: path,
        "the snapshot's list is damaged, so whether the snapshot is complete cannot be told; take it from another copy, or salvage"
      )
    }
  }

  /// Writes SNAPSHOT, durably but for its name.
  func writeSnapshot(_ manifest: SnapshotManifest) throws(LogError) {
    guard manifest.segments.count <= SnapshotManifest.segmentLimit else {
      throw LogError(
        .invalidOption, path: path,
        "the log has \(manifest.segments.count) segments, and a snapshot lists at most \(SnapshotManifest.segmentLimit); use larger segments"
      )
    }
    let path = path(of: SnapshotManifest.name)
    try onFile { () throws(FileSystemError) in
      let file = try fileSystem.open(path, .createNew)
      try file.write(manifest.encode().span.rawBytes, at: 0)
      try file.sync()
    }
  }

  /// The first writer of a snapshot has made it a log of its own.
  func removeSnapshot() throws(LogError) {
    try onFile { () throws(FileSystemError) in
      try removeIfPresent(path(of: SnapshotManifest.name))
      try fileSystem.syncDirectory(path)
    }
  }

  /// The seal that ends a segment file at `length`, as a valid list states it; nil if none does.
  func seal(
    of file: any LogFile, endingAt length: UInt64, nonce: UInt64
  ) throws(LogError) -> Seal? {
    let start = length - Seal.frameByteCount
    var buffer = ByteBuffer()
    try onFile { () throws(FileSystemError) in
      try buffer.fill(Int(Seal.frameByteCount)) { (space) throws(FileSystemError) in
        try file.read(into: &space, at: start)
      }
    }
    return Seal(frame: buffer.bytes, at: FilePosition(start), nonce: nonce)
  }
}
