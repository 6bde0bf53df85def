internal import LogEngine

/// Any bytes as a structure with a checksum: what is read is written again as the same bytes.
enum HeaderFuzz {
  /// Room for each of them, with the input in front and zeros behind, where they are reserved.
  // Both `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var block = [UInt8](repeating: 0, count: SegmentHeader.blockByteCount)
  private nonisolated(unsafe) static var used = 0

  /// The first byte says whether the checksum is made right, and which fields that always stand there are put in their place.
  private static func fill(_ input: RawSpan, upTo count: Int) {
    unsafe used = 0
    for place in 1..<max(1, min(input.byteCount, count)) {
      unsafe block[place - 1] = input.loadUInt8(at: place)
      unsafe used = place
    }
  }

  private static func clear(_ count: Int) {
    unsafe block.store(0, 8, at: count - 8)
    for place in unsafe 0..<used { unsafe block[place] = 0 }
  }

  private static func repair(_ count: Int) {
    let sum = unsafe XXH3.hash64(block.span.rawBytes.extracting(0..<count - 8))
    unsafe block.store(sum, 8, at: count - 8)
  }

  // MARK: Segment

  static func run(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let count = SegmentHeader.blockByteCount
    fill(input, upTo: 240)
    if input.loadUInt8(at: 0) & 1 == 0 { repair(count) }
    unsafe checkSegment(block.span.rawBytes)
    clear(count)
  }

  private static func checkSegment(_ block: RawSpan) {
    let count = block.byteCount
    if case .header(let header, let checksum) = SegmentHeader.decode(block) {
      promise(
        header.number.rawValue >= 1 && header.firstOffset >= header.logStart
          && header.firstOffset.rawValue >= 1,
        "numbers are some writer's")
      let again = header.encode()
      if block.extracting(200..<count - 8).isAllZeros {
        promise(
          again.checksum == checksum && again.block.span.rawBytes.isEqual(to: block), "one spelling only")
      }
      guard case .header(header, again.checksum) = SegmentHeader.decode(again.block.span.rawBytes) else {
        return promise(false, "what is written is read")
      }
    }
  }

  /// A header's first bytes, field by field as in the format.
  private static func fields(nonce: UInt64) -> [UInt8] {
    var bytes = [0x89, 0x52, 0x4C, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + [UInt8](repeating: 0, count: 192)
    for (place, value): (Int, UInt64) in [
      (8, 1 | 4096 << 32), (40, 1), (56, 2), (72, 1), (104, 1), (112, 1), (120, 1), (128, nonce),
      (168, 1 << 20),
    ] {
      bytes.store(value, 8, at: place)
    }
    return bytes
  }

  static func sound(nonce: UInt64) -> SegmentHeader {
    var block = fields(nonce: nonce) + [UInt8](repeating: 0, count: SegmentHeader.blockByteCount - 200)
    block.store(XXH3.hash64(block.span.rawBytes.extracting(droppingLast: 8)), 8, at: block.count - 8)
    guard case .header(let header, _) = SegmentHeader.decode(block.span.rawBytes) else {
      fatalError("the seed is no header")
    }
    return header
  }

  static let seeds: [[UInt8]] = [[0] + fields(nonce: 7)]

  // MARK: Sidecar

  static func runSidecar(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let count = SidecarHeader.byteCount
    fill(input, upTo: count + 1)
    if input.loadUInt8(at: 0) & 1 == 0 { repair(count) }
    unsafe checkSidecar(block.span.rawBytes.extracting(0..<count))
    clear(count)
  }

  private static func checkSidecar(_ bytes: RawSpan) {
    let count = bytes.byteCount
    if let header = SidecarHeader(bytes) {
      promise(header.fileByteCount >= UInt64(count), "lengths add up")
      let again = header.encode()
      if bytes.extracting(136..<count - 8).isAllZeros {
        promise(again.bytes.isEqual(to: bytes), "one spelling only")
      }
      promise(SidecarHeader(again.bytes) == header, "what is written is read")
    }
  }

  static let sidecarSeeds: [[UInt8]] = [UInt64(0), 1].map { isSealed in
    var bytes = [0x89, 0x52, 0x4C, 0x49, 0x44, 0x58, 0x0D, 0x0A] + [UInt8](repeating: 0, count: 248)
    for (place, value): (Int, UInt64) in [
      (8, 2 | 256 << 32), (16, 1), (48, 1), (56, 7), (64, 1), (72, 9000), (80, isSealed), (88, 3), (128, 64),
    ] {
      bytes.store(value, 8, at: place)
    }
    return [0] + bytes
  }

  // MARK: Snapshot

  // `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var list: [UInt8] = []

  static func runManifest(_ input: RawSpan) {
    guard input.byteCount > 16 else { return }
    unsafe list.removeAll(keepingCapacity: true)
    for place in 1..<input.byteCount { unsafe list.append(input.loadUInt8(at: place)) }
    let count = unsafe list.count
    if input.loadUInt8(at: 0) & 1 == 0 {
      if count >= 88 { unsafe list.store(UInt64((count - 88) / 32), 4, at: 12) }
      unsafe list.store(XXH3.hash64(list.span.rawBytes.extracting(0..<count - 8)), 8, at: count - 8)
    }
    unsafe checkManifest(list.span.rawBytes)
  }

  private static func checkManifest(_ bytes: RawSpan) {
    guard case .manifest(let manifest) = SnapshotManifest.decode(bytes) else { return }
    var offset = manifest.logStart
    for (place, segment) in manifest.segments.enumerated() {
      promise(segment.number.rawValue == manifest.segments[0].number.rawValue + UInt64(place), "no gap")
      promise(segment.firstOffset >= offset, "offsets rise")
      offset = segment.firstOffset
    }
    promise(manifest.next >= offset, "and end where the log does")
    let again = manifest.encode()
    if bytes.extracting(72..<80).isAllZeros {
      promise(again.span.rawBytes.isEqual(to: bytes), "one spelling only")
    }
    promise(SnapshotManifest.decode(again.span.rawBytes) == .manifest(manifest), "what is written is read")
  }

  static let manifestSeeds: [[UInt8]] = [1, 3].map { count in
    var bytes =
      [0x89, 0x52, 0x4C, 0x53, 0x0D, 0x0A, 0x1A, 0x0A] + [UInt8](repeating: 0, count: 72 + 32 * count + 8)
    for (place, value): (Int, UInt64) in [(8, 1 | UInt64(count) << 32), (16, 1), (32, 2), (48, 1), (56, 31)] {
      bytes.store(value, 8, at: place)
    }
    for number in 0..<count {
      for (place, value) in [(0, number + 1), (8, 9000), (24, 10 * number + 1)] {
        bytes.store(UInt64(value), 8, at: 80 + 32 * number + place)
      }
    }
    return [0] + bytes
  }
}
