internal import PlatformIO

/// Where each record of one segment starts. Four bytes a record: in chunks, so that growth copies nothing, or in a sidecar.
struct PositionTable: Sendable {
  static let entryByteCount = 4
  private static let chunkCount = 4096

  private var chunks: [[UInt32]] = []
  /// Where positions of a sidecar stand in it.
  private var region: MemoryRegion?
  private var start = 0
  private(set) var count = 0
  /// Of a sidecar's positions that nobody has compared with their digests yet. That is done when the first one is needed.
  private var unchecked: BlockDigests?

  init() {}

  /// Positions as ``encode(_:)`` gave them, in so many bytes of a file. Nothing can be appended.
  init(_ region: MemoryRegion, _ range: Range<Int>, _ digests: BlockDigests) {
    self.region = region
    start = range.lowerBound
    count = range.count / Self.entryByteCount
    unchecked = digests
  }

  /// Are they known to be what was written?
  @inline(__always)
  var isChecked: Bool { unchecked == nil }

  /// Are they what was written? Cost: unless that is known, all are hashed.
  mutating func check() -> Bool {
    guard let region, let digests = unchecked else { return true }
    guard digests.agree(with: region, in: start..<start + count * Self.entryByteCount) else { return false }
    unchecked = nil
    return true
  }

  /// nil for a record whose frame is lost.
  // In line, as whoever asks would take the table out of its segment for a call, and count the references to it.
  @inline(__always)
  func position(at index: Int) -> FilePosition? {
    let entry = entry(at: index)
    return entry == 0 ? nil : FilePosition(UInt64(entry) * FrameHeader.alignment)
  }

  @inline(__always)
  private func entry(at index: Int) -> UInt32 {
    if let region { return region.bytes.loadUInt32(at: start + index * Self.entryByteCount) }
    return chunks[index / Self.chunkCount][index % Self.chunkCount]
  }

  /// How many records start below `position`.
  func count(below position: FilePosition) -> Int {
    var count = count
    while count > 0, (self.position(at: count - 1) ?? position) >= position { count -= 1 }
    return count
  }

  /// Frames are aligned to eight bytes and a segment ends before 32 GiB (FORMAT.md, "Limits"), so 32 bits hold a place.
  mutating func append(_ position: FilePosition) {
    append(entry: UInt32(position.rawValue / FrameHeader.alignment))
  }

  /// Fills up to `count` with records whose frames are lost.
  mutating func appendLost(upTo count: Int) {
    while self.count < count { append(entry: 0) }
  }

  private mutating func append(entry: UInt32) {
    // A sealed segment does not grow.
    precondition(region == nil)
    if count % Self.chunkCount == 0 {
      var chunk: [UInt32] = []
      // A small segment should not pay for a large one's chunk.
      if count > 0 { chunk.reserveCapacity(Self.chunkCount) }
      chunks.append(chunk)
    }
    chunks[chunks.count - 1].append(entry)
    count += 1
  }

  // MARK: Sidecars

  /// The positions as bytes, some at a time.
  func encode<E: Error>(_ put: (RawSpan) throws(E) -> Void) throws(E) {
    // What is in a sidecar is not written to another.
    precondition(region == nil)
    for chunk in chunks {
      var buffer = ByteBuffer(capacity: chunk.count * Self.entryByteCount)
      for entry in chunk { buffer.append(entry) }
      try put(buffer.bytes)
    }
  }

  /// A table with the same positions that can grow.
  func growing() -> PositionTable {
    var table = PositionTable()
    for index in 0..<count { table.append(entry: entry(at: index)) }
    return table
  }
}
