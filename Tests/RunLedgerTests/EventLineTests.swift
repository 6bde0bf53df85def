import LogEngine
import RunLedger
import StorageTesting
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite("Event lines")
struct EventLineTests {
  /// A line with the required members, and `more` behind them.
  func line(_ more: String = "", payload: String = "{}") -> String {
    #"{"id":"e","run_id":"r","turn":1,"kind":"a.b","actor":"x","payload":\#(payload)\#(more)}"#
  }

  /// A line with one member's value replaced.
  func line(_ member: String, _ value: String) -> String {
    let members = [
      ("id", "\"e\""), ("run_id", "\"r\""), ("turn", "1"), ("kind", "\"a.b\""), ("actor", "\"x\""),
      ("payload", "{}"),
    ]
    var texts = members.map { "\"\($0.0)\":\($0.0 == member ? value : $0.1)" }
    if !members.contains(where: { $0.0 == member }) { texts.append("\"\(member)\":\(value)") }
    return "{" + texts.joined(separator: ",") + "}"
  }

  // MARK: Reading

  @Test("Case 1: an explicit id is kept")
  func explicitID() throws {
    #expect(try EventTesting.parse(line()).id == "e")
  }

  @Test("Case 2: the ledger's rule for kinds holds for lines too")
  func kinds() throws {
    #expect(EventTesting.refusal(of: line("kind", "\"nodot\""))?.code == .invalidKind)
    #expect(EventTesting.refusal(of: line("kind", #""clue.found\n""#))?.code == .invalidKind)
    #expect(EventTesting.refusal(of: line("kind", "\"nodot\""))?.column == 40)
    #expect(try EventTesting.parse(line("kind", "\"tool_call\""), kindRule: .anyText).kind == "tool_call")
  }

