internal import LogEngine

/// The values of an event line's members, each strictly of its own type.
///
/// A function is given the index where the value begins and moves it behind the value. Errors name the field
/// and the column where its value begins, or the byte where the JSON breaks off.
enum EventLineValue {
  // MARK: Texts

  /// A text that must be there and valid, as an id.
  static func text(_ bytes: RawSpan, _ index: inout Int, _ field: String) throws(EventError) -> String {
    let start = index
    let text = try string(bytes, &index, field)
    do throws(EventError) {
      try Event.validate(text, field: field)
    } catch {
      throw error.placed(at: start)
    }
    return text
  }

  /// An event's kind.
  static func kind(
    _ bytes: RawSpan,
    _ index: inout Int,
    _ rule: KindRule
  ) throws(EventError) -> String {
    let start = index
    let text = try string(bytes, &index, "kind")
    do throws(EventError) {
      try Event.validate(kind: text, rule: rule)
    } catch {
      throw error.placed(at: start)
    }
    return text
  }

  /// A text that may be null.
  static func label(_ bytes: RawSpan, _ index: inout Int, _ field: String) throws(EventError) -> String? {
    if skipNull(bytes, &index) { return nil }
    let start = index
    let text = try string(bytes, &index, field, orNull: true)
    do throws(EventError) {
      try Event.validate(label: text, field: field)
    } catch {
      throw error.placed(at: start)
    }
    return text
  }

  /// A timestamp, or null.
  static func timestamp(_ bytes: RawSpan, _ index: inout Int) throws(EventError) -> Timestamp? {
    if skipNull(bytes, &index) { return nil }
    let start = index
    let text = try string(bytes, &index, "created_at", orNull: true)
    do throws(EventError) {
      return try Timestamp(rfc3339: text)
    } catch {
      throw EventError(.invalidTimestamp, field: "created_at", column: start + 1, excerpt: text)
    }
  }

  /// A string after unescaping, refused early if it cannot fit a field.
  private static func string(
    _ bytes: RawSpan,
    _ index: inout Int,
    _ field: String,
    orNull: Bool = false
  ) throws(EventError) -> String {
    let start = index
    try skipString(bytes, &index, field, expected: orNull ? "a string or null" : "a string")
    let content = start + 1..<index - 1
    // An escape spends at most six bytes on one of the result's.
    guard content.count <= 6 * EventLimits.textBytes else {
      throw EventError(.textTooLong, field: field, column: start + 1, limit: EventLimits.textBytes)
    }
    guard holdsEscape(bytes, content) else { return bytes.string(content) }
    guard let unescaped = JSONStringReader.unescaped(bytes, openingQuote: start) else {
      throw EventError(.invalidEscape, field: field, column: start + 1)
    }
    return String(decoding: unescaped, as: UTF8.self)
  }

  private static func holdsEscape(_ bytes: RawSpan, _ content: Range<Int>) -> Bool {
    for index in content where bytes.byte(at: index) == UInt8(ascii: "\\") { return true }
    return false
  }

  // MARK: Integers

  /// The schema version; null means 1.
  static func schemaVersion(_ bytes: RawSpan, _ index: inout Int) throws(EventError) -> Int64 {
    if skipNull(bytes, &index) { return 1 }
    return try integer(bytes, &index, "schema_version")
  }

  /// A 64-bit signed integer: digits only, with a minus sign or without.
  static func integer(_ bytes: RawSpan, _ index: inout Int, _ field: String) throws(EventError) -> Int64 {
    let expected = "an integer from -9223372036854775808 to 9223372036854775807, in plain digits"
    let start = index
    let (isNegative, magnitude) = try digits(bytes, &index, field, expected: expected)
    // The magnitude of the least integer is one more than that of the greatest.
    guard let magnitude, magnitude <= UInt64(Int64.max) + (isNegative ? 1 : 0) else {
      throw EventError(.numberOutOfRange, field: field, column: start + 1, expected: expected)
    }
    return isNegative ? Int64(truncatingIfNeeded: 0 &- magnitude) : Int64(magnitude)
  }

