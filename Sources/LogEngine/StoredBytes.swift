package import PlatformIO

/// Bytes that nobody changes any more: in memory, or a stretch of a mapped file. Copies share them.
package struct StoredBytes: Sendable {
  private let region: MemoryRegion
  private let range: Range<Int>

  package init(_ region: MemoryRegion, _ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= region.count)
    self.region = region
    self.range = range
  }

  /// A copy in memory of its own.
  package init(copying bytes: RawSpan) {
    let region = MemoryRegion.zeroed(bytes.byteCount)
    region.write(bytes, at: 0)
    self.init(region, 0..<bytes.byteCount)
  }

  package var count: Int { range.count }

  package var bytes: RawSpan {
    @_lifetime(borrow self) get {
      let span = region.bytes.extracting(range)
      // The region lives as long as this does.
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }
}
