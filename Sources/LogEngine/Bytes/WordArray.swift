internal import PlatformIO

/// A fixed number of 64-bit words, zero at first.
@safe package struct WordArray: ~Copyable {
  private let region: MemoryRegion
  /// The region's words, at hand.
  private let base: UnsafeMutablePointer<UInt64>
  package let count: Int

  /// What all empty arrays share.
  private static let nothing = MemoryRegion.zeroed(0)

  package init(count: Int) {
    self.count = count
    region = count == 0 ? Self.nothing : MemoryRegion.zeroed(count * 8)
    unsafe base = region.mutableWords
  }

  package subscript(index: Int) -> UInt64 {
    get {
      precondition(index >= 0 && index < count)
      return unsafe base[index]
    }
    set {
      precondition(index >= 0 && index < count)
      unsafe base[index] = newValue
    }
  }

  /// Moves the words of `range` up by one place, over the word behind it.
  package mutating func shiftUp(_ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound < count)
    unsafe (base + range.lowerBound + 1).update(from: base + range.lowerBound, count: range.count)
  }

  /// Leaves an empty array behind.
  package mutating func take() -> WordArray {
    var other = WordArray(count: 0)
    swap(&self, &other)
    return other
  }
}

/// Memory for many small pieces that are never freed one by one. Pieces do not move.
package struct ByteArena: ~Copyable {
  /// Where a piece starts, in units of eight bytes.
  package typealias Address = UInt32

  private static let blockByteCount = 256 << 10
  private static let unit = 8

  private var blocks: [MemoryRegion] = []
  /// Bytes used of the last block.
  private var used = blockByteCount

  package init() {}

  package var byteCount: Int { blocks.count * Self.blockByteCount }

  /// Zeroed memory for `count` bytes, at most a block's worth.
  package mutating func allocate(_ count: Int) -> Address {
    let rounded = max((count + Self.unit - 1) / Self.unit * Self.unit, Self.unit)
    precondition(rounded <= Self.blockByteCount)
    if used + rounded > Self.blockByteCount {
      blocks.append(MemoryRegion.zeroed(Self.blockByteCount))
      used = 0
    }
    let address = ((blocks.count - 1) * Self.blockByteCount + used) / Self.unit
    used += rounded
    return Address(address)
  }

  private func place(_ address: Address) -> (block: Int, offset: Int) {
    let position = Int(address) * Self.unit
    return (position / Self.blockByteCount, position % Self.blockByteCount)
  }

  @_lifetime(borrow self)
  package func bytes(at address: Address, count: Int) -> RawSpan {
    let place = place(address)
    let block = blocks[place.block]
    let span = block.bytes.extracting(place.offset..<place.offset + count)
    // The block lives as long as the arena, and a piece is never freed.
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  package mutating func store(_ bytes: RawSpan, at address: Address) {
    let place = place(address)
    blocks[place.block].write(bytes, at: place.offset)
  }

  package func loadByte(at address: Address, _ index: Int) -> UInt8 {
    let place = place(address)
    let block = blocks[place.block]
    return block.bytes.loadUInt8(at: place.offset + index)
  }

  package mutating func store(_ byte: UInt8, at address: Address, _ index: Int) {
    let place = place(address)
    blocks[place.block].write(byte, at: place.offset + index)
  }

  package func loadAddress(at address: Address, _ index: Int) -> Address {
    let place = place(address)
    let block = blocks[place.block]
    return block.bytes.loadUInt32(at: place.offset + index)
  }

  package mutating func store(_ value: Address, at address: Address, _ index: Int) {
    for byte in 0..<4 {
      store(UInt8(truncatingIfNeeded: value >> UInt32(byte * 8)), at: address, index + byte)
    }
  }
}
