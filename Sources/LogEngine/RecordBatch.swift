/// Records on their way into the log: encoded once, in the layout of the file, so that a commit is one write.
///
/// A batch is atomic: after a crash all of its records are there or none. Not thread-safe; reuse one to save its memory.
public struct RecordBatch: ~Copyable, Sendable {
  /// The frames, with everything in their headers that does not depend on where they will stand.
  private var frames = ByteBuffer()
  private var recordStart: Int?

  private let recordLimit: Int
  private let byteLimit: Int

  /// How many records it holds.
  public private(set) var count = 0

  /// An empty batch.
  public init() {
    self.init(recordLimit: LogLimits.recordByteCount, byteLimit: LogLimits.batchByteCount)
  }

  init(recordLimit: Int, byteLimit: Int) {
    self.recordLimit = recordLimit
    self.byteLimit = byteLimit
  }

  /// Bytes the batch will take in a segment.
  public var byteCount: Int { frames.count }

  package var bytes: RawSpan {
    @_lifetime(borrow self) get { frames.bytes }
  }

  /// Adds a record with these bytes. Cost: one copy and one hash.
  public mutating func append(_ record: RawSpan) throws(LogError) {
    try appendRecord { $0.append(record) }
  }

  /// Adds a record that `encode` writes in place.
  package mutating func appendRecord(_ encode: (inout ByteBuffer) -> Void) throws(LogError) {
    let start = frames.count
    frames.appendZeros(FrameHeader.byteCount)
    encode(&frames)
    let bodyStart = start + FrameHeader.byteCount
    let length = frames.count - bodyStart
    guard length <= recordLimit else {
      frames.truncate(to: start)
      throw LogError(
        .recordTooLarge, path: "",
        "a record of \(length) bytes passes the limit of \(recordLimit); split it")
    }
    let checksum = XXH3.hash64(frames.bytes.extracting(bodyStart..<frames.count))
    frames.appendZeros(-length & 7)
    frames.store(UInt32(length), at: start + 4)
    frames.store(checksum, at: start + 8)
    frames.store(FrameHeader.Kind.record.rawValue, at: start + 28)
    count += 1
    guard frames.count <= byteLimit || count == 1 else {
      frames.truncate(to: start)
      count -= 1
      throw LogError(
        .batchTooLarge, path: "",
        "a batch passes the limit of \(byteLimit) bytes; use smaller ones")
    }
  }

  /// Empties the batch. Memory beyond a usual batch's is given back.
  public mutating func removeAll() {
    frames.removeAll(keepingAtMost: 1 << 20)
    count = 0
  }

  /// Calls `body` with where each record starts if the first does at `position`.
  package func forEachFrame(at position: FilePosition, _ body: (FilePosition) -> Void) {
    var start = 0
    for _ in 0..<count {
      body(position.advanced(by: UInt64(start)))
      start += Int(FrameHeader.frameByteCount(bodyLength: UInt64(frames.bytes.loadUInt32(at: start + 4))))
    }
  }

  /// Calls `body` with the bytes of each record.
  package func forEachRecord(_ body: (RawSpan) -> Void) {
    var start = 0
    for _ in 0..<count {
      let length = Int(frames.bytes.loadUInt32(at: start + 4))
      body(frames.bytes.extracting(start + FrameHeader.byteCount..<start + FrameHeader.byteCount + length))
      start += Int(FrameHeader.frameByteCount(bodyLength: UInt64(length)))
    }
  }

  /// Completes the headers for the place the frames will have.
  package mutating func seal(
    at position: FilePosition, nonce: UInt64, syncedThrough: FilePosition, tally: inout SegmentTally
  ) {
    var start = 0
    for record in 0..<count {
      let length = frames.bytes.loadUInt32(at: start + 4)
      let standing = position.advanced(by: UInt64(start))
      frames.store(syncedThrough.rawValue, at: start + 16)
      frames.store(tally.recordCount, at: start + 24)
      frames.store(UInt8(record + 1 < count ? 1 : 0), at: start + 29)
      let check = XXH3.hash64(
        frames.bytes.extracting(start + 4..<start + FrameHeader.byteCount), seed: nonce ^ standing.rawValue)
      frames.store(UInt32(truncatingIfNeeded: check), at: start)
      tally.add(
        frames.bytes.extracting(start..<start + FrameHeader.byteCount), kind: .record, bodyLength: length)
      start += Int(FrameHeader.frameByteCount(bodyLength: UInt64(length)))
    }
    // A batch is exactly its frames.
    precondition(start == frames.count)
  }
}

/// What the format can hold. FORMAT.md, "Limits".
public enum LogLimits {
  /// The largest record: 1 GiB, and room for what an application adds to a payload of that size.
  public static let recordByteCount = 1 << 30 + 1 << 16
  /// The largest batch with its frames; a single record may always be one.
  public static let batchByteCount = 1 << 30
  /// The smallest and the largest segment size.
  public static let segmentByteCount: ClosedRange<UInt64> = 16 << 10...16 << 30
  /// No frame starts behind this, whatever a segment file's length.
  static let segmentFileByteCount: UInt64 = 1 << 35
}

/// A frame that holds no record, ready to be written.
package struct ControlFrame {
  package let bytes: [UInt8]

  package init(
    _ kind: FrameHeader.Kind, body: [UInt8], at position: FilePosition, nonce: UInt64,
    syncedThrough: FilePosition,
    index: UInt32
  ) {
    var buffer = ByteBuffer(capacity: FrameHeader.byteCount + body.count)
    buffer.append(UInt32(0))
    buffer.append(UInt32(body.count))
    buffer.append(XXH3.hash64(body.span.rawBytes))
    buffer.append(syncedThrough.rawValue)
    buffer.append(index)
    buffer.append(kind.rawValue)
    buffer.appendZeros(3)
    let check = XXH3.hash64(
      buffer.bytes.extracting(4..<FrameHeader.byteCount), seed: nonce ^ position.rawValue)
    buffer.store(UInt32(truncatingIfNeeded: check), at: 0)
    buffer.append(body.span.rawBytes)
    bytes = buffer.copy()
  }
}
