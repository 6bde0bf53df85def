internal import LogEngine

/// FORMAT.md's words on frames, taken literally: all bytes at hand, one place at a time, and nothing clever. What the scanner says
/// has to be what this says.
struct FrameModel {
  let nonce: UInt64
  /// As in the format: `base` is where the bytes stand in the file.
  private let base = Int(SegmentHeader.dataStart.rawValue)
  var position = 0
  var nextIndex: UInt32 = 0
  var floor = 0
  var stoppedAt = 0
  var isSingle = false
  var searchEnd: Int
  private let budget: Int
  private var hashed = 0

  init(nonce: UInt64, byteCount: Int) {
    self.nonce = nonce
    searchEnd = byteCount
    budget = 4 * (base + byteCount) + 1 << 20
  }

  private struct Frame {
    var length: Int
    var index: UInt32
    var kind: UInt8
    var continues: Bool
    var bodyLength: Int
    var end: Int
  }

  private enum Found {
    case frame(Frame)
    case newer(String)
    case nothing
  }

  private mutating func frame(at place: Int, _ bytes: RawSpan, isSearching: Bool = false) -> Found {
    guard place + 32 <= bytes.byteCount else { return .nothing }
    let check = XXH3.hash64(bytes.extracting(place + 4..<place + 32), seed: nonce ^ UInt64(base + place))
    let (kind, flags) = (bytes.loadUInt8(at: place + 28), bytes.loadUInt8(at: place + 29))
    guard UInt32(truncatingIfNeeded: check) == bytes.loadUInt32(at: place), kind != 0 else { return .nothing }
    let bodyLength = Int(bytes.loadUInt32(at: place + 4))
    let end = place + 32 + (bodyLength + 7) / 8 * 8
    let newer =
      kind > 3
      ? "frame type \(kind)"
      : flags > 1 || bytes.loadUInt16(at: place + 30) != 0 ? "frame flags \(flags)" : nil
    if let newer, !isSearching { return .newer(newer) }
    let index = bytes.loadUInt32(at: place + 24)
    if newer == nil, Int(index) > place / 32 { return .nothing }
    guard end <= bytes.byteCount else { return .nothing }
    if isSearching { hashed += bodyLength }
    let body = place + 32..<place + 32 + bodyLength
    guard XXH3.hash64(bytes.extracting(body)) == bytes.loadUInt64(at: place + 8) else { return .nothing }
    guard bytes.extracting(body.upperBound..<end).isAllZeros else { return .nothing }
    if let newer { return .newer(newer) }
    let synced = bytes.loadUInt64(at: place + 16)
    if synced <= UInt64(base + place), synced > UInt64(base) { floor = max(floor, Int(synced) - base) }
    return .frame(
      Frame(
        length: end - place, index: index, kind: kind, continues: flags == 1, bodyLength: bodyLength, end: end
      ))
  }

  private func file(_ place: Int) -> FilePosition { FilePosition(UInt64(base + place)) }

  /// The next batch, mark or seal in order.
  mutating func next(_ bytes: RawSpan) -> SegmentScanner.Step {
    let start = position
    var cursor = position
    var index = nextIndex
    while true {
      let frame: Frame
      switch self.frame(at: cursor, bytes) {
      case .newer(let what): return .newer(what, at: file(cursor))
      case .nothing: return cursor == start ? markBehindZeros(bytes) : stop(cursor)
      case .frame(let found): frame = found
      }
      guard frame.index == index else { return stop(cursor) }
      if frame.kind == 1 {
        cursor = frame.end
        index += 1
        if frame.continues, !isSingle { continue }
        defer { (position, nextIndex) = (cursor, index) }
        return .batch(start: file(start), end: file(cursor), firstIndex: nextIndex, count: index - nextIndex)
      }
      guard cursor == start, !frame.continues, frame.bodyLength == (frame.kind == 2 ? 0 : 64) else {
        return stop(cursor)
      }
      position = frame.end
      if frame.kind == 2 { return .sync }
      guard let seal = Seal(bytes.extracting(cursor + 32..<frame.end)) else { return stop(cursor) }
      return .seal(seal)
    }
  }

  private mutating func markBehindZeros(_ bytes: RawSpan) -> SegmentScanner.Step {
    // The file's positions and these agree by block, as the header has two.
    let place = (position + 4095) / 4096 * 4096
    guard place > position, place + 32 <= bytes.byteCount else { return stop(position) }
    guard bytes.extracting(position..<place).isAllZeros,
      case .frame(let frame) = self.frame(at: place, bytes), frame.kind == 2, frame.index == nextIndex,
      frame.bodyLength == 0, !frame.continues
    else { return stop(position) }
    position = frame.end
    return .sync
  }

  private mutating func stop(_ place: Int) -> SegmentScanner.Step {
    stoppedAt = place
    return .stopped
  }

  /// The next sound frame behind the place where the last one was missed.
  mutating func resync(_ bytes: RawSpan) -> SegmentScanner.ResyncStep {
    for place in stride(from: max(stoppedAt + 8, position), to: searchEnd, by: 8) {
      guard place + 32 <= bytes.byteCount else { break }
      switch frame(at: place, bytes, isSearching: true) {
      case .newer(let what): return .newer(what, at: file(place))
      case .nothing: if hashed > budget { return .budgetSpent }
      case .frame(let found):
        position = place
        nextIndex = max(nextIndex, found.index)
        return .found
      }
    }
    return .exhausted
  }
}