  @Test("Case 3: an unknown member is an error that names it and its column")
  func unknownMember() {
    let error = EventTesting.refusal(of: line(#", "colour":1"#))
    #expect(error?.code == .unknownField)
    #expect(error?.field == "colour")
    #expect(error?.column == 72)
    #expect(error?.description.contains("colour") == true)
    for name in ["Id", "ID", "runID", "run_i", "", "id ", "payload_base65", #"\u0069e"#, #"\ud800"#] {
      #expect(EventTesting.refusal(of: line(",\"\(name)\":1"))?.code == .unknownField, "\(name)")
    }
  }

  @Test("Case 3: without a schema version, or with null, it is 1")
  func schemaVersion() throws {
    #expect(try EventTesting.parse(line()).schemaVersion == 1)
    #expect(try EventTesting.parse(line("schema_version", "null")).schemaVersion == 1)
    #expect(try EventTesting.parse(line("schema_version", "7")).schemaVersion == 7)
  }

  @Test("Case 23: created_at at +02:00 is the same instant")
  func createdAtOffset() throws {
    let event = try EventTesting.parse(line("created_at", "\"2024-06-01T14:00:00.123456+02:00\""))
    #expect(event.createdAt == Timestamp(uncheckedSeconds: 1_717_243_200, nanoseconds: 123_456_000))
    #expect(EventTesting.text(event).contains("\"created_at\":\"2024-06-01T12:00:00.123456Z\""))
  }

  @Test("Without created_at, or with null, the reader's time is taken")
  func createdAtDefault() throws {
    #expect(try EventTesting.parse(line()).createdAt == EventTesting.noon)
    #expect(try EventTesting.parse(line("created_at", "null")).createdAt == EventTesting.noon)
    #expect(EventTesting.refusal(of: line("created_at", "\"yesterday\""))?.code == .invalidTimestamp)
    #expect(EventTesting.refusal(of: line("created_at", "\"yesterday\""))?.field == "created_at")
    #expect(EventTesting.refusal(of: line("created_at", "1717243200"))?.code == .wrongType)
  }

  @Test("Members come in any order, with any whitespace, escaped or not")
  func anyOrder() throws {
    let text =
      " \t{ \"payload\" : [ 1 ] ,\r\n\"model_id\":\"m\",\"model_profile\":null,\"session_id\":\"\","
      + "\"actor\":\"x\",\"\\u006bind\":\"a.b\",\"turn\":-5,\"run\\u005fid\":\"r\",\"id\":\"\\u0065\\ud83d\\ude00\"} \r"
    let event = try EventTesting.parse(text)
    #expect(event.id == "e😀")
    #expect(event.runID == "r")
    #expect(event.kind == "a.b")
    #expect(event.turn == -5)
    #expect(event.payload == Array("[ 1 ]".utf8))
    #expect(event.modelID == "m")
    #expect(event.modelProfile == nil)
    #expect(event.sessionID?.isEmpty == true)
  }

  @Test("A member given twice is an error, however it is spelled")
  func duplicates() {
    let members = [
      ("id", "\"e\""), ("run_id", "\"r\""), ("turn", "1"), ("kind", "\"a.b\""), ("actor", "\"x\""),
      ("payload", "{}"),
      ("i\\u0064", "\"e\""), ("payload_base64", "\"\""),
    ]
    for (name, value) in members {
      #expect(EventTesting.refusal(of: line(",\"\(name)\":\(value)"))?.code == .duplicateField, "\(name)")
    }
    for name in ["created_at", "schema_version", "session_id", "model_profile", "model_id", "offset"] {
      let error = EventTesting.refusal(of: line(",\"\(name)\":null,\"\(name)\":null"))
      #expect(error?.code == .duplicateField)
      #expect(error?.field == name)
    }
  }

  @Test("Each required member is missed by name, and a missing id says why ids are needed")
  func missingMembers() {
    for name in ["id", "run_id", "turn", "kind", "actor", "payload"] {
      let renamed = line().replacing("\"\(name)\":", with: "\"offset\":")
      let value =
        name == "turn" ? renamed : renamed.replacing(/"offset":("[a-z.]*"|\{\})/, with: "\"offset\":null")
      let error = EventTesting.refusal(of: value)
      #expect(error?.code == .missingField, "\(name)")
      #expect(error?.field == name)
    }
    #expect(
      EventTesting.refusal(of: "{}")?.description.contains("importing the same lines again is safe") == true
    )
  }

  @Test("Integers are 64-bit and never converted")
  func integers() throws {
    for (text, value) in [
      ("0", 0), ("-0", 0), ("9223372036854775807", .max), ("-9223372036854775808", .min), ("-1", -1),
    ] as [(String, Int64)] {
      #expect(try EventTesting.parse(line("turn", text)).turn == value)
      #expect(try EventTesting.parse(line("schema_version", text)).schemaVersion == value)
    }
    for text in ["\"3\"", "true", "3.0", "3e0", "null", "[]", "{}", "0.0", "1E2", "1e999999999"] {
      let error = EventTesting.refusal(of: line("turn", text))
      #expect(error?.code == .wrongType, "\(text)")
      #expect(error?.field == "turn")
    }
    for text in [
      "9223372036854775808", "-9223372036854775809", "18446744073709551616",
      String(repeating: "9", count: 5_000),
    ] {
      #expect(EventTesting.refusal(of: line("turn", text))?.code == .numberOutOfRange, "\(text)")
    }
    for text in ["01", "+1", "-", ".5", "1.", "0x1", "NaN"] {
      #expect(EventTesting.refusal(of: line("turn", text))?.code == .malformedJSON, "\(text)")
    }
  }

  @Test("Texts are never converted from other types")
  func texts() {
    for member in [
      "id", "run_id", "kind", "actor", "session_id", "model_profile", "model_id", "payload_base64",
    ] {
      for value in ["1", "true", "[]", "{}", "{\"a\":\"b\"}"] {
        let text =
          member == "payload_base64"
          ? line("", payload: "{}").replacing("\"payload\":{}", with: "\"payload_base64\":\(value)")
          : line(member, value)
        let error = EventTesting.refusal(of: text)
        #expect(error?.code == .wrongType, "\(member) \(value)")
        #expect(error?.field == member)
      }
    }
    for member in ["id", "run_id", "kind", "actor"] {
      #expect(EventTesting.refusal(of: line(member, "null"))?.code == .wrongType)
    }
  }

  @Test("Texts keep the limits of events, with their column")
  func textLimits() {
    let long = String(repeating: "x", count: 513)
    #expect(EventTesting.refusal(of: line("id", "\"\""))?.code == .emptyText)
    #expect(EventTesting.refusal(of: line("id", "\"\""))?.column == 7)
    #expect(EventTesting.refusal(of: line("actor", "\"\(long)\""))?.code == .textTooLong)
    #expect(EventTesting.refusal(of: line("model_id", "\"\(long)\""))?.code == .textTooLong)
    #expect(
      EventTesting.refusal(of: line("run_id", "\"\(String(repeating: "\\u0041", count: 512))\"")) == nil
    )
    #expect(
      EventTesting.refusal(of: line("run_id", "\"\(String(repeating: "\\u0041", count: 513))\""))?.code
        == .textTooLong
    )
    #expect(EventTesting.refusal(of: line("actor", #""a\u0000""#))?.code == .controlCharacter)
    #expect(EventTesting.refusal(of: line("actor", #""a\u0085""#))?.code == .controlCharacter)
    #expect(EventTesting.refusal(of: line("session_id", #""a\u0000""#)) == nil)
  }

  @Test("Half a surrogate pair is refused in a field and kept in a payload")
  func loneSurrogates() throws {
    #expect(EventTesting.refusal(of: line("actor", #""\ud800""#))?.code == .invalidEscape)
    #expect(EventTesting.refusal(of: line("model_id", #""\ude00\ud83d""#))?.code == .invalidEscape)
    #expect(try EventTesting.parse(line(payload: #""\ud800""#)).payload == Array(#""\ud800""#.utf8))
  }

  @Test("An offset is checked and ignored")
  func offset() {
    for value in ["null", "0", "1", "18446744073709551615"] {
      #expect(EventTesting.refusal(of: line("offset", value)) == nil)
    }
    #expect(EventTesting.refusal(of: line("offset", "-1"))?.code == .numberOutOfRange)
    #expect(EventTesting.refusal(of: line("offset", "18446744073709551616"))?.code == .numberOutOfRange)
    #expect(EventTesting.refusal(of: line("offset", "\"1\""))?.code == .wrongType)
    #expect(EventTesting.refusal(of: line("offset", "1.0"))?.code == .wrongType)
  }

  @Test("What follows the object is an error that asks for one event a line")
  func trailing() {
    for more in ["x", ",", "{}", line(), "\u{0}", " null"] {
      let error = EventTesting.refusal(of: line() + more)
      #expect(error?.code == .trailingContent)
      #expect(error?.description.contains("one event a line") == true)
    }
    #expect(EventTesting.refusal(of: line() + " \t\r\n") == nil)
  }

  @Test("What is not an object is an error")
  func notAnObject() {
    for text in ["", " ", "[]", "null", "\"id\"", "1", "\u{FEFF}{}", "#"] {
      #expect(EventTesting.refusal(of: text)?.code == .notAnObject, "\(text)")
    }
    for text in [
      "{", "{\"id\"", "{\"id\":", "{\"id\":\"e\"", "{\"id\":\"e\",", "{,}", "{\"id\":\"e\",}", "{\"id\":}",
    ] {
      #expect(EventTesting.refusal(of: text)?.code == .malformedJSON, "\(text)")
    }
  }

  // MARK: Payloads

  @Test("A payload is kept as its exact text, from its first byte to its last")
  func exactPayload() throws {
    for payload in [
      "{}", "{ \"b\" : 1.0 , \"a\":1e999999999, \"a\":10e-1 }", "null", "true", "\"\\u0041\\ud800\"", "[\t]",
      "-0", "123456789012345678901234567890", "\"\u{2028}é😀\"",
    ] {
      let event = try EventTesting.parse(line(", \"offset\" : 9 ", payload: " \t\(payload) \t"))
      #expect(event.payload == Array(payload.utf8))
      #expect(EventTesting.text(event).contains("\"payload\":\(payload),"))
    }
  }

  @Test("A payload nests 512 levels in a line too, and 100,000 do no harm")
  func payloadNesting() {
    let deep = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
    #expect(EventTesting.refusal(of: line(payload: deep)) == nil)
    #expect(EventTesting.refusal(of: line(payload: "[\(deep)]"))?.code == .nestedTooDeep)
    #expect(
      EventTesting.refusal(of: line(payload: String(repeating: "[", count: 100_000)))?.code == .nestedTooDeep
    )
    #expect(
      EventTesting.refusal(of: line("id", String(repeating: "[", count: 100_000)))?.code == .nestedTooDeep
    )
  }

  @Test("A payload above the limit is refused, at the limit it passes")
  func payloadLimit() {
    func code(_ member: String, _ limit: Int) -> EventError.Code? {
      let bytes = Array(line().replacing("\"payload\":{}", with: member).utf8)
      return EventTesting.refusal { () throws(EventError) in
        _ = try Event(
          jsonLine: bytes.span.rawBytes,
          defaultCreatedAt: EventTesting.noon,
          maximumPayload: limit
        )
      }?.code
    }
    #expect(code("\"payload\":\"12345678\"", 10) == nil)
    #expect(code("\"payload\":\"12345678\"", 9) == .payloadTooLarge)
    #expect(code("\"payload_base64\":\"/wD/AA==\"", 4) == nil)
    #expect(code("\"payload_base64\":\"/wD/AA==\"", 3) == .payloadTooLarge)
  }

  @Test("payload_base64 stores the bytes it says, and is strict")
  func base64() throws {
    func parse(_ text: String) throws(EventError) -> [UInt8] {
      try EventTesting.parse(line().replacing("\"payload\":{}", with: "\"payload_base64\":\"\(text)\""))
        .payload
    }
    #expect(try parse("") == [])
    #expect(try parse("/w==") == [0xFF])
    #expect(try parse("\\/w=\\u003d") == [0xFF])
    #expect(try parse("AP8=") == [0, 0xFF])
    #expect(try parse("AP+A") == [0, 0xFF, 0x80])
    for text in [
      "A", "AA", "AAA", "AAAAA", "=", "====", "A===", "AA=A", "=AAA", "AA==AAAA", "AP9=", "/x==", "AA\\nAA",
      "_-8=", "AA =",
      "éé", "\\ud800",
    ] {
      let error = EventTesting.refusal { () throws(EventError) in _ = try parse(text) }
      #expect(error?.code == .invalidBase64, "\(text)")
    }
  }

  @Test("Bytes that are not JSON come out as payload_base64 and return")
  func base64RoundTrip() throws {
    var numbers = SeededGenerator(seed: 64)
    for count in 0..<100 {
      let payload = [0xFF] + (0..<count).map { _ in UInt8.random(in: 0...255, using: &numbers) }
      let event = try Event(
        id: "e",
        runID: "r",
        turn: 0,
        kind: "a.b",
        actor: "x",
        payload: payload,
        createdAt: EventTesting.noon
      )
      let text = EventTesting.text(event)
      #expect(text.contains(",\"payload_base64\":\""))
      #expect(!text.contains("\"payload\":"))
      #expect(try EventTesting.parse(text) == event)
    }
  }

  @Test("Line breaks in a payload are given back as spaces")
  func payloadLineBreaks() throws {
    let event = try EventTesting.event(payload: "{\r\n\"a\": [1,\n2]}")
    let bytes = EventTesting.line(event)
    #expect(bytes.count { $0 == 0x0A } == 1)
    #expect(bytes.last == 0x0A)
    #expect(try EventTesting.parse(bytes).payload == Array("{  \"a\": [1, 2]}".utf8))
  }
}
