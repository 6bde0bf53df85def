import RunLedger
import Testing

@Suite("Session labels")
struct SessionLabelTests {
  @Test("Case 25: none, empty text and mere whitespace are none, without a warning")
  func absent() {
    for text in [nil, "", "   ", "\t\r\n\u{A0}"] {
      let (label, warning) = SessionLabel.cleaned(text)
      #expect(label == nil)
      #expect(warning == nil)
    }
  }

  @Test(
    "Case 25: what cannot be a session id becomes none with a warning",
    arguments: [
      String(repeating: "a", count: 65), "two words", "<b>bold</b>", "a/b", "séance", "a\nb", "a\u{0}", "😀",
      "e\u{301}", "a\u{301}", "a:b", String(repeating: "😀", count: 100_000),
    ]
  )
  func refused(_ text: String) {
    let (label, warning) = SessionLabel.cleaned(text)
    #expect(label == nil)
    #expect(warning != nil)
    #expect((warning?.utf8.count ?? .max) < 600)
  }

  @Test(
    "Case 25: letters, digits, dot, underscore and hyphen pass, up to 64 of them",
    arguments: [
      "a", "3F2504E0-4F89-11D3-9A0C-0305E82C3301", "v1.2_x-Y", "-", String(repeating: "z", count: 64),
    ]
  )
  func accepted(_ text: String) {
    let (label, warning) = SessionLabel.cleaned(text)
    #expect(label == text)
    #expect(warning == nil)
  }

  @Test("Case 25: padded valid text is trimmed")
  func trimmed() {
    #expect(SessionLabel.cleaned("  abc-1\r\n").label == "abc-1")
    #expect(SessionLabel.cleaned("\u{2003}x\u{3000}").label == "x")
    #expect(SessionLabel.cleaned(" " + String(repeating: "z", count: 64) + " ").label?.utf8.count == 64)
  }
}
