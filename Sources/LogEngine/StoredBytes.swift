package import PlatformIO
internal import Synchronization

/// Bytes that nobody changes any more: in memory, or a stretch of a mapped file. Copies share them.
package struct StoredBytes: Sendable {
  private let region: MemoryRegion
  private let range: Range<Int>
  /// What the file's bytes have to be; nil for bytes that were made in memory.
  private let digests: BlockDigests?

  package init(_ region: MemoryRegion, _ range: Range<Int>) { self.init(region, range, nil) }

  init(_ region: MemoryRegion, _ range: Range<Int>, _ digests: BlockDigests?) {
    precondition(range.lowerBound >= 0 && range.upperBound <= region.count)
    self.region = region
    self.range = range
    self.digests = digests
  }

  /// A copy in memory of its own.
  package init(copying bytes: RawSpan) {
    let region = MemoryRegion.zeroed(bytes.byteCount)
    region.write(bytes, at: 0)
    self.init(region, 0..<bytes.byteCount)
  }

  package var count: Int { range.count }

  /// All of them, whether or not they are what was written.
  package var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let span = region.bytes.extracting(range)
      // The region lives as long as this does.
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Some of them; nil if they are not what was written. Cost: the blocks that they are in are read and hashed, each once.
  /// Thread-safe.
  @_lifetime(borrow self)
  package func sound(_ part: Range<Int>) -> RawSpan? {
    precondition(part.lowerBound >= 0 && part.upperBound <= count)
    let place = range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
    if let digests, !digests.agree(with: region, in: place) { return nil }
    let span = region.bytes.extracting(place)
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// Are all of them what was written?
  package var isSound: Bool { sound(0..<count) != nil }
}

/// The digests of a file's blocks. A block is compared with its own when something in it is first asked for, so that nobody waits
/// for what he does not look at.
@safe final class BlockDigests: Sendable {
  static let blockByteCount = 16 << 10

  /// The blocks of this part of the file.
  private let content: Range<Int>
  private let digests: [UInt64]
  /// One for each block. `nonisolated(unsafe)`: the address never changes, and what is there is touched only by atomic
  /// instructions.
  private nonisolated(unsafe) let hasAgreed: UnsafeMutablePointer<Atomic<Bool>>

  init(_ digests: [UInt64], of content: Range<Int>) {
    precondition(digests.count == Self.blockCount(of: content.count))
    self.content = content
    self.digests = digests
    unsafe hasAgreed = UnsafeMutablePointer<Atomic<Bool>>.allocate(capacity: digests.count)
    for block in digests.indices { unsafe (hasAgreed + block).initialize(to: Atomic(false)) }
  }

  deinit {
    unsafe hasAgreed.deinitialize(count: digests.count)
    unsafe hasAgreed.deallocate()
  }

  static func blockCount(of byteCount: Int) -> Int { (byteCount + blockByteCount - 1) / blockByteCount }

  func agree(with region: MemoryRegion, in range: Range<Int>) -> Bool {
    guard !range.isEmpty else { return true }
    precondition(range.lowerBound >= content.lowerBound && range.upperBound <= content.upperBound)
    let first = (range.lowerBound - content.lowerBound) / Self.blockByteCount
    let last = (range.upperBound - 1 - content.lowerBound) / Self.blockByteCount
    for block in first...last {
      // Nothing is read by what one thread learned from another: the bytes are there before and after.
      if unsafe hasAgreed[block].load(ordering: .relaxed) { continue }
      guard agrees(block, region) else { return false }
      unsafe hasAgreed[block].store(true, ordering: .relaxed)
    }
    return true
  }

  @inline(never)
  private func agrees(_ block: Int, _ region: MemoryRegion) -> Bool {
    let start = content.lowerBound + block * Self.blockByteCount
    let bytes = start..<min(start + Self.blockByteCount, content.upperBound)
    return region.bring(bytes) && XXH3.hash64(region.bytes.extracting(bytes)) == digests[block]
  }
}
