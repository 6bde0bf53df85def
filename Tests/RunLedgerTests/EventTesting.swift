import LogEngine
import RunLedger
import StorageTesting

/// What the tests of events share.
enum EventTesting {
  static let noon = Timestamp(uncheckedSeconds: 1_717_243_200, nanoseconds: 0)

  /// The error that `body` throws, or nil.
  static func refusal(_ body: () throws(EventError) -> Void) -> EventError? {
    do throws(EventError) {
      try body()
      return nil
    } catch {
      return error
    }
  }

  static func event(
    id: String = "e-1",
    runID: String = "run-1",
    turn: Int64 = 0,
    kind: String = "clue.found",
    actor: String = "watson",
    payload: String = "{}",
    createdAt: Timestamp = noon,
    sessionID: String? = nil,
    kindRule: KindRule = .dotted
  ) throws(EventError) -> Event {
    try Event(
      id: id,
      runID: runID,
      turn: turn,
      kind: kind,
      actor: actor,
      payload: Array(payload.utf8),
      createdAt: createdAt,
      sessionID: sessionID,
      kindRule: kindRule
    )
  }

  static func parse(_ line: [UInt8], kindRule: KindRule = .anyText) throws(EventError) -> Event {
    try Event(jsonLine: line.span.rawBytes, kindRule: kindRule, defaultCreatedAt: noon)
  }

  static func parse(_ line: String, kindRule: KindRule = .dotted) throws(EventError) -> Event {
    try parse(Array(line.utf8), kindRule: kindRule)
  }

  static func refusal(of line: String) -> EventError? {
    refusal { () throws(EventError) in _ = try parse(line) }
  }

  static func line(_ event: Event, offset: UInt64? = nil) -> [UInt8] {
    var bytes: [UInt8] = []
    event.appendJSONLine(to: &bytes, offset: offset)
    return bytes
  }

  static func text(_ event: Event, offset: UInt64? = nil) -> String {
    String(decoding: line(event, offset: offset), as: UTF8.self)
  }

  static func haveEqualValues(_ left: String, _ right: String) -> Bool {
    haveEqualValues(Array(left.utf8), Array(right.utf8))
  }

  static func haveEqualValues(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    JSONText.haveEqualValues(left.span.rawBytes, right.span.rawBytes)
  }

  static func refusal(ofJSON bytes: [UInt8]) -> EventError? {
    refusal { () throws(EventError) in try JSONText.validate(bytes.span.rawBytes) }
  }

  // MARK: Seeded values

  static func randomEvent(using numbers: inout SeededGenerator) throws(EventError) -> Event {
    try Event(
      id: randomText(using: &numbers, withControls: false),
      runID: randomText(using: &numbers, withControls: false),
      turn: Int64(bitPattern: numbers.next()) >> Int64.random(in: 0...63, using: &numbers),
      kind: randomText(using: &numbers, withControls: false),
      actor: randomText(using: &numbers, withControls: false),
      payload: Array(randomJSON(using: &numbers).utf8),
      createdAt: randomTimestamp(using: &numbers),
      schemaVersion: Int64.random(in: -3...300, using: &numbers),
      sessionID: Bool.random(using: &numbers) ? randomText(using: &numbers, withControls: true) : nil,
      modelProfile: Bool.random(using: &numbers) ? "" : nil,
      modelID: Bool.random(using: &numbers) ? randomText(using: &numbers, withControls: true) : nil,
      kindRule: .anyText
    )
  }

  static func randomTimestamp(using numbers: inout SeededGenerator) -> Timestamp {
    let unit: UInt32 = [1, 1_000, 1_000_000, 1_000_000_000].randomElement(using: &numbers) ?? 1
    return Timestamp(
      uncheckedSeconds: Int64.random(
        in: Timestamp.minimum.seconds...Timestamp.maximum.seconds,
        using: &numbers
      ),
      nanoseconds: UInt32.random(in: 0...999_999_999, using: &numbers) / unit * unit
    )
  }

  static func randomText(using numbers: inout SeededGenerator, withControls: Bool) -> String {
    let alphabet: [Unicode.Scalar] =
      [
        "a", "Z", "7", ".", "_", "-", " ", "\"", "\\", "/", "é", "你", "😀", "\u{301}", "\u{FFFD}",
        "\u{10FFFF}",
      ]
      + (withControls ? ["\u{0}", "\n", "\r", "\t", "\u{8}", "\u{C}", "\u{1F}", "\u{7F}", "\u{85}"] : [])
    var text = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: 1...20, using: &numbers) {
      text.append(alphabet.randomElement(using: &numbers) ?? "a")
    }
    return String(text)
  }

  /// Random JSON text, built without recursion: each step wraps or joins what is there.
  static func randomJSON(using numbers: inout SeededGenerator) -> String {
    let scalars = [
      "null", "true", "false", "0", "-0", "1.0", "10e-1", "9223372036854775807", "-1E+5", "\"\"",
      "\"a\\u0041\"",
      "\"\\ud83d\"", "\"\\ud83d\\ude00\"", "\"😀é\"", "\"long enough to be skipped by words\"", "[]", "{}",
      "[ ]",
    ]
    var text = scalars.randomElement(using: &numbers) ?? "0"
    for _ in 0..<Int.random(in: 0...6, using: &numbers) {
      let other = scalars.randomElement(using: &numbers) ?? "0"
      switch Int.random(in: 0...3, using: &numbers) {
      case 0: text = "[\(text),\(other)]"
      case 1: text = "{\"a\":\(text), \"b\" : \(other)}"
      case 2: text = "[\(other) , \(text) ]"
      default: text = "{\"\\u0061\":\(other),\"a\":\(text)}"
      }
    }
    return text
  }
}
