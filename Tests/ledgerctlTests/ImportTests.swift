import Foundation
import RunLedger
import Testing

/// What import accepts, refuses, counts and promises.
@Suite struct ImportTests {
  private static let good = Line.event("good-1")
  private static let also = Line.event("good-2")

  private func exported(_ ledger: String) throws -> [String] { try Tool.run("export", ledger).lines }

  // MARK: Shapes of input

  @Test(arguments: [
    ("a missing last newline", "\(good)\n\(also)"),
    ("a last newline", "\(good)\n\(also)\n"),
    ("carriage returns", "\(good)\r\n\(also)\r\n"),
    ("a byte order mark", "\u{FEFF}\(good)\n\(also)\n"),
    ("blank lines", "\n  \n\(good)\n\t\r\n\n\(also)\n \n"),
    ("spaces around", "  \(good) \n\t\(also)\t\n"),
    ("an offset, which is ignored", "\(Line.at(7, good))\n\(Line.at(3, also))\n"),
  ])
  func takes(what: String, input: String) throws {
    let place = try Scratch()
    let result = try Tool.run("import", place.ledger, "--json", input: input)
    #expect(result.code == 0, "\(what): \(result.messages)")
    #expect(result.output == #"{"appended":2,"duplicates":0,"conflicts":0,"latest_offset":2}"# + "\n")
    #expect(result.messages == "")
    #expect(try exported(place.ledger) == [Self.good, Self.also])
  }

  @Test(arguments: ["", "\n", "\u{FEFF}", "\u{FEFF}\n", " \r\n\t"])
  func takesInputWithoutEvents(input: String) throws {
    let place = try Scratch()
    let result = try Tool.run("import", place.ledger, "--acks", input: input)
    #expect(result.code == 0)
    #expect(result.output == "")
    #expect(result.messages == "ledgerctl: 0 appended, 0 duplicates, 0 conflicts; the latest offset is 0\n")
  }

  @Test func takesSeveralFilesEachWithItsOwnByteOrderMarkAndStandardInputBetween() throws {
    let place = try Scratch()
    let lines = Line.events(1...3)
    let first = place.file("1", "\u{FEFF}\(lines[0])")
    let last = place.file("3", "\u{FEFF}\(lines[2])")
    #expect(try Tool.run("import", place.ledger, first, "-", last, input: lines[1]).code == 0)
    #expect(try exported(place.ledger) == lines)
  }

