internal import LogEngine

/// An instant, to the nanosecond, in the years 0000 to 9999 of the Gregorian calendar, in UTC.
///
/// Leap seconds do not exist in this count, as in Unix time. Values are immutable and may be shared between
/// threads.
public struct Timestamp: Sendable, Hashable, Comparable {
  /// Whole seconds since 1970-01-01T00:00:00Z; negative before it.
  public let seconds: Int64

  /// Nanoseconds after ``seconds``, below 1,000,000,000 and never negative, also before 1970.
  public let nanoseconds: UInt32

  /// The first instant that can be written: 0000-01-01T00:00:00Z.
  public static let minimum = Timestamp(uncheckedSeconds: -62_167_219_200, nanoseconds: 0)

  /// The last instant that can be written: 9999-12-31T23:59:59.999999999Z.
  public static let maximum = Timestamp(uncheckedSeconds: 253_402_300_799, nanoseconds: 999_999_999)

  /// Makes an instant from Unix time, or nothing if it lies outside ``minimum`` … ``maximum`` or
  /// `nanoseconds` is a second or more. Cost: constant.
  public init?(seconds: Int64, nanoseconds: UInt32 = 0) {
    guard
      (Self.minimum.seconds...Self.maximum.seconds).contains(seconds),
      nanoseconds < 1_000_000_000
    else { return nil }
    self.init(uncheckedSeconds: seconds, nanoseconds: nanoseconds)
  }

