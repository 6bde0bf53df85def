internal import LogEngine
internal import RunLedger

extension Command {
  static let create = Command(
    name: "create",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "makes an empty ledger",
    options: [
      .value("--segment-size", "SIZE", "the size at which another segment starts; 64MiB unless given"),
      .flag("--any-kind", "accept any text as an event's kind, not only dotted ones such as clue.found"),
    ],
    notes: "Both are fixed for the ledger's life."
  ) { (invocation, console) throws(Failure) in
    var options = LedgerOptions()
    options.creation = .mustNotExist
    if let size = try invocation.size("--segment-size") { options.segmentSize = size }
    options.kindRule = invocation.has("--any-kind") ? .anyText : .dotted
    let id = try invocation.withWriter(options) { (ledger) throws(Failure) in ledger.id }
    console.messages.say("created ledger \(id)")
    return .done
  }
}
