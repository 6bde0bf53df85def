/// Standard base64 with padding (RFC 4648, section 4), strict: no line breaks, no other alphabet, and the
/// bits that padding leaves over must be zero, so that every run of bytes has one spelling.
enum Base64 {
  private static let alphabet: StaticString =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

  /// How many bytes `text` decodes to if it is valid.
  static func decodedCount(_ text: RawSpan) -> Int {
    text.byteCount / 4 * 3 - paddingCount(text)
  }

  private static func paddingCount(_ text: RawSpan) -> Int {
    let count = text.byteCount
    guard count >= 4, text.byte(at: count - 1) == UInt8(ascii: "=") else { return 0 }
    return text.byte(at: count - 2) == UInt8(ascii: "=") ? 2 : 1
  }

  /// The bytes that `text` says, or nil if it is not base64. Cost: O(`text.byteCount`).
  static func decoded(_ text: RawSpan) -> [UInt8]? {
    guard text.byteCount % 4 == 0 else { return nil }
    let end = text.byteCount - paddingCount(text)
    var result: [UInt8] = []
    result.reserveCapacity(decodedCount(text))
    var bits: UInt32 = 0
    var bitCount: UInt32 = 0
    for index in 0..<end {
      guard let value = value(text.byte(at: index)) else { return nil }
      bits = bits << 6 | value
      bitCount += 6
      guard bitCount >= 8 else { continue }
      bitCount -= 8
      result.append(UInt8(truncatingIfNeeded: bits >> bitCount))
      bits &= 1 << bitCount - 1
    }
    return bits == 0 ? result : nil
  }

  private static func value(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }

  /// Appends the spelling of `bytes`. Cost: O(`bytes.byteCount`).
  static func append(_ bytes: RawSpan, to output: inout [UInt8]) {
    var index = 0
    while index < bytes.byteCount {
      let rest = bytes.byteCount - index
      var bits = UInt32(bytes.byte(at: index)) << 16
      if rest > 1 { bits |= UInt32(bytes.byte(at: index + 1)) << 8 }
      if rest > 2 { bits |= UInt32(bytes.byte(at: index + 2)) }
      output.append(alphabet.byte(at: Int(bits >> 18)))
      output.append(alphabet.byte(at: Int(bits >> 12 & 63)))
      output.append(rest > 1 ? alphabet.byte(at: Int(bits >> 6 & 63)) : UInt8(ascii: "="))
      output.append(rest > 2 ? alphabet.byte(at: Int(bits & 63)) : UInt8(ascii: "="))
      index += 3
    }
  }
}
