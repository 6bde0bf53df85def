/// A JSON number as exact decimal, of any size: its digits stay in the text, nothing is allocated or rounded.
///
/// The value is ±0.d₁d₂…dₙ × 10^(exponent + pointShift), where d₁ and dₙ are not zero.
struct JSONNumber {
  private var isNegative = false

  /// The indices of the first and behind the last digit that is not zero; the point may lie between them.
  private var firstDigit: Int?
  private var digitsEnd = 0

  /// How far the point is from before d₁, exponent aside.
  private var pointShift = 0

  private var exponentIsNegative = false
  private var exponentDigits = 0..<0

  /// Reads the number at `start`, which the scanner has accepted.
  init(_ bytes: RawSpan, _ start: Int) {
    var index = start
    if bytes.byte(at: index) == UInt8(ascii: "-") {
      isNegative = true
      index += 1
    }
    var point: Int?
    while index < bytes.byteCount {
      let byte = bytes.byte(at: index)
      if byte == UInt8(ascii: ".") {
        point = index
      } else if JSONScanner.isDigit(byte) {
        if byte != UInt8(ascii: "0") {
          if firstDigit == nil { firstDigit = index }
          digitsEnd = index + 1
        }
      } else {
        break
      }
      index += 1
    }
    if let firstDigit {
      let place = point ?? index
      pointShift = place > firstDigit ? place - firstDigit : place - firstDigit + 1
    } else {
      isNegative = false  // Zero has no sign here.
    }

    guard JSONScanner.peek(bytes, index) | 0x20 == UInt8(ascii: "e") else { return }
    index += 1
    let sign = JSONScanner.peek(bytes, index)
    exponentIsNegative = sign == UInt8(ascii: "-")
    if exponentIsNegative || sign == UInt8(ascii: "+") { index += 1 }
    while JSONScanner.peek(bytes, index) == UInt8(ascii: "0") { index += 1 }
    let exponentStart = index
    while JSONScanner.isDigit(JSONScanner.peek(bytes, index)) { index += 1 }
    exponentDigits = exponentStart..<index
  }

  /// Whether two numbers have the same value. Cost: O(length of their texts).
  static func areEqual(_ left: RawSpan, _ leftStart: Int, _ right: RawSpan, _ rightStart: Int) -> Bool {
    let one = JSONNumber(left, leftStart)
    let other = JSONNumber(right, rightStart)
    guard let oneDigit = one.firstDigit, let otherDigit = other.firstDigit else {
      return one.firstDigit == nil && other.firstDigit == nil
    }
    guard one.isNegative == other.isNegative, hasEqualExponents(one, left, other, right) else { return false }

    var oneIndex = oneDigit
    var otherIndex = otherDigit
    while true {
      if oneIndex < one.digitsEnd, left.byte(at: oneIndex) == UInt8(ascii: ".") { oneIndex += 1 }
      if otherIndex < other.digitsEnd, right.byte(at: otherIndex) == UInt8(ascii: ".") { otherIndex += 1 }
      guard oneIndex < one.digitsEnd, otherIndex < other.digitsEnd else { break }
      guard left.byte(at: oneIndex) == right.byte(at: otherIndex) else { return false }
      oneIndex += 1
      otherIndex += 1
    }
    return oneIndex == one.digitsEnd && otherIndex == other.digitsEnd
  }

  /// Whether exponent + pointShift agree, for exponents of any length.
  private static func hasEqualExponents(
    _ one: JSONNumber,
    _ left: RawSpan,
    _ other: JSONNumber,
    _ right: RawSpan
  ) -> Bool {
    // The difference of the exponents must be this; both shifts are below 2³¹ in size, and so is far from the
    // bound.
    let wanted = other.pointShift - one.pointShift
    let bound = 1 << 40
    var difference = 0
    for place in (0..<max(one.exponentDigits.count, other.exponentDigits.count)).reversed() {
      difference = difference * 10 + one.exponentDigit(place, left) - other.exponentDigit(place, right)
      // Each further place multiplies by ten and adds at most 18: what is beyond the bound never comes back.
      if abs(difference) > bound { return false }
    }
    return difference == wanted
  }

  /// The signed digit of the exponent at a decimal place.
  private func exponentDigit(_ place: Int, _ bytes: RawSpan) -> Int {
    guard place < exponentDigits.count else { return 0 }
    let digit = Int(bytes.byte(at: exponentDigits.upperBound - 1 - place) - UInt8(ascii: "0"))
    return exponentIsNegative ? -digit : digit
  }
}
