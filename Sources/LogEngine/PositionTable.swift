/// Where each record of one segment starts. Four bytes a record, in chunks, so that growth copies nothing.
struct PositionTable: Sendable {
  private static let chunkCount = 4096

  private var chunks: [[UInt32]] = []
  private(set) var count = 0

  /// nil for a record whose frame is lost.
  func position(at index: Int) -> FilePosition? {
    let stored = chunks[index / Self.chunkCount][index % Self.chunkCount]
    return stored == 0 ? nil : FilePosition(UInt64(stored) * FrameHeader.alignment)
  }

  /// How many records start below `position`.
  func count(below position: FilePosition) -> Int {
    var count = count
    while count > 0, (self.position(at: count - 1) ?? position) >= position { count -= 1 }
    return count
  }

  /// Frames are aligned to eight bytes and a segment ends before 32 GiB (FORMAT.md, "Limits"), so 32 bits hold a place.
  mutating func append(_ position: FilePosition) {
    append(stored: UInt32(position.rawValue / FrameHeader.alignment))
  }

  /// Fills up to `count` with records whose frames are lost.
  mutating func appendLost(upTo count: Int) {
    while self.count < count { append(stored: 0) }
  }

  private mutating func append(stored: UInt32) {
    if count % Self.chunkCount == 0 {
      var chunk: [UInt32] = []
      // A small segment should not pay for a large one's chunk.
      if count > 0 { chunk.reserveCapacity(Self.chunkCount) }
      chunks.append(chunk)
    }
    chunks[chunks.count - 1].append(stored)
    count += 1
  }
}
