internal import LogEngine
internal import RunLedger

extension Command {
  static let query = Command(
    name: "query",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "writes the events that meet all conditions, with their offsets, found by the indexes",
    options: [
      .value("--run", "ID", "of this run"),
      .value("--kind", "KIND", "of this kind, or of all below a name: 'tool.*'"),
      .value("--actor", "NAME", "emitted by this actor"),
      .value("--session", "ID", "of this session"),
      .value("--model", "ID", "of this model"),
      .value("--since", "TIME", "made at this time or later, such as 2024-06-01T09:30:00Z"),
      .value("--until", "TIME", "made before this time"),
      .value("--turn", "A..B", "with a turn from A to B; one of them may be left out"),
      .value("--offset", "A..B", "at an offset from A to B; one of them may be left out"),
      .flag("--reverse", "the newest first"),
      .value("--limit", "N", "how many events at most"),
      .flag("--count", "how many there are, in place of the events"),
      .flag("--explain", "what answering takes, in place of the events"),
    ],
    notes:
      "--count writes {\"count\"}, and --explain {\"matches\",\"segments\",\"postings\",\"records\"}: segments with all values, entries of the index that were looked at, and records that were read."
  ) { (invocation, console) throws(Failure) in
    let filter = try invocation.filter()
    let limit = try invocation.integer("--limit") ?? .max
    guard limit >= 0 else { throw .usage("--limit \(limit) is below zero; leave it out for all events") }
    let order: EventOrder = invocation.has("--reverse") ? .backward : .forward
    let (counts, explains) = (invocation.has("--count"), invocation.has("--explain"))
    if counts, invocation.has("--limit") || invocation.has("--reverse") {
      throw .usage("--count counts all events, whatever their order; leave --limit and --reverse out")
    }
    let ledger = try invocation.openForReading(console)
    let report = try onLedger { () throws(LedgerError) in
      if counts { return try ledger.countEvents(where: filter) }
      var left = limit
      guard left > 0 else { return QueryReport() }
      return try ledger.forEachEvent(where: filter, order: order) { (view) throws(LedgerError) in
        left -= 1
        if !explains, try !Command.write(view, console) { return false }
        return left > 0
      }
    }
    if explains {
      console.output.add(
        JSONLine { line in
          line.member("matches", report.matches)
          line.member("segments", report.segments)
          line.member("postings", report.postings)
          line.member("records", report.records)
        })
    } else if counts {
      console.output.add(JSONLine { $0.member("count", report.matches) })
    }
    return invocation.outcome(ledger)
  }
}

extension Invocation {
  fileprivate func filter() throws(Failure) -> EventFilter {
    let turns = try range("--turn", .min, .max)
    // Whatever lies before the first offset is 0.
    let offsets = try range("--offset", 0, .max)
    return EventFilter(
      run: text("--run"), kind: text("--kind").map { KindFilter($0) }, actor: text("--actor"),
      session: text("--session"), model: text("--model"), turns: turns, since: try time("--since"),
      until: try time("--until"),
      offsets: offsets.map {
        Offset(UInt64(max($0.lowerBound, 0)))...Offset(UInt64(max($0.upperBound, 0)))
      })
  }

  /// `A..B`, where either may be missing.
  private func range(_ name: String, _ least: Int64, _ most: Int64) throws(Failure) -> ClosedRange<Int64>? {
    guard let text = text(name) else { return nil }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[1].isEmpty, let first = parts[0].isEmpty ? least : Int64(parts[0]),
      let last = parts[2].isEmpty ? most : Int64(parts[2])
    else { throw .usage("\(name) \(text) is no range; write it as 3..7, 3.. or ..7") }
    guard first <= last else {
      throw .usage("\(name) \(text) ends before it begins; write the smaller number first")
    }
    return first...last
  }

  private func time(_ name: String) throws(Failure) -> Timestamp? {
    guard let text = text(name) else { return nil }
    do throws(EventError) {
      return try Timestamp(rfc3339: text)
    } catch {
      throw .usage("\(name) \(text) is no time; write it as 2024-06-01T09:30:00Z")
    }
  }
}
