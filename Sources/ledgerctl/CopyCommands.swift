internal import LogEngine
internal import RunLedger

extension Command {
  static let snapshot = Command(
    name: "snapshot",
    operands: "LEDGER DEST",
    operandCount: 2...2,
    summary: "makes a copy of a ledger, by links where it can",
    options: [.replace, .json],
    notes: """
      DEST appears when it is complete and on the disk. It can be read like a ledger, restored, and written to: then it
      becomes a ledger of its own. LEDGER must not be open for writing elsewhere; a program that has it open takes
      snapshots itself. If LEDGER is a snapshot itself, this is writing to it; to leave it one, restore it instead.
      """
  ) { (invocation, console) throws(Failure) in
    let destination = try invocation.destinationPath()
    let replacing = invocation.has("--replace")
    return try invocation.withWriter(LedgerOptions()) { (ledger) throws(Failure) in
      let copy = try onLedger(.creating) { () throws(LedgerError) in
        try ledger.snapshot(to: destination, replacing: replacing)
      }
      return invocation.report(copy, "snapshot", destination, console)
    }
  }

  static let restore = Command(
    name: "restore",
    operands: "SNAPSHOT DEST",
    operandCount: 2...2,
    summary: "makes a ledger out of a snapshot",
    options: [.replace, .json],
    notes: """
      The snapshot stays as it is. DEST appears when it is complete and on the disk, with the same identity and a new
      epoch; cursors made before are refused. To restore a ledger in its place, name it as DEST and say --replace.
      """
  ) { (invocation, console) throws(Failure) in
    let destination = try invocation.destinationPath()
    let source = try invocation.ledgerPath()
    let replacing = invocation.has("--replace")
    let copy: LogCopy
    do throws(LedgerError) {
      copy = try Ledger.restore(from: source, to: destination, replacing: replacing)
    } catch {
      throw Failure(error, reading: source)
    }
    return invocation.report(copy, "ledger", destination, console)
  }

  static let fork = Command(
    name: "fork",
    operands: "LEDGER DEST",
    operandCount: 2...2,
    summary: "makes a ledger that shares another's events up to an offset and goes on by itself",
    options: [
      .value(
        "--through", "N",
        "the last event to share, which must be the last of its batch; the last one unless given"),
      .replace, .json,
    ],
    notes: """
      DEST appears when it is complete and on the disk, with the same identity and a new epoch. At most one segment is
      copied, the rest is linked. If LEDGER is a snapshot, this is writing to it; to leave it one, restore it instead.
      """
  ) { (invocation, console) throws(Failure) in
    let destination = try invocation.destinationPath()
    let replacing = invocation.has("--replace")
    let last = try invocation.exactOffset("--through")
    return try invocation.withWriter(LedgerOptions()) { (ledger) throws(Failure) in
      let copy = try onLedger(.creating) { () throws(LedgerError) in
        try ledger.fork(to: destination, through: last, replacing: replacing)
      }
      return invocation.report(copy, "fork", destination, console)
    }
  }

  static let trim = Command(
    name: "trim",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "drops old events",
    options: [
      .value("--before", "N", "drop events before offset N"),
      .value("--older-than", "D", "drop segments whose newest event is older than 10ms, 5s, 2h, 14d …"),
      .value(
        "--keep-bytes", "SIZE", "keep the newest segments that use at most so much, and always the last"),
      .json,
    ],
    notes: """
      Only whole segments go, so more may stay than was asked for. Of several options each may drop something. One atomic
      step: after a crash the ledger is as it was or trimmed. Offsets and cursors go on; ids of dropped events may be used
      again.
      """
  ) { (invocation, console) throws(Failure) in
    let offset = try invocation.offset("--before")
    let age = try invocation.duration("--older-than")
    let byteCount = try invocation.size("--keep-bytes")
    guard offset != nil || age != nil || byteCount != nil else {
      throw .usage("nothing says what may go; give --before, --older-than or --keep-bytes")
    }
    return try invocation.withWriter(LedgerOptions()) { (ledger) throws(Failure) in
      let trimmed = try onLedger { () throws(LedgerError) in
        try ledger.trim(
          before: offset, olderThan: age.map { ledger.now().earlier(by: $0) }, keepingBytes: byteCount)
      }
      if invocation.has("--json") {
        console.output.add(
          JSONLine { line in
            line.member("events", trimmed.records)
            line.member("segments", trimmed.segments)
            line.member("bytes", trimmed.bytes)
            line.member("first_offset", ledger.firstOffset)
            line.member("latest_offset", ledger.latestOffset)
          })
      } else {
        console.output.add(
          "\(counted(trimmed.records, "event")) in \(counted(UInt64(trimmed.segments), "segment")) dropped; the ledger starts at offset \(ledger.firstOffset)\n"
        )
      }
      return .done
    }
  }
}

func counted(_ count: UInt64, _ what: String) -> String {
  "\(count) \(what)\(count == 1 ? "" : "s")"
}

extension Option {
  fileprivate static let replace = flag(
    "--replace", "let the copy take the place of a ledger or snapshot that is at DEST")
}

extension Invocation {
  /// The directory that the second operand names.
  fileprivate func destinationPath() throws(Failure) -> String {
    try path(operands[1], of: "the destination")
  }

  fileprivate func report(
    _ copy: LogCopy, _ what: String, _ path: String, _ console: Console
  ) -> ExitCode {
    if has("--json") {
      console.output.add(
        JSONLine { line in
          line.member("ledger", "\(copy.log)")
          line.member("epoch", "\(copy.epoch)")
          line.member("first_offset", copy.firstOffset)
          line.member("latest_offset", copy.latestOffset)
          line.member("segments", copy.segments)
          line.member("bytes", copy.bytes)
          line.member("copied_bytes", copy.copiedBytes)
        })
    } else {
      let events = copy.latestOffset.rawValue + 1 - copy.firstOffset.rawValue
      let manner = copy.copiedBytes == 0 ? "linked" : "\(copy.copiedBytes) bytes copied"
      console.output.add(
        "\(what) of \(counted(events, "event")) in \(counted(UInt64(copy.segments), "segment")) at \(path) (\(manner))\n"
      )
    }
    return .done
  }
}

extension Timestamp {
  /// The instant so much before; the first one there is for a span that reaches beyond it.
  fileprivate func earlier(by span: Duration) -> Timestamp {
    let (seconds, attoseconds) = span.components
    var whole = self.seconds - seconds
    var rest = Int64(nanoseconds) - attoseconds / 1_000_000_000
    if rest < 0 { (whole, rest) = (whole - 1, rest + 1_000_000_000) }
    return Timestamp(seconds: whole, nanoseconds: UInt32(rest)) ?? .minimum
  }
}
