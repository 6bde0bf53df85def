/// JSON as text that is kept byte by byte: whether it is valid, and how to put it on one line.
///
/// All functions are pure and may be called from any thread.
package enum JSONText {
  /// Checks that `bytes` hold one JSON value by RFC 8259, in strict UTF-8, with nothing but whitespace around
  /// it.
  ///
  /// Members with equal names and escapes of lone surrogates are allowed, because the bytes are kept as they
  /// are.
  ///
  /// - Throws: ``EventError`` with the column of the first offending byte and code `malformedJSON`,
  ///   `nestedTooDeep` (over ``EventLimits/jsonDepth``) or `invalidUTF8`.
  /// - Complexity: O(`bytes.byteCount`), without recursion or allocation.
  package static func validate(_ bytes: RawSpan) throws(EventError) {
    do throws(JSONFault) {
      try checked(bytes)
    } catch {
      throw error.error()
    }
  }

  /// Whether ``validate(_:)`` would pass; cheaper than making its error when it would not.
  package static func isValid(_ bytes: RawSpan) -> Bool {
    do throws(JSONFault) {
      try checked(bytes)
      return true
    } catch {
      return false
    }
  }

  private static func checked(_ bytes: RawSpan) throws(JSONFault) {
    let start = JSONScanner.skipWhitespace(bytes, 0)
    let end = JSONScanner.skipWhitespace(bytes, try JSONScanner.skipValue(bytes, start))
    guard end == bytes.byteCount else { throw JSONFault(reason: .expectedEnd, position: end) }
  }

  /// Appends valid JSON text with every line break between its tokens replaced by a space.
  ///
  /// Strings in valid JSON hold no raw line break, so every CR and LF is between tokens.
  ///
  /// - Complexity: O(`bytes.byteCount`).
  package static func copyOnOneLine(_ bytes: RawSpan, into output: inout [UInt8]) {
    var start = 0
    var index = 0
    while index < bytes.byteCount {
      if bytes.byteCount - index >= 8, !holdsLineBreak(bytes.word(at: index)) {
        index += 8
        continue
      }
      let byte = bytes.byte(at: index)
      if byte == 0x0A || byte == 0x0D {
        output.append(bytes, start..<index)
        output.append(0x20)
        start = index + 1
      }
      index += 1
    }
    output.append(bytes, start..<bytes.byteCount)
  }

  /// Whether one of the eight bytes of `word` is CR or LF.
  @inline(__always)
  private static func holdsLineBreak(_ word: UInt64) -> Bool {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let lineFeed = word ^ (ones &* 0x0A)
    let carriageReturn = word ^ (ones &* 0x0D)
    // A byte that is zero now underflows into its high bit; the subtractions are meant to wrap.
    let isLineFeed = (lineFeed &- ones) & ~lineFeed
    let isCarriageReturn = (carriageReturn &- ones) & ~carriageReturn
    return (isLineFeed | isCarriageReturn) & (ones &* 0x80) != 0
  }
}
