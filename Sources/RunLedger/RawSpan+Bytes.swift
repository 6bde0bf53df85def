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

  /// Are all bytes printable ASCII, U+0020 to U+007E? Eight at a time; the last eight may overlap those before.
  package var isPrintableASCII: Bool {
    guard byteCount >= 8 else {
      for index in 0..<byteCount where !(0x20...0x7E).contains(byte(at: index)) { return false }
      return true
    }
    var place = 0
    while place + 8 < byteCount {
      if !Self.arePrintable(word(at: place)) { return false }
      place += 8
    }
    return Self.arePrintable(word(at: byteCount - 8))
  }

  @inline(__always)
  private static func arePrintable(_ word: UInt64) -> Bool {
    let high: UInt64 = 0x8080_8080_8080_8080
    // A byte of 7F gets its high bit by one more, and one below 20 loses a high bit that it was lent.
    let isBelow7F = (word | (word &+ 0x0101_0101_0101_0101)) & high == 0
    return isBelow7F && ((word | high) &- 0x2020_2020_2020_2020) & high == high
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
