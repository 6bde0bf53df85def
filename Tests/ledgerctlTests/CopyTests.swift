import Foundation
import Testing

/// Commands that copy a ledger or make it smaller, through the built program.
@Suite struct CopyTests {
  /// Thirty events over several segments, in batches of one.
  private func filled(_ place: Scratch, _ count: Int = 30) throws -> [String] {
    try #require(try Tool.run("create", place.ledger, "--segment-size", "16KiB").code == 0)
    let text = String(repeating: "x", count: 1000)
    let lines = (1...count).map { Line.event("e-\($0)", payload: "\"\(text)\"", at: Self.time($0)) }
    // All but the last five are a batch of an import each.
    for line in lines { try #require(try Tool.run("import", place.ledger, input: line).code == 0) }
    return lines
  }

  /// Of the n-th event: long ago but for the last ten.
  private static func time(_ number: Int) -> String {
    number <= 20 ? "2025-03-04T09:00:00Z" : "2999-03-04T09:00:00Z"
  }

  private func members(_ result: Tool.Result) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  private func linkCount(_ path: String) throws -> Int {
    try #require(try FileManager.default.attributesOfItem(atPath: path)[.referenceCount] as? Int)
  }

  @Test func aSnapshotHoldsTheSameEventsAtTheSameOffsets() throws {
    let place = try Scratch()
    let lines = try filled(place)
    let result = try Tool.run("snapshot", place.ledger, place.path("copy"), "--json")
    #expect(result.code == 0, "\(result.messages)")
    let report = try members(result)
    #expect(report["latest_offset"] as? Int == 30)
    #expect(report["first_offset"] as? Int == 1)
    #expect(report["copied_bytes"] as? Int == 0)
    #expect(Set(report.keys).isSuperset(of: ["ledger", "epoch", "segments", "bytes"]))
    #expect(try linkCount(place.ledger + "/00000001.seg") == 2)
    #expect(try Tool.run("export", place.path("copy")).lines == lines)
    #expect(try Tool.run("verify", place.path("copy")).code == 0)
    #expect(try Tool.run("tail", place.path("copy"), "--after", "29").lines == [Line.at(30, lines[29])])
    #expect(place.exists("copy/SNAPSHOT"))
    // Both go on by themselves.
    try #require(try Tool.run("import", place.path("copy"), input: Line.event("there")).code == 0)
    try #require(try Tool.run("import", place.ledger, input: Line.event("here")).code == 0)
    #expect(!place.exists("copy/SNAPSHOT"))
    #expect(try Tool.run("export", place.path("copy")).lines == lines + [Line.event("there")])
    #expect(try Tool.run("export", place.ledger).lines == lines + [Line.event("here")])
  }

  @Test func destinationsThatCannotBeUsedExitWith73() throws {
    let place = try Scratch()
    _ = try filled(place, 2)
    let copy = place.path("copy")
    #expect(try Tool.run("snapshot", place.ledger, copy).output.contains("2 events in 2 segments at \(copy)"))
    for arguments in [
      ["snapshot", place.ledger, copy], ["fork", place.ledger, copy], ["restore", copy, place.ledger],
      ["snapshot", place.ledger, place.ledger], ["snapshot", place.ledger, place.ledger, "--replace"],
      ["snapshot", place.ledger, place.ledger + "/within"], ["restore", copy, copy, "--replace"],
      ["snapshot", place.ledger, place.path("no/such/parent")],
      ["fork", place.ledger, place.file("notes", "mine"), "--replace"],
    ] {
      let result = try Tool.run(arguments)
      #expect(result.code == 73, "\(arguments): \(result.messages)")
      #expect(result.output == "")
    }
    #expect(try Tool.run("export", place.ledger).lines.count == 2)
    #expect(try String(contentsOfFile: place.path("notes"), encoding: .utf8) == "mine")
    #expect(try Tool.run("snapshot", place.ledger, copy, "--replace").code == 0)
    #expect(try Tool.run("snapshot", place.path("missing"), place.path("x")).code == 66)
    #expect(try Tool.run("restore", place.ledger, place.path("x")).code == 66)
    #expect(try Tool.run("restore", place.path("missing"), place.path("x")).code == 66)
    #expect(try Tool.run("snapshot", place.ledger).code == 64)
    #expect(try Tool.run("snapshot", place.ledger, "").code == 64)
    #expect(!place.exists("x"))
  }

  @Test func aLedgerThatIsRestoredInPlaceIsTheSnapshotAgain() throws {
    let place = try Scratch()
    let lines = try filled(place, 12)
    try #require(try Tool.run("snapshot", place.ledger, place.path("copy")).code == 0)
    try #require(try Tool.run("import", place.ledger, input: Line.event("mistake")).code == 0)
    let result = try Tool.run("restore", place.path("copy"), place.ledger, "--replace", "--json")
    #expect(result.code == 0, "\(result.messages)")
    #expect(try members(result)["latest_offset"] as? Int == 12)
    #expect(try Tool.run("export", place.ledger).lines == lines)
    #expect(place.exists("copy/SNAPSHOT"))
    let epochs = try [place.ledger, place.path("copy")].map {
      try members(try Tool.run("stat", $0, "--json"))["epoch"] as? String
    }
    #expect(epochs[0] != epochs[1])
    // And beside it.
    #expect(try Tool.run("restore", place.path("copy"), place.path("new")).code == 0)
    #expect(try Tool.run("export", place.path("new")).lines == lines)
  }

  @Test func aForkEndsWhereItIsToldToIfThatEndsABatch() throws {
    let place = try Scratch()
    var lines = try filled(place)
    let batch = (1...4).map { Line.event("b-\($0)") }
    try #require(try Tool.run("import", place.ledger, input: batch.joined(separator: "\n")).code == 0)
    let within = try Tool.run("fork", place.ledger, place.path("fork"), "--through", "32")
    #expect(within.code == 65)
    #expect(within.messages.contains("30 and 34"))
    #expect(try Tool.run("fork", place.ledger, place.path("fork"), "--through", "35").code == 66)
    #expect(!place.exists("fork") && !place.exists("fork.tmp"))
    let result = try Tool.run("fork", place.ledger, place.path("fork"), "--through", "20", "--json")
    #expect(result.code == 0, "\(result.messages)")
    #expect(try members(result)["latest_offset"] as? Int == 20)
    #expect(try Tool.run("export", place.path("fork")).lines == Array(lines[..<20]))
    #expect(try Tool.run("fork", place.ledger, place.path("whole")).code == 0)
    lines += batch
    #expect(try Tool.run("export", place.path("whole")).lines == lines)
    #expect(try Tool.run("import", place.path("fork"), input: lines[20]).code == 0)
    #expect(try Tool.run("verify", place.path("fork")).code == 0)
  }

  @Test func trimDropsWholeSegmentsByOffsetAgeOrSize() throws {
    for option in [["--before", "21"], ["--older-than", "1d"], ["--keep-bytes", "80KiB"]] {
      let place = try Scratch()
      let lines = try filled(place)
      let result = try Tool.run(["trim", place.ledger, "--json"] + option)
      #expect(result.code == 0, "\(result.messages)")
      let report = try members(result)
      let first = try #require(report["first_offset"] as? Int)
      #expect(first > 10 && first <= 25, "\(option)")
      #expect(report["events"] as? Int == first - 1)
      #expect(try #require(report["segments"] as? Int) >= 2)
      #expect(report["latest_offset"] as? Int == 30)
      #expect(try Tool.run("export", place.ledger).lines == Array(lines[(first - 1)...]))
      #expect(!place.exists("ledger/00000001.seg"))
      #expect(try Tool.run("verify", place.ledger).code == 0)
      #expect(try Tool.run("get", place.ledger, "e-1").code == 66)
      // Nothing more to drop, and nothing is said to be.
      let again = try Tool.run(["trim", place.ledger] + option)
      #expect(again.output == "0 events in 0 segments dropped; the ledger starts at offset \(first)\n")
      // The id is free again.
      try #require(try Tool.run("import", place.ledger, input: Line.event("e-1")).code == 0)
      #expect(try Tool.run("get", place.ledger, "e-1").lines == [Line.at(31, Line.event("e-1"))])
    }
  }

  @Test func trimWantsToBeToldWhatMayGo() throws {
    let place = try Scratch()
    _ = try filled(place, 2)
    #expect(try Tool.run("trim", place.ledger).code == 64)
    #expect(try Tool.run("trim", place.ledger, "--older-than", "soon").code == 64)
    #expect(try Tool.run("trim", place.ledger, "--keep-bytes", "many").code == 64)
    #expect(try Tool.run("trim", place.path("missing"), "--before", "2").code == 66)
    #expect(try Tool.run("export", place.ledger).lines.count == 2)
  }

  @Test func aWriterElsewhereIsNamed() throws {
    let place = try Scratch()
    let lines = try filled(place, 2)
    let fifo = place.path("fifo")
    // An import that waits for its input holds the ledger.
    let result = try Tool.shell(
      "mkfifo \"$2\"; \"$ledgerctl\" import \"$1\" --acks < \"$2\" & exec 3> \"$2\"; sleep 1;"
        + " \"$ledgerctl\" snapshot \"$1\" \"$1.copy\"; code=$?; \"$ledgerctl\" trim \"$1\" --before 2; echo $code $?;"
        + " exec 3>&-; wait", place.ledger, fifo)
    #expect(result.output.contains("75 75"))
    #expect(result.messages.contains("process "))
    #expect(!place.exists("ledger.copy"))
    #expect(try Tool.run("export", place.ledger).lines == lines)
  }
}
