/// What every segment says of itself and of the log, in its first 8 KiB. FORMAT.md, "Segment header".
package struct SegmentHeader: Sendable, Hashable {
  package static let blockByteCount = 4096
  /// Two equal blocks; either is enough.
  package static let byteCount = 2 * blockByteCount
  package static let dataStart = FilePosition(UInt64(byteCount))
  package static let version: UInt32 = 1
  /// Catches files that went through text mode (CR LF, LF), a 7-bit channel (the first byte) or `type` (0x1A).
  static let magic: UInt64 = 0x0A1A_0A0D_474C_5289
  /// Features of this version that an older reader must not overlook. None so far.
  static let knownIncompatible: UInt64 = 0
  static let knownReadOnlyCompatible: UInt64 = 0

  package var incompatibleFeatures: UInt64 = 0
  package var readOnlyCompatibleFeatures: UInt64 = 0
  package var compatibleFeatures: UInt64 = 0
  package var log: UniqueID
  package var epoch: Epoch
  package var number: SegmentNumber
  package var firstOffset: Offset
  /// Offsets below this are gone. The newest segment's word counts.
  package var logStart: Offset
  package var nonce: UInt64
  package var previous: Predecessor
  /// The file was at least this long when it was published; 0 if nothing was reserved.
  package var preallocated: UInt64
  /// The size at which this log starts a new segment.
  package var segmentSize: UInt64
  /// Microseconds since the Unix epoch.
  package var created: Int64
  package var application: ApplicationTag

  package struct Predecessor: Sendable, Hashable {
    package var number: UInt64
    package var length: UInt64
    package var digest: UInt64

    package init(number: UInt64, length: UInt64, digest: UInt64) {
      self.number = number
      self.length = length
      self.digest = digest
    }

    /// A sealed segment.
    init(_ number: SegmentNumber, end: FilePosition, digest: UInt64) {
      self.init(number: number.rawValue, length: end.rawValue, digest: digest)
    }

    /// The first segment of a log, or one whose predecessors are below `logStart`.
    package static func dropped(_ number: UInt64) -> Predecessor {
      Predecessor(number: number, length: 0, digest: 0)
    }
  }

  /// The length at which the segment is full.
  var capacity: UInt64 { min(max(preallocated, segmentSize), LogLimits.segmentFileByteCount) }

  // MARK: Bytes

  /// The block's checksum is also where the segment's digest starts.
  package func encode() -> (block: [UInt8], checksum: UInt64) {
    var buffer = ByteBuffer(capacity: Self.blockByteCount)
    buffer.append(Self.magic)
    buffer.append(Self.version)
    buffer.append(UInt32(Self.blockByteCount))
    buffer.append(incompatibleFeatures)
    buffer.append(readOnlyCompatibleFeatures)
    buffer.append(compatibleFeatures)
    buffer.append(log)
    buffer.append(epoch.id)
    buffer.append(epoch.start.rawValue)
    buffer.append(epoch.parent)
    buffer.append(epoch.parentEnd.rawValue)
    buffer.append(number.rawValue)
    buffer.append(firstOffset.rawValue)
    buffer.append(logStart.rawValue)
    buffer.append(nonce)
    buffer.append(previous.number)
    buffer.append(previous.length)
    buffer.append(previous.digest)
    buffer.append(preallocated)
    buffer.append(segmentSize)
    buffer.append(UInt64(bitPattern: created))
    buffer.append(application.id)
    buffer.append(application.options)
    buffer.appendZeros(Self.blockByteCount - 8 - buffer.count)
    let checksum = XXH3.hash64(buffer.bytes)
    buffer.append(checksum)
    return (buffer.copy(), checksum)
  }

  package enum Decoded {
    case header(SegmentHeader, checksum: UInt64)
    /// Written by a version or with a feature that this reader does not know; what it is, in words.
    case newer(String)
    case invalid
  }

  /// Reads one of the two blocks.
  package static func decode(_ block: RawSpan) -> Decoded {
    guard block.byteCount == blockByteCount, block.loadUInt64(at: 0) == magic else { return .invalid }
    let checksum = block.loadUInt64(at: blockByteCount - 8)
    guard XXH3.hash64(block.extracting(0..<blockByteCount - 8)) == checksum else { return .invalid }
    // The checksum holds, so what follows is what some writer meant.
    let version = block.loadUInt32(at: 8)
    guard version == Self.version else { return .newer("format version \(version)") }
    let incompatible = block.loadUInt64(at: 16)
    let unknown = incompatible & ~knownIncompatible
    if unknown != 0 { return .newer("incompatible feature bit \(unknown.trailingZeroBitCount)") }
    let header = SegmentHeader(
      incompatibleFeatures: incompatible,
      readOnlyCompatibleFeatures: block.loadUInt64(at: 24),
      compatibleFeatures: block.loadUInt64(at: 32),
      log: block.loadUniqueID(at: 40),
      epoch: Epoch(
        id: block.loadUniqueID(at: 56),
        start: Offset(block.loadUInt64(at: 72)),
        parent: block.loadUniqueID(at: 80),
        parentEnd: Offset(block.loadUInt64(at: 96))),
      number: SegmentNumber(block.loadUInt64(at: 104)),
      firstOffset: Offset(block.loadUInt64(at: 112)),
      logStart: Offset(block.loadUInt64(at: 120)),
      nonce: block.loadUInt64(at: 128),
      previous: Predecessor(
        number: block.loadUInt64(at: 136),
        length: block.loadUInt64(at: 144),
        digest: block.loadUInt64(at: 152)),
      preallocated: block.loadUInt64(at: 160),
      segmentSize: block.loadUInt64(at: 168),
      created: Int64(bitPattern: block.loadUInt64(at: 176)),
      application: ApplicationTag(
        id: block.loadUInt64(at: 184), options: block.loadUInt64(at: 192)))
    // Numbers that no writer makes, and that arithmetic must not meet.
    guard block.loadUInt32(at: 12) == UInt32(blockByteCount), header.firstOffset.rawValue >= 1,
      header.firstOffset <= Offset.max.next,
      header.logStart <= header.firstOffset, header.number.rawValue >= 1,
      header.number.rawValue < UInt64(Int64.max), header.preallocated < UInt64(Int64.max),
      header.segmentSize < UInt64(Int64.max)
    else { return .invalid }
    return .header(header, checksum: checksum)
  }

  /// Features an older writer must leave alone, though it may read.
  package var unknownReadOnlyFeatures: UInt64 { readOnlyCompatibleFeatures & ~Self.knownReadOnlyCompatible }
}

/// A span of a log's history that no copy or reset interrupts. A cursor belongs to one epoch.
public struct Epoch: Sendable, Hashable {
  /// The epoch's identity.
  public let id: UniqueID
  /// The first offset the epoch gives out.
  public let start: Offset
  /// The epoch it continues; all zeros if none.
  public let parent: UniqueID
  /// The last offset that the parent epoch and this one have in common.
  public let parentEnd: Offset

  package init(id: UniqueID, start: Offset, parent: UniqueID = .none, parentEnd: Offset = .zero) {
    self.id = id
    self.start = start
    self.parent = parent
    self.parentEnd = parentEnd
  }
}

/// Who a log's records belong to, so that one application does not misread another's.
public struct ApplicationTag: Sendable, Hashable {
  /// Names the application; compared when a log is opened.
  public var id: UInt64
  /// The application's own settings for this log, fixed when it is created.
  public var options: UInt64

  /// A tag of an application.
  public init(id: UInt64, options: UInt64 = 0) {
    self.id = id
    self.options = options
  }
}