  @Test func aMissingTimeIsNow() throws {
    let place = try Scratch()
    let null = Self.good.replacingOccurrences(of: #""2025-03-04T09:00:00Z""#, with: "null")
    let absent = Self.also.replacingOccurrences(of: #""created_at":"2025-03-04T09:00:00Z","#, with: "")
    let before = Date().timeIntervalSince1970 - 1
    try Tool.run("import", place.ledger, input: "\(null)\n\(absent)")
    for line in try exported(place.ledger) {
      let seconds = Double(try Line.parsed(line).createdAt.seconds)
      #expect((before...before + 60).contains(seconds))
    }
  }

  // MARK: Bad input

  private static let deep = String(repeating: "[", count: 513) + String(repeating: "]", count: 513)

  @Test(arguments: [
    ("{", ":3:2: the JSON is malformed"),
    ("[1]", ":3:1: the line is not a JSON object"),
    (#"{"id":"x","id":"x"}"#, #":3:11: "id" is given twice"#),
    (good + also, ":3:\(good.utf8.count + 1): something follows the event"),
    (#"{"id":"x","run_id":"r","turn":0,"kind":"a.b","actor":"x"}"#, #":3: "payload" is missing"#),
    (#"{"run_id":"r","turn":0,"kind":"a.b","actor":"x","payload":1}"#, #":3: "id" is missing"#),
    (#"{"id":"x","extra":1}"#, #":3:11: "extra" is not a member"#),
    (#"{"id":"x","turn":"3"}"#, #":3:18: "turn" has the wrong type"#),
    (#"{"id":"x","turn":3.0}"#, #":3:18: "turn" has the wrong type"#),
    (#"{"id":"x","turn":9223372036854775808}"#, #":3:18: "turn" is out of range"#),
    (#"{"id":"x","kind":"nodot"}"#, #":3:18: kind "nodot" is not dotted"#),
    (#"{"id":""}"#, #":3:7: "id" is empty"#),
    (#"{"id":"a\u0000b"}"#, #":3:7: "id" holds a control character"#),
    (#"{"id":"\#(String(repeating: "x", count: 513))"}"#, #":3:7: "id" is longer than 512 bytes"#),
    (#"{"id":"x","created_at":"yesterday"}"#, #":3:24: "created_at" is not a timestamp"#),
    (#"{"payload":\#(deep)}"#, ":3:524: arrays and objects nest deeper than 512 levels"),
    (#"{"payload":1,"payload_base64":"AA=="}"#, ":3:14: the payload is given twice"),
    ("\u{FEFF}\(good)", ":3:1: the line is not a JSON object"),
    ("\u{0}", ":3:1: the line is not a JSON object"),
  ])
  func badInputStopsAtItsLineAndKeepsWhatCameBefore(bad: String, message: String) throws {
    let place = try Scratch()
    let file = place.file("bad.jsonl", "\(Self.good)\n\n\(bad)\n\(Self.also)\n")
    let result = try Tool.run("import", place.ledger, file, "--json", "--acks")
    #expect(result.code == 65)
    #expect(
      result.output == "{\"acked\":1}\n" + #"{"appended":1,"duplicates":0,"conflicts":0,"latest_offset":1}"#
        + "\n"
    )
    #expect(result.messages.hasPrefix("ledgerctl: \(file)\(message)"), "\(result.messages)")
    #expect(result.messages.split(separator: "\n").count == 1)
    #expect(try exported(place.ledger) == [Self.good])
  }

  @Test func invalidUTF8IsNamedByFileLineAndColumn() throws {
    let place = try Scratch()
    let bad = Data(#"{"id":"x"#.utf8) + [0xC3, 0x28] + Data(#""}"#.utf8)
    let result = try Tool.run(["import", place.ledger], input: bad)
    #expect(result.code == 65)
    #expect(result.messages.contains("<stdin>:1:9: the bytes are not UTF-8"), "\(result.messages)")
  }

  @Test func bytesThatAreNoTextAtAllAreRefused() throws {
    let place = try Scratch()
    for input in [
      Data([0xFF, 0xFE, 0x7B, 0x00]), Data(repeating: 0, count: 5000), Data([0x1F, 0x8B, 8, 0]),
    ] {
      #expect(try Tool.run(["import", place.ledger], input: input).code == 65)
    }
  }

  @Test func aMissingLaterFileIsNamedAfterTheOnesBeforeAreStored() throws {
    let place = try Scratch()
    let result = try Tool.run("import", place.ledger, place.file("1", Self.good), place.path("2"))
    #expect(result.code == 66)
    #expect(result.messages.contains("cannot open \(place.path("2"))"))
    #expect(try exported(place.ledger) == [Self.good])
  }

  @Test func aDirectoryIsNoFile() throws {
    let place = try Scratch()
    let result = try Tool.run("import", place.ledger, place.path("."))
    #expect(result.code == 66)
    #expect(result.messages.contains("it is a directory"))
  }

  // MARK: Lines and batches

  @Test func linesMayLieAcrossReadsOfAnySize() throws {
    let place = try Scratch()
    // Reads are a mebibyte: lines end just before, on and behind that, and one is longer than two.
    let empty = Line.event("x-1", payload: #""""#).utf8.count + 1
    let sizes = [1 << 20, (1 << 20) - 1, (1 << 20) + 1, 1, 5 << 19, 7, 1 << 20]
    let lines = sizes.enumerated().map {
      Line.event("x-\($0)", payload: "\"\(String(repeating: "y", count: max($1 - empty, 0)))\"")
    }
    #expect(try Tool.run("import", place.ledger, input: lines.joined(separator: "\n")).code == 0)
    #expect(try exported(place.ledger) == lines)
  }

  @Test func batchesAreAThousandEventsAndAcksCountThem() throws {
    let place = try Scratch()
    try place.createSmall()
    let file = place.file("events", Line.events(1...2345).joined(separator: "\n"))
    let first = try Tool.run("import", place.ledger, file, "--acks")
    #expect(first.lines == [#"{"acked":1000}"#, #"{"acked":2000}"#, #"{"acked":2345}"#])
    // Each batch is one write whose last frame alone does not go on.
    let ends = try Tool.run("dump", place.ledger).lines.filter {
      $0.contains(#""kind":"record""#) && $0.hasSuffix(#""continues":false}"#)
    }
    #expect(ends.count == 3)
    let again = try Tool.run("import", place.ledger, file, "--acks", "--json")
    #expect(
      again.lines == [
        #"{"acked":1000}"#, #"{"acked":2000}"#, #"{"acked":2345}"#,
        #"{"appended":0,"duplicates":2345,"conflicts":0,"latest_offset":2345}"#,
      ]
    )
  }

  @Test func batchesAreBoundedInBytesToo() throws {
    let place = try Scratch()
    let payload = "\"\(String(repeating: "z", count: 3 << 20))\""
    let file = place.file(
      "events",
      (1...5).map { Line.event("\($0)", payload: payload) }.joined(separator: "\n")
    )
    #expect(
      try Tool.run("import", place.ledger, file, "--acks").lines
        == (2...5).filter { $0 != 3 }.map { "{\"acked\":\($0)}" }
    )
  }

  @Test func withoutSyncingThereIsOneAckAtTheEnd() throws {
    let place = try Scratch()
    let file = place.file("events", Line.events(1...2345).joined(separator: "\n"))
    let result = try Tool.run("import", place.ledger, file, "--acks", "--sync", "never")
    #expect(result.lines == [#"{"acked":2345}"#])
    #expect(try Tool.run("stat", place.ledger, "--json").output.contains(#""durable_offset":2345"#))
  }

  // MARK: Conflicts

  @Test func aConflictStopsAtItsLineAndKeepsWhatCameBefore() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a")])
    let lines = [Line.event("b"), Line.event("a"), Line.event("a", payload: "2"), Line.event("c")]
    let file = place.file("events", lines.joined(separator: "\n"))
    let result = try Tool.run("import", ledger, file, "--json", "--acks")
    #expect(result.code == 65)
    #expect(
      result.messages.hasPrefix("ledgerctl: \(file):3: the id 'a' is stored at offset 1 with other content")
    )
    #expect(
      result.lines == [#"{"acked":2}"#, #"{"appended":1,"duplicates":1,"conflicts":1,"latest_offset":2}"#]
    )
    #expect(try exported(ledger) == [Line.event("a"), Line.event("b")])
  }

  @Test func aConflictWithinTheInputIsOneToo() throws {
    let place = try Scratch()
    let lines = [Line.event("a"), Line.event("b"), Line.event("a", turn: 1)]
    let result = try Tool.run("import", place.ledger, input: lines.joined(separator: "\n"))
    #expect(result.code == 65)
    #expect(result.messages.contains("<stdin>:3: the id 'a'"))
    #expect(try exported(place.ledger) == Array(lines[...1]))
  }

  @Test func ignoredConflictsAreCountedApartFromDuplicates() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a"), Line.event("b")])
    let lines = [
      Line.event("a", payload: "2"), Line.event("b", payload: #"{ "n" : 1.0 }"#), Line.event("c"),
      Line.event("c"), Line.event("c", run: "x"), Line.event("b", at: "1999-01-01T00:00:00Z"),
      Line.event("d"),
    ]
    let result = try Tool.run(
      "import",
      ledger,
      "--on-conflict=ignore",
      "--json",
      "--acks",
      input: lines.joined(separator: "\n")
    )
    #expect(result.code == 0)
    #expect(
      result.lines == [#"{"acked":7}"#, #"{"appended":2,"duplicates":3,"conflicts":2,"latest_offset":4}"#]
    )
    #expect(try exported(ledger) == ["a", "b", "c", "d"].map { Line.event($0) })
  }

  // MARK: Stopping

  @Test func whoStopsReadingAcksEndsTheImportQuietlyAtABatch() throws {
    let place = try Scratch()
    let file = place.file("events", Line.events(1...9000).joined(separator: "\n"))
    let result = try Tool.shell(#""$ledgerctl" import "$1" "$2" --acks | true"#, place.ledger, file)
    #expect(result.messages == "")
    let stored = try exported(place.ledger)
    #expect(stored.count.isMultiple(of: 1000))
    #expect(stored == Array(Line.events(1...9000).prefix(stored.count)))
  }
}
