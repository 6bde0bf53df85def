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

  private enum Kind {
    case heap, anonymous, file
  }

  private let base: UnsafeMutableRawPointer
  private let kind: Kind
  package let count: Int

  private init(owning base: UnsafeMutableRawPointer, count: Int, _ kind: Kind) {
    unsafe self.base = base
    self.count = count
    self.kind = kind
  }

  /// Takes over a mapping of `count` bytes of a file.
  convenience init(ofFile base: UnsafeMutableRawPointer, count: Int) {
    unsafe self.init(owning: base, count: count, .file)
  }

  /// Zeroed memory. More than a little comes straight from the system, so that untouched pages cost nothing, and goes
  /// back to it whole, so that what grows leaves no holes in the heap.
  package static func zeroed(_ count: Int) -> MemoryRegion {
    guard count >= heapByteCount else {
      return unsafe MemoryRegion(owning: Platform.allocateZeroed(count), count: count, .heap)
    }
    return unsafe MemoryRegion(owning: Platform.mapZeroed(count), count: count, .anonymous)
  }

  deinit {
    if kind == .heap { unsafe Platform.deallocate(base) } else { unsafe Platform.unmap(base, count) }
  }

  package var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let span = unsafe RawSpan(_unsafeStart: base, byteCount: count)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Has these bytes of a file brought into memory. False if they cannot be read, which whoever looks at them would learn by a
  /// signal; where the system does not say, true. Cost: a system call, unless the region is memory.
  package func bring(_ range: Range<Int>) -> Bool {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    guard kind == .file, !range.isEmpty else { return true }
    return unsafe Platform.bring(base + range.lowerBound, range.count)
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
