internal import LogEngine

/// A sidecar's bytes as FORMAT.md lays them out, for tests that change some.
package struct SidecarBytes {
  package static let headerByteCount = 256
  package static let blockByteCount = 16 << 10

  package var bytes: [UInt8]

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Where the positions start, behind the digests.
  package var contentStart: Int {
    var blocks = 0
    while Self.headerByteCount + blocks * (8 + Self.blockByteCount) < bytes.count { blocks += 1 }
    return Self.headerByteCount + 8 * blocks
  }

  /// Where the index starts, behind the positions of so many records.
  package func indexStart(records: Int) -> Int { contentStart + (4 * records + 7) & ~7 }

  package var blocks: [Range<Int>] {
    stride(from: contentStart, to: bytes.count, by: Self.blockByteCount).map {
      $0..<min($0 + Self.blockByteCount, bytes.count)
    }
  }

  /// Stores so many bytes of a number, the lowest first.
  package mutating func store(_ value: UInt64, _ count: Int, at place: Int) {
    for byte in 0..<count { bytes[place + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
  }

  /// The same with digests and header checksum made right.
  package func resealed() -> [UInt8] {
    var sealed = self
    for (block, range) in blocks.enumerated() {
      sealed.store(XXH3.hash64(Array(bytes[range]).span.rawBytes), 8, at: Self.headerByteCount + 8 * block)
    }
    sealed.store(XXH3.hash64(Array(sealed.bytes[..<248]).span.rawBytes), 8, at: 248)
    return sealed.bytes
  }
}
