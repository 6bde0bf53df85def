internal import PlatformIO

/// A fixed number of 64-bit words, zero at first.
@safe package struct WordArray: ~Copyable {
  private let region: MemoryRegion
  /// The region's words, at hand.
  @usableFromInline
  let base: UnsafeMutablePointer<UInt64>
  @usableFromInline
  package let count: Int

  /// What all empty arrays share.
  private static let nothing = MemoryRegion.zeroed(0)

  package init(count: Int) {
    self.count = count
    region = count == 0 ? Self.nothing : MemoryRegion.zeroed(count * 8)
    unsafe base = region.mutableWords
  }

  @inlinable @inline(always)
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
@safe package struct ByteArena: ~Copyable {
  /// Where a piece starts, in units of eight bytes.
  package typealias Address = UInt32

  @usableFromInline static var blockByteCount: Int { 256 << 10 }
  @usableFromInline static var unit: Int { 8 }

  private var blocks: [MemoryRegion] = []
  /// The blocks' bytes, at hand: a region that is taken out of an array is counted, and that costs more than the access.
  @usableFromInline var bases: [UnsafeMutableRawPointer] = unsafe []
  /// Bytes used of the last block.
  private var used = blockByteCount

  package init() {}

  package var byteCount: Int { blocks.count * Self.blockByteCount }

  /// Zeroed memory for `count` bytes, at most a block's worth.
  package mutating func allocate(_ count: Int) -> Address {
    let rounded = max((count + Self.unit - 1) / Self.unit * Self.unit, Self.unit)
    precondition(rounded <= Self.blockByteCount)
    if used + rounded > Self.blockByteCount {
      let block = MemoryRegion.zeroed(Self.blockByteCount)
      blocks.append(block)
      unsafe bases.append(block.mutableBytes)
      used = 0
    }
    let address = ((blocks.count - 1) * Self.blockByteCount + used) / Self.unit
    used += rounded
    return Address(address)
  }

  /// The `count` bytes from `index` of a piece, which a block holds.
  @inlinable @inline(__always)
  func place(_ address: Address, _ index: Int, _ count: Int) -> UnsafeMutableRawPointer {
    precondition(index >= 0 && count >= 0)
    // Not negative, and so divided without a detour.
    let (block, offset) = UInt(Int(address) * Self.unit + index)
      .quotientAndRemainder(dividingBy: UInt(Self.blockByteCount))
    precondition(count <= Self.blockByteCount - Int(offset))
    return unsafe bases[Int(block)] + Int(offset)
  }

  @inlinable @inline(__always) @_lifetime(borrow self)
  package func bytes(at address: Address, count: Int) -> RawSpan {
    let span = unsafe RawSpan(_unsafeStart: place(address, 0, count), byteCount: count)
    // The block lives as long as the arena, and a piece is never freed.
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  package mutating func store(_ bytes: RawSpan, at address: Address) {
    let target = unsafe place(address, 0, bytes.byteCount)
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe target.copyMemory(from: start, byteCount: source.count)
    }
  }

  @inlinable @inline(__always)
  package func loadByte(at address: Address, _ index: Int) -> UInt8 {
    unsafe place(address, index, 1).load(as: UInt8.self)
  }

  @inlinable @inline(__always)
  package mutating func store(_ byte: UInt8, at address: Address, _ index: Int) {
    unsafe place(address, index, 1).storeBytes(of: byte, as: UInt8.self)
  }

  package func loadAddress(at address: Address, _ index: Int) -> Address {
    UInt32(littleEndian: unsafe place(address, index, 4).loadUnaligned(as: UInt32.self))
  }

  package mutating func store(_ value: Address, at address: Address, _ index: Int) {
    unsafe place(address, index, 4).storeBytes(of: value.littleEndian, as: UInt32.self)
  }
}
