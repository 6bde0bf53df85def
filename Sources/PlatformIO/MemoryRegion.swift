/// A stretch of memory that starts zeroed or shows a file, and is given back to the system when the last reference goes.
///
/// The bytes below what a writer has published never change; a writer may fill bytes above that while readers look below.
///
/// `@unchecked Sendable`: the base address never changes; who may write which bytes when is the owner's rule
/// (``MemoryFile`` writes under its lock; mapped files are read-only).
@safe package final class MemoryRegion: @unchecked Sendable {
  /// Below a page the heap serves better. Above it, what grows would leave the heap full of holes: an index of a million
  /// events took 10 bytes an event more that way.
  private static let heapByteCount = 4 << 10

  private let base: UnsafeMutableRawPointer
  private let isOnHeap: Bool
  package let count: Int

  /// Takes over a mapping of `count` bytes that `Platform.map…` made.
  init(owning base: UnsafeMutableRawPointer, count: Int) {
    unsafe self.base = base
    self.count = count
    isOnHeap = false
  }

  private init(onHeap count: Int) {
    unsafe base = Platform.allocateZeroed(count)
    self.count = count
    isOnHeap = true
  }

  /// Zeroed memory. More than a little comes straight from the system, so that untouched pages cost nothing, and goes
  /// back to it whole, so that what grows leaves no holes in the heap.
  package static func zeroed(_ count: Int) -> MemoryRegion {
    guard count >= heapByteCount else { return MemoryRegion(onHeap: count) }
    return unsafe MemoryRegion(owning: Platform.mapZeroed(count), count: count)
  }

  deinit {
    if isOnHeap { unsafe Platform.deallocate(base) } else { unsafe Platform.unmap(base, count) }
  }

  package var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let span = unsafe RawSpan(_unsafeStart: base, byteCount: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  package func write(_ source: RawSpan, at position: Int) {
    precondition(position >= 0 && source.byteCount <= count - position)
    unsafe source.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe (base + position).copyMemory(from: start, byteCount: source.count)
    }
  }

  package func write(_ byte: UInt8, at position: Int) {
    precondition(position >= 0 && position < count)
    unsafe base.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
  }

  func clear(_ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    unsafe Platform.clear(base + range.lowerBound, range.count)
  }

  /// Exclusive access for an owner that publishes to nobody, such as an index under its lock.
  package var mutableWords: UnsafeMutablePointer<UInt64> { unsafe base.assumingMemoryBound(to: UInt64.self) }

  /// As `mutableWords`.
  package var mutableBytes: UnsafeMutableRawPointer { unsafe base }
}
