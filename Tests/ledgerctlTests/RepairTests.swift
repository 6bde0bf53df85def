import Foundation
import Testing

/// Commands that bring a ledger back, or empty it.
@Suite struct RepairTests {
  private func bytes(of ledger: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: ledger) {
      files[name] = FileManager.default.contents(atPath: ledger + "/" + name)
    }
    return files
  }

  /// Five events in batches of their own, of which the third is damaged.
  private func damaged(_ place: Scratch) throws -> (lines: [String], start: Int) {
    try place.createSmall()
    let lines = Line.events(1...5)
    for line in lines { try #require(try Tool.run("import", place.ledger, input: line).code == 0) }
    let frames = try Tool.run("dump", place.ledger).lines.filter { $0.contains(#""kind":"record""#) }
    let start = try #require(
      Int(frames[2].components(separatedBy: #""position":"#)[1].prefix { $0.isNumber }))
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: place.ledger + "/00000001.seg"))
    try file.seek(toOffset: UInt64(start) + 40)
    try file.write(contentsOf: Data([0xAA, 0x55]))
    try file.close()
    return (lines, start)
  }

  @Test func salvageCopiesAllThatIsSoundAndSaysWhatIsNot() throws {
    let place = try Scratch()
    let (lines, start) = try damaged(place)
    let before = try bytes(of: place.ledger)
    let new = place.path("new")
    let result = try Tool.run("salvage", place.ledger, "--into", new, "--json")
    #expect(result.code == 65)
    #expect(
      result.output.hasPrefix(
        #"{"events":4,"repeats":0,"damage":[{"file":"00000001.seg","bytes":[\#(start),"#))
    #expect(result.output.contains(#""offsets":[3,4],"kind":"frame"}]}"#))
    #expect(try bytes(of: place.ledger) == before)
    #expect(try Tool.run("verify", new).code == 0)
    #expect(try Tool.run("export", new).lines == Array(lines[..<2] + lines[3...]))
    #expect(try Tool.run("import", new, input: lines[2]).code == 0)
    #expect(try Tool.run("stat", new).output.contains("latest_offset: 5"))
  }

  @Test func salvageOfASoundLedgerIsACopy() throws {
    let place = try Scratch()
    let lines = Line.events(1...50)
    try Tool.run("import", place.ledger, input: lines.joined(separator: "\n"))
    let result = try Tool.run("salvage", place.ledger, "--into", place.path("new"))
    #expect(result.code == 0)
    #expect(result.output.hasPrefix("50 events copied to "))
    #expect(try Tool.run("export", place.path("new")).lines == lines)
  }

  @Test func salvageLeavesWhatIsAtTheNewPathAlone() throws {
    let place = try Scratch()
    try Tool.run("import", place.ledger, input: Line.event("a"))
    for taken in [place.path("file"), place.path("file") + ".partial"] {
      try Data("mine".utf8).write(to: URL(fileURLWithPath: taken))
    }
    let result = try Tool.run("salvage", place.ledger, "--into", place.path("file"))
    #expect(result.code == 73)
    #expect(try String(contentsOfFile: place.path("file"), encoding: .utf8) == "mine")
    // What an interrupted salvage, or somebody else, left is not written over either.
    let partial = try Tool.run("salvage", place.ledger, "--into", place.path("new"))
    #expect(partial.code == 0)
    try FileManager.default.moveItem(atPath: place.path("new"), toPath: place.path("other.partial"))
    #expect(try Tool.run("salvage", place.ledger, "--into", place.path("other")).code == 73)
    #expect(try Tool.run("salvage", place.path("missing"), "--into", place.path("x")).code != 0)
    #expect(!FileManager.default.fileExists(atPath: place.path("x")))
    #expect(try Tool.run("salvage", place.ledger).code == 64)
    // What is wrong with the old ledger is not said of the new one.
    #expect(try Tool.run("salvage", place.file("text", "no ledger"), "--into", place.path("x")).code == 66)
    let database = try Tool.run(
      "salvage", place.file("old.db", "SQLite format 3\0 and more"), "--into", place.path("x"))
    #expect(database.code == 65)
    #expect(database.messages.contains("it is an SQLite database"))
    // Also if it is one file of it that is no ledger's.
    try #require(try Tool.run("snapshot", place.ledger, place.path("snapshot")).code == 0)
    let segment = place.path("snapshot/00000001.seg")
    try FileManager.default.moveItem(atPath: segment, toPath: place.path("moved"))
    try FileManager.default.createSymbolicLink(atPath: segment, withDestinationPath: place.path("moved"))
    for command in [
      ["verify", place.path("snapshot")], ["salvage", place.path("snapshot"), "--into", place.path("x")],
      ["restore", place.path("snapshot"), place.path("x")],
    ] {
      let result = try Tool.run(command)
      #expect(result.code == 66, "\(command)")
      #expect(result.messages.contains("it is not a regular file"))
    }
    // Nothing in the old ledger's directory changes, so the new one cannot be there.
    for into in [place.ledger + "/new", place.ledger + "/../ledger/new/"] {
      let within = try Tool.run("salvage", place.ledger, "--into", into)
      #expect(within.code == 73)
      #expect(within.messages.contains("it lies in the log's own directory; choose another path"))
    }
    #expect(!FileManager.default.fileExists(atPath: place.ledger + "/new"))
    #expect(!FileManager.default.fileExists(atPath: place.ledger + "/new.partial"))
  }

  @Test func salvageReadsALedgerThatCannotBeOpened() throws {
    let place = try Scratch()
    try Tool.run("create", place.ledger, "--segment-size", "16KiB")
    let text = String(repeating: "x", count: 3000)
    let lines = (1...20).map { Line.event("e-\($0)", payload: "\"\(text)\"") }
    for line in lines { try Tool.run("import", place.ledger, input: line) }
    // A segment in the middle is gone.
    try FileManager.default.removeItem(atPath: place.ledger + "/00000002.seg")
    #expect(try Tool.run("export", place.ledger).code == 65)
    let result = try Tool.run("salvage", place.ledger, "--into", place.path("new"), "--json")
    #expect(result.code == 65)
    #expect(result.output.contains(#""kind":"missing""#))
    let saved = try Tool.run("export", place.path("new")).lines
    #expect(saved.count > 5 && saved.count < 20)
    #expect(saved.allSatisfy(lines.contains))
    #expect(saved == lines.filter(saved.contains))
  }

  @Test func resetEmptiesALedgerOnlyWhenItIsMeant() throws {
    let place = try Scratch()
    try Tool.run("import", place.ledger, input: Line.events(1...3).joined(separator: "\n"))
    #expect(try Tool.run("reset", place.ledger).code == 64)
    #expect(try Tool.run("export", place.ledger).lines.count == 3)
    let result = try Tool.run("reset", place.ledger, "--yes")
    #expect(result.code == 0)
    #expect(result.output == "")
    #expect(result.messages.contains("3 events removed; the next offset is 4"))
    #expect(try Tool.run("export", place.ledger).output == "")
    #expect(try Tool.run("import", place.ledger, input: Line.event("e-1")).code == 0)
    #expect(try Tool.run("tail", place.ledger).lines == [Line.at(4, Line.event("e-1"))])
    #expect(try Tool.run("verify", place.ledger).code == 0)
    #expect(try Tool.run("reset", place.path("missing"), "--yes").code == 66)
  }

  @Test func importUnderAnIntervalAcknowledgesNothingThatIsNotDurableAndAllAtTheEnd() throws {
    let place = try Scratch()
    let lines = (1...5000).map { Line.event("e-\($0)") }
    let result = try Tool.run(
      "import", place.ledger, "--acks", "--sync", "interval=20ms", input: lines.joined(separator: "\n"))
    #expect(result.code == 0)
    let acks = result.lines.compactMap { Int($0.dropFirst(#"{"acked":"#.count).dropLast()) }
    #expect(acks.last == 5000)
    #expect(acks == acks.sorted())
    #expect(try Tool.run("stat", place.ledger).output.contains("durable_offset: 5000"))
  }
}
