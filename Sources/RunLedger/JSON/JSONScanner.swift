/// The grammar of RFC 8259 over bytes: each function takes an index, checks what begins there, and returns
/// the index behind it. Nothing allocates, nothing recurses, and no byte is looked at more than a fixed
/// number of times.
enum JSONScanner {
  /// The index of the first byte at or after `start` that is not JSON whitespace.
  @inline(__always)
  static func skipWhitespace(_ bytes: RawSpan, _ start: Int) -> Int {
    var index = start
    while index < bytes.byteCount {
      let byte = bytes.byte(at: index)
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { break }
      index += 1
    }
    return index
  }

  /// The byte at `index`, or 0, which no token begins with, at the end.
  @inline(__always)
  static func peek(_ bytes: RawSpan, _ index: Int) -> UInt8 {
    index < bytes.byteCount ? bytes.byte(at: index) : 0
  }

  // MARK: Values

  /// Checks the value that begins at `start` (no whitespace before it) and returns the index behind it.
  ///
  /// Open containers are kept in a bit stack of fixed size, so hostile nesting costs neither stack nor heap.
  static func skipValue(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    var open = ContainerStack()
    var index = start
    while true {
      // Here a value must begin.
      let first = peek(bytes, index)
      if first == UInt8(ascii: "\"") {
        index = try skipString(bytes, index)
      } else if first == UInt8(ascii: "{") || first == UInt8(ascii: "[") {
        let isObject = first == UInt8(ascii: "{")
        guard open.push(isObject: isObject) else { throw JSONFault(reason: .nestedTooDeep, position: index) }
        index = skipWhitespace(bytes, index + 1)
        if peek(bytes, index) != (isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) {
          if isObject { index = try skipKey(bytes, index) }
          continue
        }
        open.pop()
        index += 1
      } else {
        index = try skipScalar(bytes, index, first)
      }

      // Here a value has ended; close what ends with it, and stop before the next value.
      while true {
        guard open.depth > 0 else { return index }
        index = skipWhitespace(bytes, index)
        let next = peek(bytes, index)
        if next == UInt8(ascii: ",") {
          index = skipWhitespace(bytes, index + 1)
          if open.isObject { index = try skipKey(bytes, index) }
          break
        }
        guard next == (open.isObject ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
          throw JSONFault(reason: .expectedCommaOrEnd, position: index)
        }
        open.pop()
        index += 1
      }
    }
  }

  /// Checks a member's name and colon, and returns the index of the member's value.
  @inline(__always)
  private static func skipKey(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    guard peek(bytes, start) == UInt8(ascii: "\"") else {
      throw JSONFault(reason: .expectedKey, position: start)
    }
    let end = try skipString(bytes, start)
    return try skipColon(bytes, end)
  }

  /// Checks the colon behind a member's name and returns the index of the value.
  @inline(__always)
  static func skipColon(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    let colon = skipWhitespace(bytes, start)
    guard peek(bytes, colon) == UInt8(ascii: ":") else {
      throw JSONFault(reason: .expectedColon, position: colon)
    }
    return skipWhitespace(bytes, colon + 1)
  }

  private static func skipScalar(_ bytes: RawSpan, _ start: Int, _ first: UInt8) throws(JSONFault) -> Int {
    switch first {
    case UInt8(ascii: "t"): return try skipLiteral(bytes, start, "true")
    case UInt8(ascii: "f"): return try skipLiteral(bytes, start, "false")
    case UInt8(ascii: "n"): return try skipLiteral(bytes, start, "null")
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try skipNumber(bytes, start)
    default: throw JSONFault(reason: .expectedValue, position: start)
    }
  }

  private static func skipLiteral(
    _ bytes: RawSpan,
    _ start: Int,
    _ literal: StaticString
  ) throws(JSONFault) -> Int {
    guard isLiteral(bytes, start, literal) else { throw JSONFault(reason: .badLiteral, position: start) }
    return start + literal.utf8CodeUnitCount
  }

  /// Whether the bytes from `start` on begin with `literal`.
  static func isLiteral(_ bytes: RawSpan, _ start: Int, _ literal: StaticString) -> Bool {
    let count = literal.utf8CodeUnitCount
    guard bytes.byteCount - start >= count else { return false }
    for index in 0..<count where bytes.byte(at: start + index) != literal.byte(at: index) { return false }
    return true
  }

  // MARK: Numbers

  /// Checks the number that begins at `start` and returns the index behind it.
  static func skipNumber(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    var index = start
    if peek(bytes, index) == UInt8(ascii: "-") { index += 1 }
    if peek(bytes, index) == UInt8(ascii: "0") {
      index += 1
      if isDigit(peek(bytes, index)) { throw JSONFault(reason: .badNumber, position: index) }
    } else {
      index = try skipDigits(bytes, index)
    }
    if peek(bytes, index) == UInt8(ascii: ".") { index = try skipDigits(bytes, index + 1) }
    if peek(bytes, index) | 0x20 == UInt8(ascii: "e") {
      index += 1
      let sign = peek(bytes, index)
      if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { index += 1 }
      index = try skipDigits(bytes, index)
    }
    return index
  }

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool {
    byte &- UInt8(ascii: "0") <= 9  // Wraps below "0", to more than 9.
  }

