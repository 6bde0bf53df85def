import Foundation
import PlatformIO
import RunLedger
import Testing

/// Every way to fail has its own number, nothing on stdout, and one line on stderr.
@Suite struct ExitCodeTests {
  private func expect(
    _ code: Int32,
    _ message: String,
    _ arguments: [String],
    input: String = "",
    at location: SourceLocation = #_sourceLocation
  ) throws {
    let result = try Tool.run(arguments, input: Data(input.utf8))
    #expect(result.code == code, sourceLocation: location)
    #expect(result.output == "", sourceLocation: location)
    #expect(result.messages.contains(message), "\(result.messages)", sourceLocation: location)
    #expect(result.messages.hasPrefix("ledgerctl: "), sourceLocation: location)
    #expect(result.messages.split(separator: "\n").count == 1, sourceLocation: location)
  }

  @Test(arguments: [
    ([], "no command is given"),
    (["exprt", "L"], "unknown command exprt; did you mean `export`?"),
    (["subscribe", "L"], "unknown command subscribe; `ledgerctl help`"),
    (["query", "L", "--turn", "3"], "--turn 3 is no range; write it as 3..7, 3.. or ..7"),
    (["query", "L", "--turn", "7..3"], "--turn 7..3 ends before it begins"),
    (["query", "L", "--since", "noon"], "--since noon is no time"),
    (["query", "L", "--count", "--limit", "3"], "leave --limit and --reverse out"),
    (["--frob"], "unknown option --frob"),
    (["stat"], "an argument is missing; write `ledgerctl stat LEDGER`"),
    (["stat", "L", "M"], "an argument too many"),
    (["get", "L"], "write `ledgerctl get LEDGER ID…`"),
    (["stat", "L", "--jsno"], "unknown option --jsno for `stat`; did you mean --json?"),
    (["import", "L", "--on-conflit=ignore"], "did you mean --on-conflict?"),
    (["get", "L", "--b"], "goes behind `--`"),
    (["stat", "L", "--json", "--json"], "--json is given twice"),
    (["stat", "L", "--json=yes"], "--json takes no value"),
    (["export", "L", "--from"], "--from needs a value; write `--from N`"),
    (["export", "L", "--from", "1", "--from=1"], "--from is given twice"),
    (["export", "L", "--from", "one"], "--from one is not an integer"),
    (["export", "L", "--from", "99999999999999999999"], "is not an integer"),
    (["tail", "L", "--limit", "-1"], "--limit -1 is below zero"),
    (["tail", "L", "--follow"], "--follow is not supported yet"),
    (["create", "L", "--segment-size", "64kb"], "64kb is not a size; write it as 512, 64KiB or 2GiB"),
    (["create", "L", "--segment-size", "99999999999999TiB"], "is not a size"),
    (["create", "/tmp/ledgerctl-never", "--segment-size", "512"], "segment size of 512"),
    (["import", "L", "--on-conflict", "skip"], "write error or ignore"),
    (["import", "L", "--sync", "sometimes"], "write always, never or interval=100ms"),
    (["import", "L", "--sync", "interval"], "write always, never or interval=100ms"),
    (["fork", "L", "M", "--through", "-3"], "--through -3 is below zero"),
    (["append", "L", "--expect-last=-1"], "--expect-last -1 is below zero"),
    (["import", "L", "--sync", "interval=1"], "interval=1 has no time span of a millisecond or more"),
    (["import", "L", "--shared"], "--shared is not supported yet"),
    (["import", "L", "--wait", "1s"], "--wait is not supported yet"),
    (["import", "L", "-", "-"], "standard input is named twice"),
    (["append", "L", "--run", "r", "--kind", "a.b", "--actor", "x"], "--payload is missing"),
    (["dump", "L", "--segment", "0"], "the first is 1"),
    (["stat", ""], "the ledger's name is empty"),
    (["stat", ":memory:"], "a ledger in memory"),
    (["stat", "postgres://user:secret@host/db"], "unsupported scheme"),
    (["help", "frobnicate"], "unknown command frobnicate"),
  ])
  func wrongUsageIs64(arguments: [String], message: String) throws {
    try expect(64, message, arguments)
    #expect(!(try Tool.run(arguments).messages.contains("secret")))
  }

