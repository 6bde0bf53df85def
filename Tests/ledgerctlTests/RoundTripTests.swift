import Foundation
import RunLedger
import Testing

/// What goes in comes out: through import, export, and import again.
@Suite struct RoundTripTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The shared data of the project's makers, which need not be there.
  private static let data: [String] = {
    do {
      let folder = root.deletingLastPathComponent().appendingPathComponent("shared/data")
      return try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
        $0.hasSuffix(".jsonl")
      }
      .sorted().map { folder.appendingPathComponent($0).path }
    } catch {
      return []
    }
  }()

  @Test(arguments: [
    #"{"z":1,"a":2,"z":3}"#, "1.50", "1E400", "-0", "-0.0e-0", "18446744073709551616",
    "12345678901234567890123",
    #"{ "a" : [ 1 ,2 ] }"#, #""\u00e9é\ud83d\ude00\/\n""#, #""\ud800""#, "null", "true", "[]", #""""#, "1e5",
    "{\"a\":\t1}",
  ])
  func aPayloadsTextIsKeptByteForByte(payload: String) throws {
    let place = try Scratch()
    let line = Line.event("a", payload: payload)
    #expect(try Tool.run("export", try place.ledger([line])).output == line + "\n")
  }

  @Test func bytesThatAreNotJSONGoThroughBase64() throws {
    let place = try Scratch()
    let line = Line.event("a", payload: "0").replacingOccurrences(
      of: #""payload":0"#,
      with: #""payload_base64":"AP8=""#
    )
    #expect(try Tool.run("export", try place.ledger([line])).output == line + "\n")
  }

  /// Imports, exports, imports that elsewhere, and again into the first.
  private func goRound(_ file: String) throws {
    let place = try Scratch()
    let given = Line.split(try String(contentsOfFile: file, encoding: .utf8))
    let imported = try Tool.run("import", place.ledger, file, "--json")
    #expect(
      imported.output
        == #"{"appended":\#(given.count),"duplicates":0,"conflicts":0,"latest_offset":\#(given.count)}"#
        + "\n",
      "\(imported.messages)"
    )
    let export = try Tool.run("export", place.ledger)
    let written = export.lines
    try #require(written.count == given.count)
    // Bytes of payloads and instants of times included.
    for (old, new) in zip(given, written) { #expect(try Line.parsed(old) == Line.parsed(new)) }

    let exported = place.file("exported", export.output)
    let other = place.path("other")
    #expect(try Tool.run("import", other, exported).code == 0)
    #expect(try Tool.run("export", other).output == export.output)
    let again = try Tool.run("import", place.ledger, exported, file, "--json")
    #expect(
      again.output
        == #"{"appended":0,"duplicates":\#(2 * given.count),"conflicts":0,"latest_offset":\#(given.count)}"#
        + "\n"
    )
    #expect(
      try Tool.run("verify", other, "--json").output == #"{"ok":true,"events":\#(given.count),"damage":[]}"#
        + "\n"
    )
  }

  @Test func theSampleGoesRound() throws {
    try goRound(Self.root.appendingPathComponent("Tests/Samples/agent-runs.jsonl").path)
  }

  @Test(.enabled(if: !data.isEmpty), arguments: data)
  func realEventsGoRound(file: String) throws { try goRound(file) }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["RUNLEDGER_SLOW_TESTS"] != nil))
  func anEventOfSeventyMegabytesGoesRound() throws {
    let place = try Scratch()
    let item = #"{"k":"värde ☃","n":1.50},"#
    let payload = "[" + String(repeating: item, count: 70_000_000 / item.utf8.count) + "0]"
    let lines = [Line.event("small"), Line.event("big", payload: payload), Line.event("after")]
    let text = lines.joined(separator: "\n") + "\n"
    let file = place.file("events", text)
    #expect(try Tool.run("import", place.ledger, file).code == 0)
    #expect(try Tool.run("export", place.ledger).output == text)
    #expect(try Tool.run("import", place.ledger, file, "--json").output.contains(#""duplicates":3"#))
    #expect(try Tool.run("verify", place.ledger).code == 0)
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["RUNLEDGER_SLOW_TESTS"] != nil))
  func aLineBeyondTheLimitIsNamedWithoutReadingItsRest() throws {
    let place = try Scratch()
    let script = #"{ printf '%s\n' "$2"; tr '\0' x </dev/zero; } | "$ledgerctl" import "$1" --acks"#
    let result = try Tool.shell(script, place.ledger, Line.event("a"))
    #expect(result.code == 65)
    #expect(result.output == "{\"acked\":1}\n")
    #expect(result.messages.contains("<stdin>:2: the line is longer than 135266304 bytes"))
  }
}