  /// An offset, which is checked and ignored.
  static func skipOffset(_ bytes: RawSpan, _ index: inout Int) throws(EventError) {
    if skipNull(bytes, &index) { return }
    let expected = "null or an integer from 0 to 18446744073709551615, in plain digits"
    let start = index
    let (isNegative, magnitude) = try digits(bytes, &index, "offset", expected: expected)
    guard let magnitude, !isNegative || magnitude == 0 else {
      throw EventError(.numberOutOfRange, field: "offset", column: start + 1, expected: expected)
    }
  }

  /// Sign and size of a number without fraction or exponent; no size if it exceeds 64 bits.
  private static func digits(
    _ bytes: RawSpan,
    _ index: inout Int,
    _ field: String,
    expected: String
  ) throws(EventError) -> (isNegative: Bool, magnitude: UInt64?) {
    let start = index
    try skipValue(bytes, &index, field)
    let isNegative = bytes.byte(at: start) == UInt8(ascii: "-")
    var magnitude: UInt64? = 0
    for position in (isNegative ? start + 1 : start)..<index {
      let byte = bytes.byte(at: position)
      guard JSONScanner.isDigit(byte) else {
        throw EventError(.wrongType, field: field, column: start + 1, expected: expected)
      }
      guard let value = magnitude else { continue }
      let (tens, isTooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, isStillTooLarge) = tens.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
      magnitude = isTooLarge || isStillTooLarge ? nil : sum
    }
    return (isNegative, magnitude)
  }

  // MARK: Payloads

  /// The exact text of any JSON value.
  static func payload(_ bytes: RawSpan, _ index: inout Int, maximum: Int) throws(EventError) -> [UInt8] {
    let start = index
    try skipValue(bytes, &index, "payload")
    guard index - start <= maximum else {
      throw EventError(.payloadTooLarge, field: "payload", column: start + 1, limit: maximum)
    }
    return bytes.array(start..<index)
  }

  /// The bytes that a base64 string says.
  static func base64(_ bytes: RawSpan, _ index: inout Int, maximum: Int) throws(EventError) -> [UInt8] {
    let field = "payload_base64"
    let start = index
    try skipString(bytes, &index, field, expected: "a string of base64")
    let content = start + 1..<index - 1
    let payload: [UInt8]?
    if holdsEscape(bytes, content) {
      // Some encoders write "\/"; the unescaped text is never longer than the line.
      let unescaped = JSONStringReader.unescaped(bytes, openingQuote: start) ?? [0]
      try checkSize(Base64.decodedCount(unescaped.span.rawBytes), start, maximum)
      payload = Base64.decoded(unescaped.span.rawBytes)
    } else {
      let text = bytes.extracting(content)
      try checkSize(Base64.decodedCount(text), start, maximum)
      payload = Base64.decoded(text)
    }
    guard let payload else { throw EventError(.invalidBase64, field: field, column: start + 1) }
    return payload
  }

  private static func checkSize(_ count: Int, _ start: Int, _ maximum: Int) throws(EventError) {
    guard count <= maximum else {
      throw EventError(.payloadTooLarge, field: "payload_base64", column: start + 1, limit: maximum)
    }
  }

  // MARK: JSON

  /// Moves behind `null` if that is the value.
  private static func skipNull(_ bytes: RawSpan, _ index: inout Int) -> Bool {
    guard JSONScanner.isLiteral(bytes, index, "null") else { return false }
    index += 4
    return true
  }

  private static func skipValue(_ bytes: RawSpan, _ index: inout Int, _ field: String) throws(EventError) {
    do throws(JSONFault) {
      index = try JSONScanner.skipValue(bytes, index)
    } catch {
      throw error.error(field: field)
    }
  }

  /// Moves behind a string; any other sound value is of the wrong type.
  private static func skipString(
    _ bytes: RawSpan,
    _ index: inout Int,
    _ field: String,
    expected: String
  ) throws(EventError) {
    let start = index
    try skipValue(bytes, &index, field)
    guard bytes.byte(at: start) == UInt8(ascii: "\"") else {
      throw EventError(.wrongType, field: field, column: start + 1, expected: expected)
    }
  }
}
