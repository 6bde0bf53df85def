/// A random 128-bit identifier (a version 4 UUID) of a ledger or of an epoch.
public struct UniqueID: Sendable, Hashable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Sets the version and variant bits that RFC 9562 asks for.
  package init(random high: UInt64, _ low: UInt64) {
    self.high = high & 0xFFFF_FFFF_FFFF_0FFF | 0x0000_0000_0000_4000
    self.low = low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
  }

  package static let none = UniqueID(high: 0, low: 0)

  /// Reads the text that `description` makes; nil for anything else.
  public init?(_ text: String) {
    let digits = Array(text.utf8)
    guard digits.count == 36 else { return nil }
    var words: [UInt64] = [0, 0]
    var count = 0
    for (position, digit) in digits.enumerated() {
      if [8, 13, 18, 23].contains(position) {
        guard digit == UInt8(ascii: "-") else { return nil }
        continue
      }
      guard let value = Self.value(ofDigit: digit) else { return nil }
      words[count / 16] = words[count / 16] << 4 | value
      count += 1
    }
    self.init(high: words[0], low: words[1])
  }

  /// Lower-case hexadecimal in groups of 8-4-4-4-12.
  public var description: String {
    var text = ""
    text.reserveCapacity(36)
    for index in 0..<32 {
      if [8, 12, 16, 20].contains(index) { text.append("-") }
      let word = index < 16 ? high : low
      let digit = word >> UInt64(60 - 4 * (index % 16)) & 0xF
      text.unicodeScalars.append(Unicode.Scalar(UInt8(digit < 10 ? 48 + digit : 87 + digit)))
    }
    return text
  }

  private static func value(ofDigit digit: UInt8) -> UInt64? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(digit - 48)
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(digit - 87)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(digit - 55)
    default: nil
    }
  }
}