  private static func skipDigits(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    var index = start
    while isDigit(peek(bytes, index)) { index += 1 }
    guard index > start else { throw JSONFault(reason: .badNumber, position: index) }
    return index
  }

  // MARK: Strings

  private static let ones: UInt64 = 0x0101_0101_0101_0101
  private static let highBits: UInt64 = 0x8080_8080_8080_8080

  /// A word whose lowest set bit lies in the first byte of `word` that is below 0x20, `"` or `\`; 0 if there
  /// is none. Bits above the lowest may be false: borrows run upward.
  @inline(__always)
  static func specialBytes(_ word: UInt64) -> UInt64 {
    let quote = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
    let backslash = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
    // `x - n & ~x` sets a byte's high bit if the byte is below n (n ≤ 128); the subtractions are meant to
    // wrap.
    let below = (word &- ones &* 0x20) & ~word
    let isQuote = (quote &- ones) & ~quote
    let isBackslash = (backslash &- ones) & ~backslash
    return (below | isQuote | isBackslash) & highBits
  }

  /// The first index at or after `start` whose byte is below 0x20, a quote, a backslash or not ASCII; or the
  /// end.
  @inline(__always)
  private static func skipPlain(_ bytes: RawSpan, _ start: Int) -> Int {
    var index = start
    while bytes.byteCount - index >= 8 {
      let word = bytes.word(at: index)
      let stops = specialBytes(word) | (word & highBits)
      if stops != 0 { return index + stops.trailingZeroBitCount / 8 }
      index += 8
    }
    while index < bytes.byteCount {
      let byte = bytes.byte(at: index)
      if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte >= 0x80 { break }
      index += 1
    }
    return index
  }

  /// Checks the string whose opening quote is at `start` and returns the index behind its closing quote.
  @inline(__always)
  static func skipString(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    let end = skipPlain(bytes, start + 1)
    if peek(bytes, end) == UInt8(ascii: "\"") { return end + 1 }
    return try skipRestOfString(bytes, end, start)
  }

  private static func skipRestOfString(
    _ bytes: RawSpan,
    _ stop: Int,
    _ start: Int
  ) throws(JSONFault) -> Int {
    var index = stop
    while index < bytes.byteCount {
      let byte = bytes.byte(at: index)
      if byte == UInt8(ascii: "\"") { return index + 1 }
      if byte == UInt8(ascii: "\\") {
        index = try skipEscape(bytes, index)
      } else if byte >= 0x80 {
        index = try skipNonASCII(bytes, index)
      } else {
        throw JSONFault(reason: .controlCharacterInString, position: index)
      }
      index = skipPlain(bytes, index)
    }
    throw JSONFault(reason: .unterminatedString, position: bytes.byteCount)
  }

  private static func skipEscape(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    switch peek(bytes, start + 1) {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      return start + 2
    case UInt8(ascii: "u"):
      for index in start + 2..<start + 6 where hexValue(peek(bytes, index)) == nil {
        throw JSONFault(reason: .badEscape, position: start)
      }
      return start + 6
    default:
      throw JSONFault(reason: .badEscape, position: start)
    }
  }

  /// The value of a hexadecimal digit.
  static func hexValue(_ byte: UInt8) -> UInt16? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt16(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt16(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt16(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }

  /// Checks a run of non-ASCII characters by table 3-7 of the Unicode standard, which leaves no room for
  /// overlong forms, surrogates, or anything above U+10FFFF.
  private static func skipNonASCII(_ bytes: RawSpan, _ start: Int) throws(JSONFault) -> Int {
    var index = start
    while index < bytes.byteCount {
      let lead = bytes.byte(at: index)
      if lead < 0x80 { break }
      let second = peek(bytes, index + 1)
      let length: Int
      switch lead {
      case 0xC2...0xDF where isContinuation(second):
        length = 2
      case 0xE0 where (0xA0...0xBF).contains(second),
        0xE1...0xEC where isContinuation(second),
        0xED where (0x80...0x9F).contains(second),
        0xEE...0xEF where isContinuation(second):
        length = 3
      case 0xF0 where (0x90...0xBF).contains(second),
        0xF1...0xF3 where isContinuation(second),
        0xF4 where (0x80...0x8F).contains(second):
        length = 4
      default:
        throw JSONFault(reason: .invalidUTF8, position: index)
      }
      if length > 2, !isContinuation(peek(bytes, index + 2)) {
        throw JSONFault(reason: .invalidUTF8, position: index)
      }
      if length > 3, !isContinuation(peek(bytes, index + 3)) {
        throw JSONFault(reason: .invalidUTF8, position: index)
      }
      index += length
    }
    return index
  }

  @inline(__always)
  private static func isContinuation(_ byte: UInt8) -> Bool {
    byte & 0xC0 == 0x80
  }
}
