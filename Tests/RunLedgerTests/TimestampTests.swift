import LogEngine
import RunLedger
import StorageTesting
import Testing

@Suite("Timestamps")
struct TimestampTests {
  private func parsed(_ text: String) -> Timestamp? {
    do throws(EventError) {
      return try Timestamp(rfc3339: text)
    } catch {
      return nil
    }
  }

  @Test("The epoch and known instants are read and written")
  func knownInstants() {
    let known: [(String, Int64)] = [
      ("1970-01-01T00:00:00Z", 0),
      ("1969-12-31T23:59:59Z", -1),
      ("2000-02-29T00:00:00Z", 951_782_400),
      ("2024-06-01T12:00:00Z", 1_717_243_200),
      ("2038-01-19T03:14:08Z", 2_147_483_648),
      ("1600-12-31T23:59:59Z", -11_644_473_601),
      ("0000-01-01T00:00:00Z", -62_167_219_200),
      ("0000-02-29T00:00:00Z", -62_162_121_600),
      ("9999-12-31T23:59:59Z", 253_402_300_799),
    ]
    for (text, seconds) in known {
      #expect(parsed(text)?.seconds == seconds, "\(text)")
      #expect(Timestamp(seconds: seconds)?.description == text)
    }
  }

  @Test("Case 23: an offset keeps its instant")
  func offsetKeepsInstant() {
    #expect(parsed("2024-06-01T14:00:00+02:00") == parsed("2024-06-01T12:00:00Z"))
    #expect(parsed("2024-06-01T00:00:00-23:59") == parsed("2024-06-01T23:59:00Z"))
    #expect(parsed("2024-01-01T00:30:00+01:00")?.description == "2023-12-31T23:30:00Z")
    #expect(parsed("2024-06-01T12:00:00-00:00") == parsed("2024-06-01T12:00:00Z"))
  }

  @Test("A zoneless timestamp means UTC")
  func zonelessMeansUTC() {
    #expect(parsed("2024-06-01T12:00:00") == parsed("2024-06-01T12:00:00Z"))
    #expect(parsed("2024-06-01 12:00:00.5") == parsed("2024-06-01t12:00:00.5z"))
  }

  @Test("Up to nine digits of fraction are exact")
  func fractionIsExact() {
    #expect(parsed("2024-06-01T12:00:00.1Z")?.nanoseconds == 100_000_000)
    #expect(parsed("2024-06-01T12:00:00.000001Z")?.nanoseconds == 1_000)
    #expect(parsed("2024-06-01T12:00:00.999999999Z")?.nanoseconds == 999_999_999)
    #expect(parsed("1969-12-31T23:59:59.25Z")?.description == "1969-12-31T23:59:59.250Z")
  }

  @Test("The fewest of 0, 3, 6 or 9 digits are written")
  func fractionIsShort() {
    let pairs = [
      (".000000000", ""), (".5", ".500"), (".120", ".120"), (".1234", ".123400"), (".123456", ".123456"),
      (".1234567", ".123456700"), (".000000001", ".000000001"),
    ]
    for (given, written) in pairs {
      #expect(parsed("2024-06-01T12:00:00\(given)Z")?.description == "2024-06-01T12:00:00\(written)Z")
    }
  }

  @Test(
    "What is not RFC 3339 is refused",
    arguments: [
      "", "now", "2024-06-01", "2024-06-01T12:00Z", "2024-06-01T12:00:00.Z",
      "2024-06-01T12:00:00.1234567890Z",
      "2024-06-01T12:00:60Z", "2016-12-31T23:59:60Z", "2024-06-01T24:00:00Z", "2024-06-01T12:60:00Z",
      "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-02-30T00:00:00Z", "2024-04-31T00:00:00Z",
      "2024-00-01T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-01-32T00:00:00Z",
      "2024-06-01T12:00:00+0200", "2024-06-01T12:00:00+02", "2024-06-01T12:00:00+24:00",
      "2024-06-01T12:00:00+02:60",
      "2024-06-01T12:00:00ZZ", "2024-06-01T12:00:00Z\n", " 2024-06-01T12:00:00Z", "2024-06-01_12:00:00Z",
      "+2024-06-01T12:00:00Z", "-024-06-01T12:00:00Z", "12024-06-01T12:00:00Z", "2024-6-1T12:00:00Z",
      "2024-06-01T12:00:00,5Z", "2024-06-01T12:00:00.5 Z", "２024-06-01T12:00:00Z",
      "0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
    ]
  )
  func refused(_ text: String) {
    #expect(parsed(text) == nil)
  }

  @Test("No byte at any place of a timestamp traps")
  func anyByteAnywhere() {
    let valid = Array("2024-06-01T12:00:00.123456789+02:00".utf8)
    for index in valid.indices {
      for byte in UInt8.min...UInt8.max {
        var bytes = valid
        bytes[index] = byte
        _ = EventTesting.refusal { () throws(EventError) in _ = try Timestamp(rfc3339: bytes.span.rawBytes) }
      }
      _ = EventTesting.refusal { () throws(EventError) in
        _ = try Timestamp(rfc3339: Array(valid[..<index]).span.rawBytes)
      }
    }
  }

  @Test("Every day of four centuries, and random instants, survive writing and reading")
  func roundTrip() {
    for day in stride(from: Int64(-135_140), through: 10_957, by: 1) {
      let instant = Timestamp(uncheckedSeconds: day * 86_400, nanoseconds: 0)
      guard parsed(instant.description) == instant else {
        Issue.record("\(instant) is not read back")
        return
      }
    }
    var numbers = SeededGenerator(seed: 23)
    for _ in 0..<5_000 {
      let instant = EventTesting.randomTimestamp(using: &numbers)
      #expect(parsed(instant.description) == instant)
    }
  }

  @Test("Instants outside the years 0000 to 9999, or with a second of nanoseconds, do not exist")
  func bounds() {
    #expect(Timestamp(seconds: Timestamp.minimum.seconds - 1) == nil)
    #expect(Timestamp(seconds: Timestamp.maximum.seconds + 1) == nil)
    #expect(Timestamp(seconds: .min) == nil)
    #expect(Timestamp(seconds: 0, nanoseconds: 1_000_000_000) == nil)
    #expect(
      Timestamp(seconds: Timestamp.maximum.seconds, nanoseconds: 999_999_999)?.description
        == "9999-12-31T23:59:59.999999999Z"
    )
    #expect(Timestamp.minimum.description == "0000-01-01T00:00:00Z")
  }

  @Test("Instants are ordered by time")
  func order() {
    #expect(
      Timestamp(uncheckedSeconds: -1, nanoseconds: 999) < Timestamp(uncheckedSeconds: 0, nanoseconds: 0)
    )
    #expect(Timestamp(uncheckedSeconds: 5, nanoseconds: 1) < Timestamp(uncheckedSeconds: 5, nanoseconds: 2))
    #expect(!(Timestamp.maximum < Timestamp.maximum))
  }

  @Test("The message is one sentence that shows the clipped text and a good one")
  func message() {
    let hostile = "\u{1B}[31m" + String(repeating: "x", count: 10_000)
    let error = EventTesting.refusal { () throws(EventError) in _ = try Timestamp(rfc3339: hostile) }
    #expect(error?.code == .invalidTimestamp)
    #expect((error?.description.utf8.count ?? .max) < 300)
    #expect(error?.description.contains("\u{1B}") == false)
  }
}
