import Foundation
import Testing

/// How a ledger that is not as it was written is told.
@Suite struct DamageTests {
  private func spoil(_ ledger: String, at position: UInt64, with bytes: [UInt8]) throws {
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: ledger + "/00000001.seg"))
    try file.seek(toOffset: position)
    try file.write(contentsOf: Data(bytes))
    try file.close()
  }

  /// Each event in a batch of its own.
  private func ledger(_ lines: [String], _ place: Scratch) throws -> String {
    try place.createSmall()
    for line in lines { try #require(try Tool.run("import", place.ledger, input: line).code == 0) }
    return place.ledger
  }

  private func position(ofRecord index: Int, _ ledger: String) throws -> UInt64 {
    let frames = try Tool.run("dump", ledger).lines.filter { $0.contains(#""kind":"record""#) }
    let digits = frames[index].components(separatedBy: #""position":"#)[1].prefix { $0.isNumber }
    return try #require(UInt64(digits))
  }

  @Test func verifyNamesFileBytesAndOffsetsAndExitsWith65() throws {
    let place = try Scratch()
    let ledger = try ledger(Line.events(1...5), place)
    let start = try position(ofRecord: 2, ledger)
    let next = try position(ofRecord: 3, ledger)
    try spoil(ledger, at: start + 40, with: [0xAA, 0x55])
    let json = try Tool.run("verify", ledger, "--json")
    #expect(json.code == 65)
    // The zeros between a record and the sync frame behind it go with what stands before them.
    let end = next - 32
    let damage = #"{"file":"00000001.seg","bytes":[\#(start),\#(end)],"offsets":[3,4],"kind":"frame"}"#
    #expect(json.output == #"{"ok":false,"events":4,"damage":[\#(damage)]}"# + "\n")
    #expect(json.messages == "")
    let text = try Tool.run("verify", ledger)
    #expect(text.code == 65)
    #expect(
      text.lines == [
        "00000001.seg, bytes \(start)–\(end), offsets 3–3: these bytes are not what was written (frame)",
        "damaged: 4 events can be read",
      ])
  }

  @Test func readersGiveWhatCanBeReadAndWritersRefuse() throws {
    let place = try Scratch()
    let lines = Line.events(1...5)
    let ledger = try ledger(lines, place)
    try spoil(ledger, at: try position(ofRecord: 2, ledger) + 40, with: [0xAA, 0x55])
    for command in ["export", "tail", "runs", "stat"] {
      let result = try Tool.run(command, ledger)
      #expect(result.code == 65)
      #expect(result.messages.contains("run `ledgerctl verify`"))
    }
    #expect(try Tool.run("export", ledger).lines.starts(with: lines[..<2]))
    #expect(try Tool.run("get", ledger, "e-2").lines == [Line.at(2, lines[1])])
    #expect(
      try Tool.run("tail", ledger, "--after", "3").lines == [Line.at(4, lines[3]), Line.at(5, lines[4])])
    #expect(try Tool.run("get", ledger, "e-3").code == 65)
    #expect(try Tool.run("import", ledger, input: Line.event("new")).code == 65)
    #expect(try Tool.run("dump", ledger).output.contains(#"{"part":"unsound","#))
  }

  @Test func aTornTailIsToldAndIsNoDamage() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a")])
    let last = try #require(try Tool.run("dump", ledger).lines.last)
    let digits = last.components(separatedBy: #""position":"#)[1].prefix { $0.isNumber }
    // Where the next frame would go: the beginning of one that never got its rest.
    let end = try #require(UInt64(digits)) + 32
    try spoil(ledger, at: end, with: [1, 2, 3, 4])
    let result = try Tool.run("verify", ledger, "--json")
    #expect(result.code == 0)
    #expect(result.output == #"{"ok":true,"events":1,"damage":[]}"# + "\n")
    #expect(result.messages.contains("00000001.seg: bytes \(end)–"), "\(result.messages)")
    #expect(try Tool.run("import", ledger, input: Line.event("b")).code == 0)
    #expect(try Tool.run("export", ledger).lines == [Line.event("a"), Line.event("b")])
    #expect(try Tool.run("verify", ledger).messages == "")
  }

  @Test func aLedgerWithoutAReadableHeaderIsDamagedNotMissing() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a")])
    try spoil(ledger, at: 0, with: [UInt8](repeating: 7, count: 8192))
    #expect(try Tool.run("verify", ledger).code == 65)
    #expect(try Tool.run("import", ledger).code == 65)
  }
}
