import Foundation
import Testing

/// What each command does when all is well.
@Suite struct CommandTests {
  @Test func createMakesAnEmptyLedgerAndSaysSoOnStandardError() throws {
    let place = try Scratch()
    let created = try Tool.run("create", place.ledger)
    #expect(created.code == 0)
    #expect(created.output == "")
    #expect(created.messages.hasPrefix("ledgerctl: created ledger "))
    #expect(try Tool.run("export", place.ledger).output == "")
    #expect(
      try Tool.run("verify", place.ledger, "--json").output == #"{"ok":true,"events":0,"damage":[]}"# + "\n"
    )
  }

  @Test(arguments: [("65536", 65536), ("64KiB", 65536), ("1MiB", 1 << 20)])
  func createTakesASegmentSize(text: String, bytes: Int) throws {
    let place = try Scratch()
    #expect(try Tool.run("create", place.ledger, "--segment-size", text).code == 0)
    #expect(try Tool.run("dump", place.ledger).output.contains(#""segment_size":\#(bytes),"#))
  }

  @Test func createCanAcceptAnyKind() throws {
    let place = try Scratch()
    try Tool.run("create", place.ledger, "--any-kind")
    let line = Line.event("a").replacingOccurrences(of: "test.event", with: "tool_call")
    #expect(try Tool.run("import", place.ledger, input: line).code == 0)
    #expect(try Tool.run("export", place.ledger).output == line + "\n")
  }

  @Test func queryWritesTheEventsThatMeetAllConditions() throws {
    let place = try Scratch()
    let lines = (1...9).map {
      Line.event("e-\($0)", run: "run-\($0 % 3)", turn: $0, at: "2025-03-04T09:00:0\($0)Z")
    }
    try Tool.run("import", place.ledger, input: lines.joined(separator: "\n"))
    func at(_ numbers: Int...) -> String {
      numbers.map { Line.at($0, lines[$0 - 1]) + "\n" }.joined()
    }
    #expect(try Tool.run("query", place.ledger, "--run", "run-1").output == at(1, 4, 7))
    #expect(
      try Tool.run("query", place.ledger, "--run", "run-1", "--reverse", "--limit", "2").output == at(7, 4))
    #expect(try Tool.run("query", place.ledger, "--turn", "2..4", "--offset", "3..").output == at(3, 4))
    #expect(
      try Tool.run(
        "query", place.ledger, "--since", "2025-03-04T09:00:03Z", "--until", "2025-03-04T09:00:05Z"
      ).output == at(3, 4))
    #expect(
      try Tool.run("query", place.ledger, "--kind", "test.*", "--actor", "tester", "--count").output
        == #"{"count":9}"# + "\n")
    #expect(try Tool.run("query", place.ledger, "--kind", "test.*", "--actor", "nobody").output == "")
    #expect(
      try Tool.run("query", place.ledger, "--run", "run-2", "--explain").output
        == #"{"matches":3,"segments":1,"postings":3,"records":3}"# + "\n")
    #expect(try Tool.run("query", place.ledger, "--limit", "0").output == "")
  }

  @Test func appendStoresOneEventAndSaysWhere() throws {
    let place = try Scratch()
    try Tool.run("create", place.ledger)
    let result = try Tool.run(
      "append",
      place.ledger,
      "--run",
      "r",
      "--kind=test.event",
      "--actor",
      "me",
      "--turn",
      "-4",
      "--payload",
      #" {"b" : 1.50,"a":[]} "#,
      "--session",
      "s",
      "--model-profile=p",
      "--model",
      "m",
      "--id",
      "x"
    )
    #expect(result.code == 0)
    #expect(result.output == #"{"outcome":"appended","offset":1,"id":"x"}"# + "\n")
    #expect(result.messages == "")
    let line = try Tool.run("export", place.ledger).output
    #expect(
      line.hasPrefix(
        #"{"id":"x","run_id":"r","turn":-4,"kind":"test.event","actor":"me","payload":{"b" : 1.50,"a":[]},"created_at":"20"#
      )
    )
    #expect(
      line.hasSuffix(#"Z","schema_version":1,"session_id":"s","model_profile":"p","model_id":"m"}"# + "\n")
    )
  }

  @Test(arguments: ["always", "never"])
  func appendMakesAnIDAndReadsAPayloadFromStandardInput(sync: String) throws {
    let place = try Scratch()
    try Tool.run("create", place.ledger)
    let result = try Tool.run(
      "append",
      place.ledger,
      "--run",
      "r",
      "--kind",
      "a.b",
      "--actor",
      "me",
      "--payload",
      "-",
      "--sync",
      sync,
      input: "{\n \"k\": \"\\u00e9\"\n}\n"
    )
    let id = try #require(result.lines.first?.split(separator: "\"").dropLast().last.map(String.init))
    #expect(UUID(uuidString: id) != nil)
    #expect(result.output == #"{"outcome":"appended","offset":1,"id":"\#(id)"}"# + "\n")
    #expect(try Tool.run("get", place.ledger, id).output.contains(#""payload":{  "k": "\u00e9" },"#))
  }

  @Test func appendingTheSameAgainIsADuplicate() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a"), Line.event("b")])
    let arguments = [
      "append", ledger, "--run", "run-1", "--kind", "test.event", "--actor", "tester", "--id", "a",
      "--payload",
    ]
    let again = try Tool.run(arguments + [#"{ "n": 1 }"#])
    #expect(again.output == #"{"outcome":"duplicate","offset":1,"id":"a"}"# + "\n")
    #expect(try Tool.run(arguments + [#"{"n":1}"#, "--expect-last", "0"]).output == again.output)
    let other = try Tool.run(arguments + [#"{"n":2}"#])
    #expect(other.code == 65)
    #expect(other.output == "")
    #expect(other.messages.contains("'a' is stored at offset 1"))
  }

  @Test func appendHoldsToTheExpectedLastOffset() throws {
    let place = try Scratch()
    let ledger = try place.ledger(Line.events(1...3))
    let arguments = [
      "append", ledger, "--run", "r", "--kind", "a.b", "--actor", "me", "--payload", "1", "--expect-last",
    ]
    let refused = try Tool.run(arguments + ["2"])
    #expect(refused.code == 65)
    #expect(refused.messages.contains("latest offset is 3 and not 2"))
    #expect(try Tool.run("stat", ledger, "--json").output.contains(#""events":3,"#))
    #expect(try Tool.run(arguments + ["3"]).output.contains(#""offset":4"#))
  }

  @Test func exportWritesWhatImportReadsAndRangesIncludeBothEnds() throws {
    let place = try Scratch()
    let lines = Line.events(1...6)
    let ledger = try place.ledger(lines)
    #expect(try Tool.run("export", ledger).lines == lines)
    #expect(try Tool.run("export", ledger, "--from", "3", "--to=4").lines == Array(lines[2...3]))
    #expect(try Tool.run("export", ledger, "--from", "6").lines == [lines[5]])
    #expect(try Tool.run("export", ledger, "--to", "1").lines == [lines[0]])
    #expect(try Tool.run("export", ledger, "--from", "0", "--to", "9223372036854775807").lines == lines)
    #expect(try Tool.run("export", ledger, "--from", "7").output == "")
    #expect(try Tool.run("export", ledger, "--to", "0").output == "")
  }

  @Test func getWritesTheEventsOfIDsInTheOrderAsked() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a"), Line.event("--b"), Line.event("c")])
    let result = try Tool.run("get", ledger, "--", "c", "--b")
    #expect(result.code == 0)
    #expect(result.lines == [Line.at(3, Line.event("c")), Line.at(2, Line.event("--b"))])
  }

  @Test func getWritesWhatItFindsAndNamesWhatItDoesNot() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a"), Line.event("b")])
    let result = try Tool.run("get", ledger, "nope", "b", "nada", "a")
    #expect(result.code == 66)
    #expect(result.lines == [Line.at(2, Line.event("b")), Line.at(1, Line.event("a"))])
    #expect(result.messages.contains("'nope', 'nada'"))
  }

  @Test func runAndRunsFollowFirstAppearance() throws {
    let place = try Scratch()
    let lines = [
      Line.event("1", run: "ü \"q\""), Line.event("2", run: "B"), Line.event("3", run: "ü \"q\""),
    ].map { $0.replacingOccurrences(of: #""ü "q"""#, with: #""ü \"q\"""#) }
    let ledger = try place.ledger(lines)
    #expect(try Tool.run("runs", ledger).lines == [#"{"run_id":"ü \"q\""}"#, #"{"run_id":"B"}"#])
    #expect(try Tool.run("run", ledger, "ü \"q\"").lines == [Line.at(1, lines[0]), Line.at(3, lines[2])])
    let missing = try Tool.run("run", ledger, "C")
    #expect(missing.code == 66)
    #expect(missing.output == "")
  }

  @Test func tailWritesEventsAfterAnOffset() throws {
    let place = try Scratch()
    let lines = Line.events(1...6)
    let ledger = try place.ledger(lines)
    let all = lines.enumerated().map { Line.at($0 + 1, $1) }
    #expect(try Tool.run("tail", ledger).lines == all)
    #expect(try Tool.run("tail", ledger, "--after", "3").lines == Array(all[3...]))
    #expect(try Tool.run("tail", ledger, "--after", "3", "--limit", "2").lines == Array(all[3...4]))
    #expect(try Tool.run("tail", ledger, "--after=-1", "--limit=1").lines == [all[0]])
    #expect(try Tool.run("tail", ledger, "--limit", "0").output == "")
    #expect(try Tool.run("tail", ledger, "--after", "6").output == "")
    #expect(try Tool.run("tail", ledger, "--after", "99").output == "")
  }

  @Test func statHasExactlyTheseMembers() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a"), Line.event("b", run: "other")])
    let json = try Tool.run("stat", ledger, "--json")
    let names = [
      "ledger", "epoch", "first_offset", "latest_offset", "durable_offset", "events", "runs", "segments",
      "bytes",
    ]
    let members = try #require(
      JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    #expect(members.keys.sorted() == (names + ["metrics"]).sorted())
    let metrics = try #require(members["metrics"] as? [String: Any])
    #expect(metrics["records_read"] as? Int == 0, "a sidecar had them")
    #expect((metrics["syncs"] as? [String: Any])?["count"] as? Int == 0, "a reader syncs nothing")
    #expect(
      json.output.contains(
        #""first_offset":1,"latest_offset":2,"durable_offset":2,"events":2,"runs":2,"segments":1,"#
      )
    )
    let text = try Tool.run("stat", ledger)
    #expect(text.lines.map { String($0.prefix { $0 != ":" }) } == names)
    #expect(text.lines.contains("events: 2"))
  }

  @Test func dumpShowsHeadersAndFrames() throws {
    let place = try Scratch()
    let ledger = try place.ledger(Line.events(1...2))
    let dump = try Tool.run("dump", ledger)
    #expect(dump.code == 0)
    #expect(dump.lines[0].hasPrefix(#"{"part":"segment","file":"00000001.seg","number":1,"#))
    #expect(dump.lines.count { $0.hasPrefix(#"{"part":"frame","kind":"record","#) } == 2)
    #expect(try Tool.run("dump", ledger, "--segment", "1").output == dump.output)
    #expect(try Tool.run("dump", ledger, "--segment", "2").code == 66)
  }

  @Test func helpIsEverywhereAndNamesEveryCommandAndOption() throws {
    let overview = try Tool.run("help")
    #expect(overview.code == 0)
    #expect(overview.messages == "")
    #expect(try Tool.run("--help").output == overview.output)
    for command in [
      "create", "append", "import", "export", "get", "run", "runs", "tail", "stat", "verify", "dump", "help",
    ] {
      #expect(overview.output.contains("\n  \(command) "))
      let help = try Tool.run(command, "--help")
      #expect(help.code == 0)
      #expect(help.output.hasPrefix("ledgerctl \(command): "))
      #expect(try Tool.run("help", command).output == help.output)
    }
    #expect(try Tool.run("import", "--help").output.contains("--on-conflict error|ignore"))
    #expect(!(try Tool.run("import", "--help").output.contains("--shared")))
    let version = try Tool.run("--version")
    #expect(version.output.hasPrefix("ledgerctl "))
    #expect(try Tool.run("stat", "--version").output == version.output)
  }
}
