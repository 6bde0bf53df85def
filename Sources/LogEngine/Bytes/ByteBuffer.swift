internal import PlatformIO

/// Bytes under construction or read from a file: owned, growable, and reused without allocating again.
///
/// `@unchecked Sendable`: the memory has one owner, as the buffer cannot be copied and hands out only borrowed bytes.
///
/// What adds to it is inlinable, because the application lays out its records in it: 14 calls an event were a tenth of an
/// append's instructions.
@safe package struct ByteBuffer: ~Copyable, @unchecked Sendable {
  @usableFromInline var base: UnsafeMutableRawPointer
  @usableFromInline package internal(set) var capacity: Int
  @usableFromInline package internal(set) var count = 0

  package init(capacity: Int = 0) {
    self.capacity = capacity
    unsafe base = Self.allocate(capacity)
  }

  deinit { unsafe Self.deallocate(base, capacity) }

  /// From here on memory comes from the system and goes back to it. A heap that has once freed a large block keeps the
  /// next one for itself, which cost an opened ledger megabytes it had no use for.
  private static let mappedByteCount = 1 << 20

  /// Where an empty buffer stands; nothing is ever stored there, so that an empty one costs nothing.
  private static var nowhere: UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(bitPattern: 16).unsafelyUnwrapped
  }

  private static func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
    if capacity == 0 { return unsafe nowhere }
    guard capacity < mappedByteCount else { return unsafe Platform.mapZeroed(capacity) }
    return UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
  }

  private static func deallocate(_ base: UnsafeMutableRawPointer, _ capacity: Int) {
    if capacity == 0 { return }
    if capacity < mappedByteCount { unsafe base.deallocate() } else { unsafe Platform.unmap(base, capacity) }
  }

  package var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let span = unsafe RawSpan(_unsafeStart: base, byteCount: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  @inlinable @inline(__always)
  package mutating func reserve(_ additional: Int) {
    if additional > capacity - count { grow(toHold: count + additional) }
  }

  @usableFromInline @inline(never)
  mutating func grow(toHold needed: Int) {
    let grown = max(needed, capacity * 2, 64)
    let fresh = unsafe Self.allocate(grown)
    unsafe fresh.copyMemory(from: base, byteCount: count)
    unsafe Self.deallocate(base, capacity)
    unsafe base = fresh
    capacity = grown
  }

  package mutating func append(_ value: UInt8) { appendInteger(value) }
  package mutating func append(_ value: UInt16) { appendInteger(value) }
  package mutating func append(_ value: UInt32) { appendInteger(value) }
  @inlinable @inline(__always)
  package mutating func append(_ value: UInt64) { appendInteger(value) }

  @inlinable @inline(__always)
  mutating func appendInteger<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
    reserve(MemoryLayout<T>.size)
    unsafe (base + count).storeBytes(of: value.littleEndian, as: T.self)
    count += MemoryLayout<T>.size
  }

  /// The 16 bytes of a UUID in their usual order.
  package mutating func append(_ id: UniqueID) {
    append(id.high.byteSwapped)
    append(id.low.byteSwapped)
  }

  @inlinable @inline(__always)
  package mutating func append(_ source: RawSpan) {
    reserve(source.byteCount)
    unsafe source.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe (base + count).copyMemory(from: start, byteCount: source.count)
    }
    count += source.byteCount
  }

  @inlinable @inline(__always)
  package mutating func append(_ text: String) {
    append(text.utf8Span.span.rawBytes)
  }

  package mutating func appendZeros(_ zeros: Int) {
    precondition(zeros >= 0)
    reserve(zeros)
    unsafe Platform.clear(base + count, zeros)
    count += zeros
  }

  package mutating func store(_ value: UInt32, at position: Int) {
    precondition(position >= 0 && position <= count - 4)
    unsafe (base + position).storeBytes(of: value.littleEndian, as: UInt32.self)
  }

  package mutating func store(_ value: UInt64, at position: Int) {
    precondition(position >= 0 && position <= count - 8)
    unsafe (base + position).storeBytes(of: value.littleEndian, as: UInt64.self)
  }

  package mutating func store(_ value: UInt8, at position: Int) {
    precondition(position >= 0 && position < count)
    unsafe (base + position).storeBytes(of: value, as: UInt8.self)
  }

  /// Lets `body` fill up to `space` bytes behind the end; it returns how many it filled.
  package mutating func fill<E: Error>(
    _ space: Int, _ body: (inout MutableRawSpan) throws(E) -> Int
  ) throws(E) {
    reserve(space)
    var free = unsafe MutableRawSpan(_unsafeStart: base + count, byteCount: space)
    let filled = try body(&free)
    precondition(filled >= 0 && filled <= space)
    count += filled
  }

  package mutating func removeFirst(_ dropped: Int) {
    precondition(dropped >= 0 && dropped <= count)
    unsafe base.copyMemory(from: base + dropped, byteCount: count - dropped)
    count -= dropped
  }

  package mutating func truncate(to length: Int) {
    precondition(length >= 0 && length <= count)
    count = length
  }

  /// Empties it and keeps its memory, unless one large use left more than `limit` behind.
  package mutating func removeAll(keepingAtMost limit: Int) {
    count = 0
    if capacity > limit { self = ByteBuffer(capacity: 0) }
  }

  package func copy() -> [UInt8] {
    unsafe Array(UnsafeRawBufferPointer(start: base, count: count))
  }
}
