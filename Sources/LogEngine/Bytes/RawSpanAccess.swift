extension RawSpan {
  @inlinable @inline(always)
  package func loadUInt8(at offset: Int) -> UInt8 {
    unsafe unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  /// The 16 bytes of a UUID in their usual order.
  package func loadUniqueID(at offset: Int) -> UniqueID {
    UniqueID(high: loadUInt64(at: offset).byteSwapped, low: loadUInt64(at: offset + 8).byteSwapped)
  }

  package var isAllZeros: Bool { lastNonzeroIndex == nil }

  /// The place of the last byte that is not zero.
  package var lastNonzeroIndex: Int? {
    unsafe withUnsafeBytes { bytes in
      var index = bytes.count
      while index >= 8 {
        if unsafe bytes.loadUnaligned(fromByteOffset: index - 8, as: UInt64.self) != 0 { break }
        index -= 8
      }
      while index > 0 {
        if unsafe bytes[index - 1] != 0 { return index - 1 }
        index -= 1
      }
      return nil
    }
  }
}

extension Span<UInt8> {
  /// The same bytes; every bit pattern of a byte is a byte, so nothing is unsafe about it.
  @inlinable
  package var rawBytes: RawSpan {
    @_lifetime(copy self) get { unsafe bytes }
  }
}

extension RawSpan {
  @inlinable @inline(__always)
  package func isEqual(to other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    return unsafe withUnsafeBytes { left in
      unsafe other.withUnsafeBytes { right in unsafe left.isEqual(to: right) }
    }
  }

  /// Is it well-formed UTF-8? No allocation.
  package var isUTF8: Bool {
    unsafe withUnsafeBytes { bytes in
      unsafe bytes.withMemoryRebound(to: UInt8.self) { bytes in
        do {
          _ = try UTF8Span(validating: unsafe Span(_unsafeElements: bytes))
          return true
        } catch {
          return false
        }
      }
    }
  }
}

extension UnsafeRawBufferPointer {
  /// Compares as many bytes, eight at a time; the last eight may overlap those before.
  @inlinable
  func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
    guard let left = baseAddress, let right = other.baseAddress else { return true }
    guard count >= 8 else {
      var place = 0
      while place < count {
        if unsafe left.byte(place) != right.byte(place) { return false }
        place += 1
      }
      return true
    }
    var place = 0
    while place + 8 < count {
      if unsafe left.littleEndian64(place) != right.littleEndian64(place) { return false }
      place += 8
    }
    return unsafe left.littleEndian64(count - 8) == right.littleEndian64(count - 8)
  }
}
