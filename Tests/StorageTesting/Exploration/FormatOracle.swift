internal import LogEngine

/// Reads the end of a log by the letter of FORMAT.md and nothing else, to hold the engine's recovery against.
package struct FormatOracle {
  private let bytes: [UInt8]
  private let nonce: UInt64
  /// Nothing was reserved for the segment.
  package let hasGrown: Bool
  package private(set) var isSealed = false
  /// Where the last complete batch, sync frame or seal ends: X.
  package private(set) var end = 8192
  /// The highest `syncedThrough` that any sound frame states.
  package private(set) var floor = 8192

  /// There is a sidecar, and what that covers is not read by an opening.
  private let isCovered: Bool

  /// Durable records are damaged, so that a writer has to refuse.
  package var mustRefuse: Bool { end < floor && !isCovered }

  private struct Frame {
    var end: Int
    var syncedThrough: Int
    var index: UInt32
    var type: UInt8
    var continues: Bool
  }

  /// nil without a readable header of the newest segment.
  package init?(_ image: DiskImage) {
    guard let name = image.segments.last, let bytes = image.files[name] else { return nil }
    self.init(segment: bytes, isCovered: image.files[name.dropLast(4) + ".idx"] != nil)
  }

  private init?(segment bytes: [UInt8], isCovered: Bool) {
    self.isCovered = isCovered
    let copies = [0, 4096].filter { start in
      guard start + 4096 <= bytes.count else { return false }
      let block = bytes.span.rawBytes.extracting(start..<start + 4096)
      return block.loadUInt64(at: 0) == 0x0A1A_0A0D_474C_5289
        && XXH3.hash64(block.extracting(0..<4088)) == block.loadUInt64(at: 4088)
    }
    guard let header = copies.first else { return nil }
    self.bytes = bytes
    nonce = bytes.span.rawBytes.loadUInt64(at: header + 128)
    hasGrown = bytes.span.rawBytes.loadUInt64(at: header + 160) == 0
    read()
  }

  private func isZero(_ range: Range<Int>) -> Bool { bytes.areZeros(range) }

  private func frame(at place: Int) -> Frame? {
    guard place + 32 <= bytes.count else { return nil }
    let header = bytes.span.rawBytes.extracting(place..<place + 32)
    let check = XXH3.hash64(header.extracting(4..<32), seed: nonce ^ UInt64(place))
    guard UInt32(truncatingIfNeeded: check) == header.loadUInt32(at: 0) else { return nil }
    let length = Int(header.loadUInt32(at: 4))
    let (type, index) = (header.loadUInt8(at: 28), header.loadUInt32(at: 24))
    let end = place + 32 + (length + 7) & ~7
    guard type != 0, Int(index) <= (place - 8192) / 32, end <= bytes.count else { return nil }
    let body = bytes.span.rawBytes.extracting(place + 32..<place + 32 + length)
    guard XXH3.hash64(body) == header.loadUInt64(at: 8), isZero(place + 32 + length..<end) else { return nil }
    return Frame(
      end: end, syncedThrough: Int(clamping: header.loadUInt64(at: 16)), index: index, type: type,
      continues: header.loadUInt8(at: 29) & 1 != 0)
  }

  private mutating func read() {
    var place = 8192
    var index: UInt32 = 0
    var isInBatch = false
    while !isSealed {
      var next = frame(at: place)
      var start = place
      if next == nil, !isInBatch {
        start = (place + 4095) & ~4095
        if start <= bytes.count, isZero(place..<start), let mark = frame(at: start), mark.type == 2 {
          next = mark
        }
      }
      guard let frame = next, frame.index == index else { break }
      if frame.syncedThrough <= start { floor = max(floor, frame.syncedThrough) }
      if frame.type == 1 {
        index += 1
        isInBatch = frame.continues
      } else {
        guard !isInBatch else { break }
        isSealed = frame.type == 3
      }
      place = frame.end
      if !isInBatch { end = place }
    }
    guard !isSealed else { return }
    // Sound frames behind a bad one: at every multiple of eight.
    while place + 32 <= bytes.count {
      if let frame = frame(at: place) {
        if frame.syncedThrough <= place { floor = max(floor, frame.syncedThrough) }
        if frame.type == 3 { return }
        place = frame.end
      } else {
        place += 8
      }
    }
  }
}
