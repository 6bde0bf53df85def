import Foundation
import LogEngine
import RunLedger
import StorageTesting
import Testing

extension EventLineTests {
  @Test("All members are written, in the order of the contract")
  func order() throws {
    let event = try EventTesting.event(turn: -7)
    let rest =
      #""id":"e-1","run_id":"run-1","turn":-7,"kind":"clue.found","actor":"watson","payload":{},"#
      + #""created_at":"2024-06-01T12:00:00Z","schema_version":1,"session_id":null,"model_profile":null,"#
      + #""model_id":null}"# + "\n"
    #expect(EventTesting.text(event) == "{" + rest)
    #expect(EventTesting.text(event, offset: .max) == "{\"offset\":18446744073709551615," + rest)
    #expect(EventTesting.text(event, offset: 0) == "{\"offset\":0," + rest)
    #expect(try EventTesting.parse(EventTesting.line(event, offset: 12)) == event)
  }

  @Test("Output is appended to")
  func appends() throws {
    let event = try EventTesting.event()
    var bytes = Array("before\n".utf8)
    event.appendJSONLine(to: &bytes)
    #expect(bytes == Array("before\n".utf8) + EventTesting.line(event))
  }

  @Test("Only quote, backslash and control characters are escaped")
  func escapes() throws {
    let event = try EventTesting.event(
      sessionID: "\"\\/\u{8}\u{C}\n\r\t\u{0}\u{1F}\u{7F}\u{80}é😀\u{2028}plain words"
    )
    let expected = #""session_id":"\"\\/\b\f\n\r\t\u0000\u001f"# + "\u{7F}\u{80}é😀\u{2028}plain words\","
    #expect(EventTesting.text(event).contains(expected))
    #expect(try EventTesting.parse(EventTesting.line(event)) == event)
  }

  // MARK: Properties

  @Test("Random events survive being written and read")
  func randomRoundTrip() throws {
    var numbers = SeededGenerator(seed: 2_024)
    for _ in 0..<2_000 {
      let event = try EventTesting.randomEvent(using: &numbers)
      let bytes = EventTesting.line(event, offset: Bool.random(using: &numbers) ? numbers.next() : nil)
      #expect(try EventTesting.parse(bytes) == event)
    }
  }

  @Test("No mutation of a line traps, and what is accepted is written so that it reads the same")
  func mutations() throws {
    var numbers = SeededGenerator(seed: 0xF1_1B)
    let tokens = Array(#"{}[]",:\u09eE+-. ntf/=_a"#.utf8)
    var line: [UInt8] = []
    var accepted = 0
    for round in 0..<24_000 {
      if round % 50 == 0 { line = EventTesting.line(try EventTesting.randomEvent(using: &numbers)) }
      var bytes = line
      for _ in 0..<Int.random(in: 1...3, using: &numbers) where !bytes.isEmpty {
        let index = Int.random(in: 0..<bytes.count, using: &numbers)
        let token = tokens.randomElement(using: &numbers) ?? 0
        switch Int.random(in: 0...5, using: &numbers) {
        case 0: bytes[index] ^= 1 << UInt8.random(in: 0...7, using: &numbers)
        case 1: bytes.remove(at: index)
        case 2: bytes.insert(UInt8.random(in: 0...255, using: &numbers), at: index)
        case 3: bytes.insert(token, at: index)
        case 4: bytes[index] = token
        default: bytes.removeSubrange(index..<min(bytes.count, index + 9))
        }
      }
      let event: Event
      do throws(EventError) {
        event = try EventTesting.parse(bytes)
      } catch {
        if round % 100 == 0 { #expect(error.description.utf8.count < 600) }
        continue
      }
      accepted += 1
      let again = try EventTesting.parse(EventTesting.line(event))
      let isSame = again == event || Self.isSameButForLineBreaks(again, event)
      guard isSame else {
        Issue.record("round \(round): \(String(decoding: bytes, as: UTF8.self))")
        return
      }
    }
    #expect(accepted > 500)
  }

  /// Line breaks in a payload, and whitespace around one that came as base64, are not kept on a line.
  private static func isSameButForLineBreaks(_ one: Event, _ other: Event) -> Bool {
    one.id == other.id && one.turn == other.turn && one.createdAt == other.createdAt
      && EventTesting.haveEqualValues(one.payload, other.payload)
  }

  @Test("An invalid byte at any place of a line is refused")
  func invalidByteEverywhere() {
    let bytes = Array(line(",\"session_id\":\"é\"", payload: "[1,\"a string of some length\"]").utf8)
    for index in 0...bytes.count {
      var broken = bytes
      broken.insert(0xFF, at: index)
      #expect(EventTesting.refusal { () throws(EventError) in _ = try EventTesting.parse(broken) } != nil)
      if index < bytes.count {
        let cut = Array(bytes[..<index])
        #expect(EventTesting.refusal { () throws(EventError) in _ = try EventTesting.parse(cut) } != nil)
      }
    }
  }

  // MARK: Real data

  @Test("Every line of the shared data is read and written back byte by byte, where that data is at hand")
  func sharedData() throws {
    var folder = #filePath.split(separator: "/")
    folder.removeLast(4)
    let names = ["github-2021-07-21", "pi-mono-sessions", "swe-agent-demos", "tau-airline-gpt4o"]
    for name in names {
      let path = "/" + folder.joined(separator: "/") + "/shared/data/\(name).jsonl"
      guard let contents = FileManager.default.contents(atPath: path).map(Array.init) else { continue }
      let bytes = contents.span.rawBytes
      var start = 0
      var line: [UInt8] = []
      while start < contents.count {
        let end = contents[start...].firstIndex(of: 0x0A) ?? contents.count
        let event = try Event(jsonLine: bytes.extracting(start..<end), defaultCreatedAt: EventTesting.noon)
        line.removeAll(keepingCapacity: true)
        event.appendJSONLine(to: &line)
        // One source wrote whole seconds as ".000Z", which is not the shortest form; all else must be
        // identical.
        let given = Array(contents[start..<min(end + 1, contents.count)])
        let isSame =
          line == given || String(decoding: line, as: UTF8.self) == Self.withoutZeroFraction(given)
        guard isSame else {
          Issue.record("\(name), the line at byte \(start)")
          return
        }
        start = end + 1
      }
    }
  }

  /// The line with `.000` dropped from its `created_at`, which comes behind the payload.
  private static func withoutZeroFraction(_ line: [UInt8]) -> String {
    let text = String(decoding: line, as: UTF8.self)
    guard
      let member = text.ranges(of: "\"created_at\":\"").last,
      let fraction = text[member.upperBound...].firstRange(of: ".000Z\",")
    else { return text }
    return text[..<fraction.lowerBound] + "Z\"," + text[fraction.upperBound...]
  }
}
