// Every unsafe access to bytes in this target lives in this file.

extension [UInt8] {
  /// The bytes, borrowed; every bit pattern of a byte is a byte, so nothing is unsafe about it.
  var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let bytes = unsafe span.bytes
      return unsafe _overrideLifetime(bytes, borrowing: self)
    }
  }
}

/// Input between being read and being used: bytes come in behind and go away in front.
///
/// It grows to what is kept at once, and gives memory back when that shrinks.
@safe struct InputBuffer: ~Copyable {
  private static let usualCapacity = 2 << 20

  private var base: UnsafeMutableRawPointer
  private(set) var capacity: Int
  /// Bytes before it are used up.
  private(set) var start = 0
  private(set) var end = 0

  init() {
    capacity = Self.usualCapacity
    unsafe base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
  }

  deinit { unsafe base.deallocate() }

  var count: Int { end - start }

  /// The bytes at these positions, all of which are between `start` and `end` or were so since the last `fill`.
  @_lifetime(borrow self)
  func bytes(_ range: Range<Int>) -> RawSpan {
    precondition(range.lowerBound >= 0 && range.upperBound <= end)
    let span = unsafe RawSpan(_unsafeStart: base + range.lowerBound, byteCount: range.count)
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  mutating func drop(to position: Int) {
    precondition(position >= start && position <= end)
    start = position
  }

  /// Makes room for `space` bytes, moving what is kept to the front, and lets `read` fill some of it. Answers how many.
  mutating func fill<E: Error>(
    _ space: Int,
    _ read: (inout MutableRawSpan) throws(E) -> Int
  ) throws(E) -> Int {
    makeRoom(space)
    var free = unsafe MutableRawSpan(_unsafeStart: base + end, byteCount: space)
    let filled = try read(&free)
    precondition(filled >= 0 && filled <= space)
    end += filled
    return filled
  }

  private mutating func makeRoom(_ space: Int) {
    let needed = count + space
    let isOversized = capacity > Self.usualCapacity && needed <= Self.usualCapacity
    if needed > capacity || isOversized {
      let newCapacity = isOversized ? Self.usualCapacity : max(needed, 2 * capacity)
      let fresh = UnsafeMutableRawPointer.allocate(byteCount: newCapacity, alignment: 16)
      unsafe fresh.copyMemory(from: base + start, byteCount: count)
      unsafe base.deallocate()
      unsafe base = fresh
      capacity = newCapacity
    } else if capacity - end < space {
      unsafe base.copyMemory(from: base + start, byteCount: count)
    } else {
      return
    }
    end = count
    start = 0
  }

  /// The position of the first line feed at or after `position`, eight bytes at a step; nil if there is none.
  func firstLineFeed(from position: Int) -> Int? {
    precondition(position >= start && position <= end)
    let ones: UInt64 = 0x0101_0101_0101_0101
    let lineFeeds = ones &* 0x0A
    var index = position
    while end - index >= 8 {
      let word = UInt64(littleEndian: unsafe (base + index).loadUnaligned(as: UInt64.self))
      // A byte that was a line feed is now zero, and the first zero byte is the lowest with its top bit set here:
      // a borrow can only reach bytes above it.
      let difference = word ^ lineFeeds
      let zeros = (difference &- ones) & ~difference & (ones &* 0x80)
      if zeros != 0 { return index + zeros.trailingZeroBitCount / 8 }
      index += 8
    }
    while index < end {
      if unsafe base.load(fromByteOffset: index, as: UInt8.self) == 0x0A { return index }
      index += 1
    }
    return nil
  }

  /// A copy of what is kept.
  func copy() -> [UInt8] { unsafe Array(UnsafeRawBufferPointer(start: base + start, count: count)) }

  func byte(at position: Int) -> UInt8 {
    precondition(position >= 0 && position < end)
    return unsafe base.load(fromByteOffset: position, as: UInt8.self)
  }
}

extension RawSpan {
  /// Holds nothing but JSON's whitespace.
  var isBlank: Bool {
    var index = 0
    while index < byteCount {
      let byte = unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self)
      guard byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A else { return false }
      index += 1
    }
    return true
  }
}
