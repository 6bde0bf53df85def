internal import LogEngine
internal import RunLedger

extension Command {
  static let reset = Command(
    name: "reset",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "empties a ledger",
    options: [.flag("--yes", "do it; without this nothing happens (required)")],
    notes: """
      One atomic step: after a crash the ledger is as it was or empty. Offsets go on, ids may be used again, and cursors
      made before are refused.
      """
  ) { (invocation, console) throws(Failure) in
    guard invocation.has("--yes") else {
      throw .usage("reset removes every event for good; say --yes if that is what you want")
    }
    return try invocation.withWriter(LedgerOptions()) { (ledger) throws(Failure) in
      let count = ledger.eventCount
      try onLedger { () throws(LedgerError) in try ledger.reset() }
      console.messages.say(
        "\(counted(UInt64(count), "event")) removed; the next offset is \(ledger.firstOffset)")
      return .done
    }
  }

  static let salvage = Command(
    name: "salvage",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "copies what can be read of a damaged ledger into a new one",
    options: [.value("--into", "NEW", "the new ledger's directory, which must not exist (required)"), .json],
    notes: """
      Changes nothing in the old ledger. The new one numbers its events anew, and appears under its name when it is complete.
      Prints what could not be copied, by file, bytes and offsets, and exits with 65 if there is any. What the disk
      does not give counts as damage too.
      """
  ) { (invocation, console) throws(Failure) in
    let path = try invocation.ledgerPath()
    let newPath = try invocation.requiredText("--into")
    let found: Ledger.Salvage
    do throws(LedgerError) {
      found = try Ledger.salvage(from: path, into: newPath)
    } catch {
      throw Failure(error, reading: path)
    }
    if invocation.has("--json") {
      console.output.add(
        JSONLine { line in
          line.member("events", found.events)
          line.member("repeats", found.repeats)
          line.member("damage", found.damage.map(object))
        }
      )
    } else {
      for damage in found.damage { console.output.add(sentence(damage) + "\n") }
      console.output.add("\(counted(found.events, "event")) copied to \(newPath)\n")
    }
    if let torn = found.torn { console.messages.say(sentence(torn, of: path)) }
    return found.damage.isEmpty ? .done : .badData
  }
}
