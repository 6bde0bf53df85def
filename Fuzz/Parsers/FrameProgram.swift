internal import LogEngine

/// The bytes as a program: frames to lay with all their checksums right, and then damage. So what is behind the checks is reached,
/// as random bytes never would.
enum FrameProgram {
  // `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var layer = FrameLayer()

  static func run(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    unsafe layer.lay(input.extracting(droppingFirst: 1))
    unsafe ScanFuzz.check(layer.bytes.span.rawBytes, mode: input.loadUInt8(at: 0))
  }

  /// Records and a mark at the next block, zeros behind; a batch of three and a seal; a batch that is not closed, rot, and a
  /// record that says it was durable; headers that promise bodies which are not there.
  static let seeds: [[UInt8]] = [
    [0, 0, 40, 0, 1, 0, 9, 0, 2, 2, 0, 0, 0, 5, 16, 0, 0],
    [0, 8, 40, 0, 1, 8, 9, 0, 2, 0, 0, 0, 3, 3, 0, 0, 0],
    [0, 0, 40, 0, 1, 8, 9, 0, 2, 16, 64, 1, 3, 6, 3, 2, 255, 5, 4, 0, 0],
    [1, 0, 100, 0, 1, 4, 255, 3, 8, 0, 64, 0, 1, 6, 50, 0, 1],
  ]
}

/// Lays frames by instructions of four bytes: what, and three numbers.
struct FrameLayer {
  private(set) var bytes: [UInt8] = []
  private var index: UInt32 = 0
  private var tally = SegmentTally(headerChecksum: 7)
  private static let largest = 12 << 10

  mutating func lay(_ program: RawSpan) {
    bytes.removeAll(keepingCapacity: true)
    index = 0
    tally = SegmentTally(headerChecksum: 7)
    var program = Instructions(program)
    while !program.isAtEnd, bytes.count < Self.largest {
      let (operation, a, b, c) = (program.byte(), program.byte(), program.byte(), program.byte())
      let (isSynced, continues) = (operation & 16 != 0, operation & 8 != 0)
      switch operation & 7 {
      case 0:
        add(kind: 1, body: Int(a) | Int(b & 3) << 8, fill: c, continues: continues, isSynced: isSynced)
      case 1: add(kind: 2, continues: continues, isSynced: true)
      case 2:
        bytes.append(contentsOf: repeatElement(0, count: -bytes.count & 4095))
        add(kind: 2, isSynced: !isSynced)
      case 3: seal(Int(c & 127), continues: continues)
      case 4:
        // Sound headers before bodies that are not: what makes a search slow.
        let count = bytes.count
        for _ in 0..<Int(b) where bytes.count < Self.largest {
          add(kind: 1, body: 0, claiming: max(0, Self.largest - count - Int(a)))
          bytes.append(contentsOf: repeatElement(c, count: Int(c & 24)))
        }
      case 5: bytes.append(contentsOf: repeatElement(0, count: 8 * Int(a)))
      case 6: damage(at: Int(a) | Int(b) << 8, by: c, isRepaired: continues)
      default:
        // Any kind, flags and index.
        add(kind: a, body: Int(c & 63), fill: c, flags: b & 15, skipping: UInt32(b >> 4), isSynced: isSynced)
      }
    }
  }