  @Test func badDataIs65() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a")])
    let fields = ["append", ledger, "--run", "r", "--actor", "x"]
    try expect(65, "no JSON value at byte 4", fields + ["--kind", "a.b", "--payload", "[1,"])
    try expect(65, "no JSON value at byte 3", fields + ["--kind", "a.b", "--payload", #"1,"turn":2"#])
    try expect(65, "no JSON value at byte 1", fields + ["--kind", "a.b", "--payload", ""])
    try expect(65, "is not dotted", fields + ["--kind", "nodot", "--payload", "1"])
    try expect(65, "the ledger takes dotted kinds", ["import", ledger, "--any-kind"])
    let database = place.file("old.db", "SQLite format 3\0 and more")
    try expect(65, "it is an SQLite database", ["stat", database])
  }

  @Test func whatIsNotThereIs66() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a")])
    for command in [["export"], ["stat"], ["verify"], ["dump"], ["runs"], ["tail"]] {
      try expect(66, place.path("none"), command + [place.path("none")])
    }
    try expect(
      66,
      "no log here",
      ["append", place.path("none"), "--run", "r", "--kind", "a.b", "--actor", "x", "--payload", "1"]
    )
    #expect(!place.exists("none"))
    try expect(66, "no event has the id 'x'", ["get", ledger, "x"])
    try expect(66, "there is no run 'x'", ["run", ledger, "x"])
    try expect(66, "no such segment", ["dump", ledger, "--segment", "7"])
    try expect(66, "missing.jsonl", ["import", place.path("new"), place.path("missing.jsonl")])
    #expect(!place.exists("new"))
    try expect(66, "not a directory", ["stat", place.file("file", "text")])
  }

  @Test func aDestinationThatCannotBeMadeIs73() throws {
    let place = try Scratch()
    let ledger = try place.ledger([])
    try expect(73, "already", ["create", ledger])
    try expect(73, "cannot create the directory", ["create", place.path("no/such/parent")])
    let file = place.file("file", "text")
    try expect(73, "not a directory", ["create", file])
    try expect(73, "not a directory", ["import", file])
  }

  #if os(Linux)
    @Test func aFullDiskIs74() throws {
      let place = try Scratch()
      let ledger = try place.ledger([Line.event("a")])
      let result = try Tool.shell(#""$ledgerctl" export "$1" >/dev/full"#, ledger)
      #expect(result.code == 74)
      #expect(result.messages.contains("the disk is full"))
    }
  #endif

  @Test func aLockedLedgerIs75ToWritersAndOpenToReaders() throws {
    let place = try Scratch()
    let writer = try Ledger.open(at: try place.ledger([Line.event("a")]))
    try expect(75, "another writer has the log open (process ", ["import", place.ledger])
    #expect(try Tool.run("export", place.ledger).lines == [Line.event("a")])
    #expect(try Tool.run("verify", place.ledger).code == 0)
    try writer.close()
    #expect(try Tool.run("import", place.ledger).code == 0)
  }

  @Test func whatIsNotAllowedIs77() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a")])
    try FileManager.default.setAttributes([.posixPermissions: 0o000], ofItemAtPath: ledger)
    defer {
      do { try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: ledger) } catch {}
    }
    // The superuser may do everything, but not write to a kernel's file system.
    if FileManager.default.isReadableFile(atPath: ledger) {
      #if os(Linux)
        try expect(77, "/sys/ledger", ["create", "/sys/ledger"])
      #endif
    } else {
      try expect(77, "permission denied", ["export", ledger])
    }
  }

  @Test func aClosedPipeEndsQuietly() throws {
    let place = try Scratch()
    let padding = String(repeating: "x", count: 10_000)
    let ledger = try place.ledger((1...100).map { Line.event("e-\($0)", payload: "\"\(padding)\"") })
    for command in ["export", "tail", "dump"] {
      let result = try Tool.shell(
        #"{ "$ledgerctl" \#(command) "$1"; echo $? >"$2"; } | head -n 1 | cut -c 1-2"#,
        ledger,
        place.path("code")
      )
      #expect(result.output == "{\"\n")
      #expect(result.messages == "")
      #expect(try String(contentsOfFile: place.path("code"), encoding: .utf8) == "0\n")
    }
  }

  @Test func controlCharactersOfNamesDoNotReachTheTerminal() throws {
    let place = try Scratch()
    let ledger = try place.ledger([Line.event("a")])
    try expect(66, #"'x\u{a}\u{1b}[2J'"#, ["get", ledger, "x\n\u{1B}[2J"])
  }
}
