import LogEngine
import RunLedger
import Testing

@Suite("Events")
struct EventTests {
  private func code(_ body: () throws(EventError) -> Event) -> EventError.Code? {
    EventTesting.refusal { () throws(EventError) in _ = try body() }?.code
  }

  private func refusalOfKind(_ kind: String, _ rule: KindRule = .dotted) -> EventError.Code? {
    code { () throws(EventError) in try EventTesting.event(kind: kind, kindRule: rule) }
  }

  @Test("Case 1: an explicit id is kept")
  func explicitIDIsKept() throws {
    #expect(try EventTesting.event(id: "my-own").id == "my-own")
  }

  @Test(
    "Case 2: a kind that is not dotted is rejected",
    arguments: [
      "nodot", "Bad.Kind", "bad kind", "trailing.", ".leading", "two..dots", "clue.found\n", "clue.found\r\n",
      "\nclue.found", "1clue.found", "clue.Found", "clue.fo_und", "clue-x.found", "clüe.found",
      "clue.found\u{0}",
      ".", "..", "a.b ", "clue.ｆound", "tool_call",
    ]
  )
  func kindNotDotted(_ kind: String) {
    #expect(refusalOfKind(kind) == .invalidKind)
  }

  @Test(
    "Case 2: a dotted kind passes",
    arguments: [
      "clue.found", "run.started", "run.finished", "a.b", "a1.2b", "agent.history.tool", "a.b.c.d.e.f",
    ]
  )
  func kindDotted(_ kind: String) throws {
    #expect(try EventTesting.event(kind: kind).kind == kind)
  }

  @Test("Any text is a kind if the ledger says so, within the limits of an id")
  func anyKind() throws {
    #expect(try EventTesting.event(kind: "tool_call", kindRule: .anyText).kind == "tool_call")
    #expect(refusalOfKind("", .anyText) == .emptyText)
    #expect(refusalOfKind("tool\ncall", .anyText) == .controlCharacter)
    #expect(refusalOfKind(String(repeating: "a", count: 513), .anyText) == .textTooLong)
  }

  @Test("An empty or overlong kind says so")
  func kindLimits() {
    #expect(refusalOfKind("") == .emptyText)
    #expect(refusalOfKind("a." + String(repeating: "b", count: 510)) == nil)
    #expect(refusalOfKind("a." + String(repeating: "b", count: 511)) == .textTooLong)
  }

  @Test("id, run and actor are not empty, have no control character, and at most 512 bytes")
  func requiredTexts() {
    let makers: [(String, (String) throws(EventError) -> Event)] = [
      ("id", { text throws(EventError) in try EventTesting.event(id: text) }),
      ("run_id", { text throws(EventError) in try EventTesting.event(runID: text) }),
      ("actor", { text throws(EventError) in try EventTesting.event(actor: text) }),
    ]
    let cases: [(String, EventError.Code?)] = [
      ("", .emptyText), (" ", nil), ("é😀 \u{A0}", nil), (String(repeating: "é", count: 256), nil),
      (String(repeating: "é", count: 256) + "x", .textTooLong),
      (String(repeating: "x", count: 513), .textTooLong),
      ("a\u{0}", .controlCharacter), ("a\nb", .controlCharacter), ("\u{1F}", .controlCharacter),
      ("\u{7F}", .controlCharacter), ("\u{80}", .controlCharacter), ("\u{9F}", .controlCharacter),
      ("\u{A1}", nil),
      ("\u{2028}", nil),
    ]
    for (field, make) in makers {
      for (text, expected) in cases {
        let error = EventTesting.refusal { () throws(EventError) in _ = try make(text) }
        #expect(error?.code == expected, "\(field) \(text.debugDescription)")
        if expected != nil { #expect(error?.field == field) }
      }
    }
  }

  @Test(
    "A control character is found at any place of a text of any length, and nothing else is taken for one")
  func controlCharacterAnywhere() {
    var wrong: [String] = []
    for value in UInt8(0)...0xA2 {
      let character = Unicode.Scalar(value)
      let isControl = value < 0x20 || (0x7F...0x9F).contains(value)
      for length in 1...20 {
        for place in 0..<length {
          let text =
            String(repeating: "~", count: place) + String(Character(character))
            + String(repeating: " ", count: length - place - 1)
          let error = EventTesting.refusal { () throws(EventError) in
            try Event.validate(text, field: "id")
          }
          if error?.code != (isControl ? .controlCharacter : nil) { wrong.append(text) }
        }
      }
    }
    #expect(wrong == [])
  }

  @Test("Optional texts hold anything within 512 bytes, and nothing stays nothing")
  func optionalTexts() throws {
    #expect(try EventTesting.event(sessionID: "line\nbreak").sessionID == "line\nbreak")
    #expect(try EventTesting.event(sessionID: "").sessionID?.isEmpty == true)
    #expect(try EventTesting.event().sessionID == nil)
    let long = String(repeating: "s", count: 513)
    #expect(code { () throws(EventError) in try EventTesting.event(sessionID: long) } == .textTooLong)
  }

  @Test("Case 3: without a schema version it is 1")
  func schemaVersionIsOne() throws {
    #expect(try EventTesting.event().schemaVersion == 1)
  }

  @Test("Negative turns are accepted")
  func negativeTurn() throws {
    #expect(try EventTesting.event(turn: .min).turn == .min)
  }

  @Test("Events that spell a text with other bytes differ")
  func equalityIsByBytes() throws {
    let composed = try EventTesting.event(id: "\u{E9}")
    let decomposed = try EventTesting.event(id: "e\u{301}")
    #expect(composed != decomposed)
    #expect(composed == composed)
    #expect(try EventTesting.event(sessionID: nil) != EventTesting.event(sessionID: ""))
  }

  @Test("A message is one sentence, short and harmless, whatever the value")
  func messages() {
    let hostile = "bad\u{1B}]0;\u{7}\n\u{202E}\u{2028}\"" + String(repeating: "y", count: 400)
    let error = EventTesting.refusal { () throws(EventError) in _ = try EventTesting.event(kind: hostile) }
    let text = error?.description ?? ""
    #expect(text.utf8.count < 400)
    #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x202E && $0.value != 0x2028 })
    #expect(text.contains("clue.found"))
    #expect(text.hasSuffix("."))
  }

  @Test("An excerpt is cut to its length and says so")
  func excerpt() {
    #expect(Excerpt.of("plain é 😀") == "plain é 😀")
    #expect(Excerpt.of(String(repeating: "a", count: 60)) == String(repeating: "a", count: 60))
    #expect(Excerpt.of(String(repeating: "a", count: 61)) == String(repeating: "a", count: 60) + "…")
    #expect(Excerpt.of("a\"b\\c\n") == "a\\\"b\\\\c\\n")
  }

  @Test("A stored character that one field ends in and the next begins with is no text of either")
  func cutCharacter() throws {
    let event = try EventTesting.event(runID: "é", kind: "é", actor: "é", sessionID: "é", kindRule: .anyText)
    // Where each of them has its length.
    for place in [4, 6, 8] {
      var buffer = ByteBuffer()
      EventRecord.encode(event, into: &buffer)
      buffer.store(UInt8(1), at: place)
      buffer.store(UInt8(3), at: place + 2)
      guard let view = EventView(buffer.bytes, at: 1, kindRule: .anyText) else {
        Issue.record("the shape is an event's")
        return
      }
      #expect(view.flaw == "a text field is not UTF-8")
    }
  }
}
