/// Reads the characters of a JSON string that the scanner has accepted.
struct JSONStringReader {
  /// The index of the next byte to read.
  private(set) var index: Int

  /// Begins behind the opening quote at `quote`.
  init(openingQuote quote: Int) {
    index = quote + 1
  }

  /// The next code point after unescaping, or nil behind the last. An escaped surrogate without its partner
  /// comes out as itself.
  mutating func next(_ bytes: RawSpan) -> UInt32? {
    let byte = bytes.byte(at: index)
    if byte == UInt8(ascii: "\"") { return nil }
    if byte == UInt8(ascii: "\\") { return nextEscape(bytes) }
    let length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
    var value = length == 1 ? UInt32(byte) : UInt32(byte) & (0x7F >> UInt32(length))
    for offset in 1..<length { value = value << 6 | UInt32(bytes.byte(at: index + offset)) & 0x3F }
    index += length
    return value
  }

  /// Skips as many bytes as begin plain in both strings and are equal, eight at a time.
  static func skipEqual(
    _ left: inout JSONStringReader,
    _ leftBytes: RawSpan,
    _ right: inout JSONStringReader,
    _ rightBytes: RawSpan
  ) {
    while leftBytes.byteCount - left.index >= 8, rightBytes.byteCount - right.index >= 8 {
      let word = leftBytes.word(at: left.index)
      // Equal bytes up to a word's end may cut a character in two; only whole ASCII words are skipped.
      guard
        word == rightBytes.word(at: right.index), word & 0x8080_8080_8080_8080 == 0,
        JSONScanner.specialBytes(word) == 0
      else { return }
      left.index += 8
      right.index += 8
    }
  }

  private mutating func nextEscape(_ bytes: RawSpan) -> UInt32 {
    let letter = bytes.byte(at: index + 1)
    index += 2
    switch letter {
    case UInt8(ascii: "b"): return 0x08
    case UInt8(ascii: "f"): return 0x0C
    case UInt8(ascii: "n"): return 0x0A
    case UInt8(ascii: "r"): return 0x0D
    case UInt8(ascii: "t"): return 0x09
    case UInt8(ascii: "u"): break
    default: return UInt32(letter)
    }
    let unit = Self.codeUnit(bytes, index)
    index += 4
    guard
      (0xD800...0xDBFF).contains(unit),
      bytes.byte(at: index) == UInt8(ascii: "\\"), bytes.byte(at: index + 1) == UInt8(ascii: "u")
    else { return unit }
    let low = Self.codeUnit(bytes, index + 2)
    guard (0xDC00...0xDFFF).contains(low) else { return unit }
    index += 6
    return 0x1_0000 + ((unit - 0xD800) << 10 | (low - 0xDC00))
  }

  private static func codeUnit(_ bytes: RawSpan, _ start: Int) -> UInt32 {
    var value: UInt32 = 0
    for index in start..<start + 4 {
      value = value << 4 | UInt32(JSONScanner.hexValue(bytes.byte(at: index)) ?? 0)
    }
    return value
  }

  /// The UTF-8 of the string whose opening quote is at `quote`, or nil if it holds a lone surrogate.
  /// Cost: O(length).
  static func unescaped(_ bytes: RawSpan, openingQuote quote: Int) -> [UInt8]? {
    var reader = JSONStringReader(openingQuote: quote)
    var result: [UInt8] = []
    while let value = reader.next(bytes) {
      guard let scalar = Unicode.Scalar(value) else { return nil }
      result.append(contentsOf: scalar.utf8)
    }
    return result
  }

  /// Orders two strings by their code points.
  static func compare(
    _ left: RawSpan,
    _ leftQuote: Int,
    _ right: RawSpan,
    _ rightQuote: Int
  ) -> Order {
    var leftReader = JSONStringReader(openingQuote: leftQuote)
    var rightReader = JSONStringReader(openingQuote: rightQuote)
    while true {
      skipEqual(&leftReader, left, &rightReader, right)
      switch (leftReader.next(left), rightReader.next(right)) {
      case (nil, nil): return .same
      case (nil, _): return .before
      case (_, nil): return .after
      case (let one?, let other?) where one != other: return one < other ? .before : .after
      default: continue
      }
    }
  }

  /// The outcome of a comparison.
  enum Order {
    case before, same, after
  }
}