  private mutating func add(
    kind: UInt8, body count: Int = 0, fill: UInt8 = 0, flags: UInt8 = 0, skipping: UInt32 = 0,
    continues: Bool = false, isSynced: Bool = false, claiming length: Int? = nil
  ) {
    let place = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: 32))
    bytes.append(contentsOf: repeatElement(fill, count: count))
    bytes.append(contentsOf: repeatElement(0, count: -count & 7))
    put(UInt64(length ?? count), 4, at: place + 4)
    put(XXH3.hash64(bytes.span.rawBytes.extracting(place + 32..<place + 32 + count)), 8, at: place + 8)
    put(isSynced ? UInt64(8192 + place) : 8192, 8, at: place + 16)
    put(UInt64(index &+ skipping), 4, at: place + 24)
    bytes[place + 28] = kind
    bytes[place + 29] = flags | (continues ? 1 : 0)
    check(place)
    if kind == 1 { index &+= 1 }
    if let kind = FrameHeader.Kind(rawValue: kind) {
      var tally = tally
      defer { self.tally = tally }
      tally.add(
        bytes.span.rawBytes.extracting(place..<place + 32), kind: kind, bodyLength: UInt32(length ?? count))
    }
  }

  private mutating func seal(_ wrong: Int, continues: Bool) {
    let frame = ControlFrame(
      .seal, body: Seal(tally, firstOffset: 1).encode(), at: FilePosition(UInt64(8192 + bytes.count)),
      nonce: ScanFuzz.nonce, syncedThrough: FilePosition(UInt64(8192 + bytes.count)), index: index)
    let place = bytes.count
    bytes.append(contentsOf: frame.bytes)
    if wrong < 96 { bytes[place + wrong] ^= 1 }
    if continues {
      bytes[place + 29] = 1
      check(place)
    }
  }

  /// Changes a byte, and may make the check of the header there right again.
  private mutating func damage(at place: Int, by change: UInt8, isRepaired: Bool) {
    guard bytes.count >= 40 else { return }
    let place = place % bytes.count
    bytes[place] ^= change
    if isRepaired { check(min(place & ~31, bytes.count - 32) & ~7) }
  }

  private mutating func check(_ place: Int) {
    let check = XXH3.hash64(
      bytes.span.rawBytes.extracting(place + 4..<place + 32), seed: ScanFuzz.nonce ^ UInt64(8192 + place))
    put(check & UInt64(UInt32.max), 4, at: place)
  }

  private mutating func put(_ value: UInt64, _ count: Int, at place: Int) {
    bytes.store(value, count, at: place)
  }
}

extension [UInt8] {
  /// Overwrites the bytes there with a number.
  package mutating func store(_ value: UInt64, _ count: Int, at place: Int) {
    for byte in 0..<count { self[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
  }
}

/// Any records as a batch: what is laid is found again, whole, and nothing else.
enum BatchFuzz {
  // `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var shared = RecordBatch()

  static let seeds: [[UInt8]] = [[0, 3, 1, 2, 3], [9, 0, 1, 7, 8, 8, 8, 8, 8, 8, 8, 8, 9]]

  static func run(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    unsafe shared.removeAll()
    var program = Instructions(input)
    let mode = program.byte()
    while !program.isAtEnd {
      let length = Int(program.byte())
      let record = program.take(length)
      promise(unsafe (try? shared.append(record)) != nil, "a small record fits")
    }
    unsafe check(&shared, input, mode)
  }

  private static func check(_ batch: inout RecordBatch, _ input: RawSpan, _ mode: UInt8) {
    let base = SegmentHeader.dataStart
    let length = base.rawValue + UInt64(batch.byteCount)
    var tally = SegmentTally(headerChecksum: UInt64(mode))
    var last = base
    batch.seal(at: base, nonce: ScanFuzz.nonce, syncedThrough: base, tally: &tally)
    batch.forEachFrame(at: base) { place in
      promise(place >= last && place.rawValue < max(length, base.rawValue + 1), "records stand in order")
      last = place
    }
    var scanner = SegmentScanner(nonce: ScanFuzz.nonce, headerChecksum: UInt64(mode), fileLength: length)
    let step = scanner.next(batch.bytes, at: base)
    guard batch.count > 0 else { return promise(step == .stopped, "nothing is nothing") }
    promise(
      step
        == .batch(start: base, end: FilePosition(length), firstIndex: 0, count: UInt32(batch.count)),
      "what was laid is found whole")
    promise(scanner.tally == tally, "and counted alike")
    promise(scanner.next(batch.bytes, at: base) == .stopped, "and nothing behind it")
    // The records themselves, in order.
    var program = Instructions(input)
    _ = program.byte()
    var place = 0
    while !program.isAtEnd {
      let length = Int(program.byte())
      let record = program.take(length)
      promise(
        batch.bytes.extracting(place + 32..<place + 32 + record.byteCount).isEqual(to: record),
        "a record is what was appended")
      place += Int(FrameHeader.frameByteCount(bodyLength: UInt64(record.byteCount)))
    }
  }
}
