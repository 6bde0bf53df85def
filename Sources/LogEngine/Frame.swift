/// The 32 bytes in front of every record. FORMAT.md, "Frame".
package struct FrameHeader: Sendable, Hashable {
  package static let byteCount = 32
  package static let alignment: UInt64 = 8

  package enum Kind: UInt8, Sendable {
    case record = 1
    /// No record: only the word that everything before it is durable.
    case sync = 2
    /// The last frame of a segment.
    case seal = 3
  }

  package var bodyLength: UInt32
  package var bodyChecksum: UInt64
  /// A batch boundary in this segment that was durable when the frame was built.
  package var syncedThrough: FilePosition
  /// The index in the segment of this record, or of the next one for a frame that holds none.
  package var index: UInt32
  package var kind: Kind
  /// More frames of the same batch follow.
  package var continues: Bool

  package init(
    bodyLength: UInt32, bodyChecksum: UInt64, syncedThrough: FilePosition, index: UInt32, kind: Kind,
    continues: Bool
  ) {
    self.bodyLength = bodyLength
    self.bodyChecksum = bodyChecksum
    self.syncedThrough = syncedThrough
    self.index = index
    self.kind = kind
    self.continues = continues
  }

  /// The frame with its body and padding.
  package var frameByteCount: UInt64 { Self.frameByteCount(bodyLength: UInt64(bodyLength)) }

  package static func frameByteCount(bodyLength: UInt64) -> UInt64 {
    UInt64(byteCount) + (bodyLength + 7) & ~7
  }

  package enum Decoded {
    case frame(FrameHeader)
    /// The check holds, but the type or a flag is of a later version.
    case newer(FrameHeader, String)
    case invalid
  }

  /// Reads the header at the start of `bytes`, which stands at `position` of a segment with this nonce. The length is
  /// believed only once the check holds, and the check holds at no other place and in no other segment.
  package static func decode(_ bytes: RawSpan, at position: FilePosition, nonce: UInt64) -> Decoded {
    let check = UInt32(
      truncatingIfNeeded: XXH3.hash64(bytes.extracting(4..<byteCount), seed: nonce ^ position.rawValue))
    guard bytes.loadUInt32(at: 0) == check else { return .invalid }
    let type = bytes.loadUInt8(at: 28)
    // All zeros are never a frame, whatever the nonce makes of them.
    if type == 0 { return .invalid }
    let flags = bytes.loadUInt8(at: 29)
    let kind = Kind(rawValue: type)
    let header = FrameHeader(
      bodyLength: bytes.loadUInt32(at: 4),
      bodyChecksum: bytes.loadUInt64(at: 8),
      syncedThrough: FilePosition(bytes.loadUInt64(at: 16)),
      index: bytes.loadUInt32(at: 24),
      kind: kind ?? .record,
      continues: flags & 1 != 0)
    if kind == nil { return .newer(header, "frame type \(type)") }
    if flags & ~1 != 0 || bytes.loadUInt16(at: 30) != 0 { return .newer(header, "frame flags \(flags)") }
    return .frame(header)
  }

  /// What ``decode(_:at:nonce:)`` comes to where only the record of one index will do: the length of its body. nil for
  /// anything else.
  @inline(__always)
  static func recordLength(_ bytes: RawSpan, at position: FilePosition, nonce: UInt64, index: UInt32) -> Int?
  {
    let check = XXH3.hash64(bytes.extracting(4..<byteCount), seed: nonce ^ position.rawValue)
    // The record type, the flag of a batch that goes on or none, and zeros.
    guard bytes.loadUInt32(at: 0) == UInt32(truncatingIfNeeded: check), bytes.loadUInt32(at: 24) == index,
      bytes.loadUInt32(at: 28) & ~0x100 == UInt32(Kind.record.rawValue)
    else { return nil }
    return Int(bytes.loadUInt32(at: 4))
  }
}

/// The body of a segment's last frame. FORMAT.md, "Seal".
package struct Seal: Sendable, Hashable {
  package static let bodyByteCount = 64
  package static let frameByteCount = UInt64(FrameHeader.byteCount + bodyByteCount)

  package var recordCount: UInt64
  package var frameCount: UInt64
  package var firstOffset: Offset
  package var nextOffset: Offset
  package var bodyBytes: UInt64
  /// Covers the header block and every frame before the seal.
  package var digest: UInt64

  package func encode() -> [UInt8] {
    var buffer = ByteBuffer(capacity: Self.bodyByteCount)
    buffer.append(recordCount)
    buffer.append(frameCount)
    buffer.append(firstOffset.rawValue)
    buffer.append(nextOffset.rawValue)
    buffer.append(bodyBytes)
    buffer.append(digest)
    buffer.appendZeros(Self.bodyByteCount - buffer.count)
    return buffer.copy()
  }

  package init(
    recordCount: UInt64, frameCount: UInt64, firstOffset: Offset, nextOffset: Offset, bodyBytes: UInt64,
    digest: UInt64
  ) {
    self.recordCount = recordCount
    self.frameCount = frameCount
    self.firstOffset = firstOffset
    self.nextOffset = nextOffset
    self.bodyBytes = bodyBytes
    self.digest = digest
  }

  /// What the seal of a segment with these frames says.
  package init(_ tally: SegmentTally, firstOffset: Offset) {
    self.init(
      recordCount: UInt64(tally.recordCount), frameCount: tally.frameCount, firstOffset: firstOffset,
      nextOffset: firstOffset.advanced(by: UInt64(tally.recordCount)), bodyBytes: tally.bodyBytes,
      digest: tally.digest)
  }

  package init?(_ body: RawSpan) {
    guard body.byteCount == Self.bodyByteCount else { return nil }
    self.init(
      recordCount: body.loadUInt64(at: 0), frameCount: body.loadUInt64(at: 8),
      firstOffset: Offset(body.loadUInt64(at: 16)), nextOffset: Offset(body.loadUInt64(at: 24)),
      bodyBytes: body.loadUInt64(at: 32), digest: body.loadUInt64(at: 40))
  }
}

/// Counts and digest of the frames of a segment so far: what a seal states of them.
package struct SegmentTally: Sendable, Hashable {
  package var recordCount: UInt32 = 0
  package var frameCount: UInt64 = 0
  package var bodyBytes: UInt64 = 0
  package var digest: UInt64

  /// A segment with no frame yet; the digest starts from its header block's checksum.
  package init(headerChecksum: UInt64) { digest = headerChecksum }

  /// Each header covers its body by checksum, so folding headers covers every byte of the frames.
  package mutating func add(_ header: RawSpan, kind: FrameHeader.Kind, bodyLength: UInt32) {
    digest = XXH3.hash64(header, seed: digest)
    frameCount += 1
    bodyBytes += UInt64(bodyLength)
    if kind == .record { recordCount += 1 }
  }
}