  /// Makes an instant that the caller has already checked.
  package init(uncheckedSeconds seconds: Int64, nanoseconds: UInt32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  /// Orders instants by time.
  public static func < (left: Timestamp, right: Timestamp) -> Bool {
    (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
  }
}

// MARK: - Reading

extension Timestamp {
  /// Reads an RFC 3339 date and time, such as `2024-06-01T09:30:00.25+02:00`.
  ///
  /// `T`, `t` or one space separates date and time. `Z`, `z` or an offset keeps the instant; without either,
  /// the time is taken as UTC. Up to nine digits of a second's fraction are exact.
  ///
  /// - Throws: ``EventError`` with code ``EventError/Code/invalidTimestamp``: not in that form, a day that
  ///   the calendar does not have, a leap second (`:60`), more than nine digits, or an instant outside
  ///   ``minimum`` … ``maximum``.
  /// - Complexity: O(1); longer text is refused unread.
  public init(rfc3339 text: String) throws(EventError) {
    var text = text
    text.makeContiguousUTF8()
    try self.init(rfc3339: text.utf8Span.span.rawBytes)
  }

  /// Reads an RFC 3339 date and time from its bytes, by the rules of ``init(rfc3339:)-(String)``.
  ///
  /// - Throws: ``EventError`` with code ``EventError/Code/invalidTimestamp``.
  /// - Complexity: O(1); longer text is refused unread.
  public init(rfc3339 bytes: RawSpan) throws(EventError) {
    guard let instant = Self.parsed(bytes) else {
      // Four bytes a scalar, and some to spare: the excerpt is cut to its length by itself.
      let shown = bytes.string(0..<min(bytes.byteCount, 4 * (Excerpt.length + 1)))
      throw EventError(.invalidTimestamp, excerpt: shown)
    }
    self = instant
  }

  /// The longest accepted form, `2024-06-01T09:30:00.123456789+02:00`.
  private static let longestText = 35

  private static func parsed(_ bytes: RawSpan) -> Timestamp? {
    guard bytes.byteCount >= 19, bytes.byteCount <= longestText else { return nil }
    guard
      let year = number(bytes, 0, digits: 4), bytes.byte(at: 4) == UInt8(ascii: "-"),
      let month = number(bytes, 5, digits: 2), bytes.byte(at: 7) == UInt8(ascii: "-"),
      let day = number(bytes, 8, digits: 2), isSeparator(bytes.byte(at: 10)),
      let hour = number(bytes, 11, digits: 2), bytes.byte(at: 13) == UInt8(ascii: ":"),
      let minute = number(bytes, 14, digits: 2), bytes.byte(at: 16) == UInt8(ascii: ":"),
      let second = number(bytes, 17, digits: 2)
    else { return nil }
    guard
      (1...12).contains(month), (1...daysIn(month: month, year: year)).contains(day),
      hour <= 23, minute <= 59, second <= 59
    else { return nil }

    var position = 19
    guard
      let nanoseconds = fraction(bytes, &position),
      let offset = offset(bytes, position)
    else { return nil }
    let timeOfDay = (hour * 60 + minute) * 60 + second
    return Timestamp(
      seconds: daysFromEpoch(year: year, month: month, day: day) * 86_400 + timeOfDay - offset,
      nanoseconds: nanoseconds
    )
  }

  private static func isSeparator(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "T") || byte == UInt8(ascii: "t") || byte == UInt8(ascii: " ")
  }

  private static func number(_ bytes: RawSpan, _ start: Int, digits: Int) -> Int64? {
    var value: Int64 = 0
    for index in start..<start + digits {
      guard index < bytes.byteCount, let digit = digit(bytes.byte(at: index)) else { return nil }
      value = value * 10 + Int64(digit)
    }
    return value
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    let value = byte &- UInt8(ascii: "0")  // Wraps for bytes below "0", which the comparison then refuses.
    return value <= 9 ? value : nil
  }

  /// The nanoseconds written after the seconds, 0 if there are none; moves `position` behind them.
  private static func fraction(_ bytes: RawSpan, _ position: inout Int) -> UInt32? {
    guard position < bytes.byteCount, bytes.byte(at: position) == UInt8(ascii: ".") else { return 0 }
    position += 1
    var value: UInt32 = 0
    var count = 0
    while position < bytes.byteCount, let digit = digit(bytes.byte(at: position)) {
      guard count < 9 else { return nil }
      value = value * 10 + UInt32(digit)
      count += 1
      position += 1
    }
    guard count > 0 else { return nil }
    for _ in count..<9 { value *= 10 }
    return value
  }

  /// The seconds east of UTC that the rest of the text, from `position` on, says.
  private static func offset(_ bytes: RawSpan, _ position: Int) -> Int64? {
    switch bytes.byteCount - position {
    case 0:
      return 0
    case 1:
      let byte = bytes.byte(at: position)
      return byte == UInt8(ascii: "Z") || byte == UInt8(ascii: "z") ? 0 : nil
    case 6:
      let sign = bytes.byte(at: position)
      guard
        sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"),
        let hours = number(bytes, position + 1, digits: 2), hours <= 23,
        bytes.byte(at: position + 3) == UInt8(ascii: ":"),
        let minutes = number(bytes, position + 4, digits: 2), minutes <= 59
      else { return nil }
      let seconds = (hours * 60 + minutes) * 60
      return sign == UInt8(ascii: "-") ? -seconds : seconds
    default:
      return nil
    }
  }
}

// MARK: - Writing

extension Timestamp: CustomStringConvertible {
  /// RFC 3339 in UTC with `Z`, and the fewest of 0, 3, 6 or 9 digits of fraction that lose nothing.
  public var description: String {
    var bytes: [UInt8] = []
    append(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Appends ``description`` as ASCII bytes, at most 30 of them, without making a string.
  package func append(to output: inout [UInt8]) {
    let (days, timeOfDay) = seconds.flooringDivision(by: 86_400)
    let (year, month, day) = Self.civil(daysFromEpoch: days)
    output.appendDecimal(year, digits: 4)
    output.append(UInt8(ascii: "-"))
    output.appendDecimal(month, digits: 2)
    output.append(UInt8(ascii: "-"))
    output.appendDecimal(day, digits: 2)
    output.append(UInt8(ascii: "T"))
    output.appendDecimal(timeOfDay / 3_600, digits: 2)
    output.append(UInt8(ascii: ":"))
    output.appendDecimal(timeOfDay / 60 % 60, digits: 2)
    output.append(UInt8(ascii: ":"))
    output.appendDecimal(timeOfDay % 60, digits: 2)
    if nanoseconds != 0 {
      output.append(UInt8(ascii: "."))
      if nanoseconds % 1_000_000 == 0 {
        output.appendDecimal(Int64(nanoseconds / 1_000_000), digits: 3)
      } else if nanoseconds % 1_000 == 0 {
        output.appendDecimal(Int64(nanoseconds / 1_000), digits: 6)
      } else {
        output.appendDecimal(Int64(nanoseconds), digits: 9)
      }
    }
    output.append(UInt8(ascii: "Z"))
  }
}

// MARK: - The calendar

extension Timestamp {
  /// Days in one cycle of the Gregorian calendar, 400 years.
  private static let daysPerCycle: Int64 = 146_097

  /// Days from 0000-03-01 to 1970-01-01. Counting from March puts the leap day at the end of a year.
  private static let epochFromMarch: Int64 = 719_468

  private static func daysIn(month: Int64, year: Int64) -> Int64 {
    switch month {
    case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  private static func daysFromEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
    let marchYear = month <= 2 ? year - 1 : year
    let (cycle, yearOfCycle) = marchYear.flooringDivision(by: 400)
    let monthFromMarch = (month + 9) % 12
    let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
    let dayOfCycle = yearOfCycle * 365 + yearOfCycle / 4 - yearOfCycle / 100 + dayOfYear
    return cycle * daysPerCycle + dayOfCycle - epochFromMarch
  }

  private static func civil(daysFromEpoch days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let (cycle, dayOfCycle) = (days + epochFromMarch).flooringDivision(by: daysPerCycle)
    // The last days of 4, 100 and 400 years (1,460, 36,524 and 146,096) would overrun a plain division by
    // 365.
    let yearOfCycle = (dayOfCycle - dayOfCycle / 1_460 + dayOfCycle / 36_524 - dayOfCycle / 146_096) / 365
    let dayOfYear = dayOfCycle - (365 * yearOfCycle + yearOfCycle / 4 - yearOfCycle / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    return (cycle * 400 + yearOfCycle + (month <= 2 ? 1 : 0), month, day)
  }
}

extension Int64 {
  /// The quotient rounded down, and the remainder that is never negative.
  fileprivate func flooringDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

extension [UInt8] {
  /// Appends `value`, which is not negative and has at most `digits` digits, padded with zeros.
  fileprivate mutating func appendDecimal(_ value: Int64, digits: Int) {
    var divisor: Int64 = 1
    for _ in 1..<digits { divisor *= 10 }
    var rest = value
    while divisor > 0 {
      append(UInt8(ascii: "0") + UInt8(rest / divisor))
      rest %= divisor
      divisor /= 10
    }
  }
}
