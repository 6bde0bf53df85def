/// Every unsafe load, copy and rebinding of bytes in this module lives in this file.
///
/// Loads are bounds-checked: an index out of range traps instead of reading a neighbour. Callers compare
/// against `byteCount` first, so no input reaches that trap.
extension RawSpan {
  /// The byte at `index`.
  @inline(__always)
  package func byte(at index: Int) -> UInt8 {
    unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self)
  }

  /// The eight bytes from `index` on, the first of them in the low bits.
  @inline(__always)
  package func word(at index: Int) -> UInt64 {
    UInt64(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
  }

  /// A copy of the bytes in `range`.
  package func array(_ range: Range<Int>) -> [UInt8] {
    unsafe extracting(range).withUnsafeBytes { source in
      unsafe [UInt8](unsafeUninitializedCapacity: source.count) { target, count in
        unsafe UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
        count = source.count
      }
    }
  }

  /// The bytes in `range` as text; ill-formed UTF-8 is repaired, so callers validate before.
  package func string(_ range: Range<Int>) -> String {
    unsafe extracting(range).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}

extension [UInt8] {
  /// Appends the bytes in `range` of `source`.
  @inline(__always)
  package mutating func append(_ source: RawSpan, _ range: Range<Int>) {
    unsafe source.extracting(range).withUnsafeBytes { raw in
      unsafe raw.withMemoryRebound(to: UInt8.self) { unsafe append(contentsOf: $0) }
    }
  }

  /// Appends the characters of an ASCII literal.
  @inline(__always)
  package mutating func append(_ literal: StaticString) {
    unsafe append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
  }
}

extension StaticString {
  /// The byte at `index` of a literal, which is ASCII here.
  @inline(__always)
  package func byte(at index: Int) -> UInt8 {
    precondition(index >= 0 && index < utf8CodeUnitCount)
    return unsafe utf8Start[index]
  }
}
