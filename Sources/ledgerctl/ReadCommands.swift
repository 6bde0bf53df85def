internal import LogEngine
internal import RunLedger

extension Command {
  static let export = Command(
    name: "export",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "writes every event, in order",
    options: [
      .value("--from", "N", "the first offset to write"),
      .value("--to", "N", "the last offset to write"),
    ],
    notes: "The lines are what `import` reads; a payload's text is exactly what was stored."
  ) { (invocation, console) throws(Failure) in
    let first = try invocation.offset("--from") ?? .zero
    let last = try invocation.offset("--to") ?? .max
    let ledger = try invocation.openForReading(console)
    let after = first > .zero ? Offset(first.rawValue - 1) : .zero
    try onLedger { () throws(LedgerError) in
      try ledger.forEachEvent(after: after, through: last) { (view) throws(LedgerError) in
        try console.output.add { (line) throws(LedgerError) in
          try view.appendJSONLine(to: &line, withOffset: false)
        }
      }
    }
    return invocation.outcome(ledger)
  }

  static let get = Command(
    name: "get",
    operands: "LEDGER ID…",
    operandCount: 2...Int.max,
    summary: "writes the events of these ids, with their offsets"
  ) { (invocation, console) throws(Failure) in
    let ledger = try invocation.openForReading(console)
    var missing: [String] = []
    for id in invocation.operands.dropFirst() {
      let isFound = try onLedger { () throws(LedgerError) in
        try ledger.withEvent(id: id) { (view) throws(LedgerError) in try write(view, console) }
      }
      if isFound == nil { missing.append(id) }
    }
    guard missing.isEmpty else {
      // What damage hides cannot be said to be missing.
      guard invocation.outcome(ledger) == .done else { return .badData }
      let names = missing.map { "'\($0)'" }.joined(separator: ", ")
      throw Failure(
        .notFound,
        "\(try invocation.ledgerPath()): no event has the id \(names); check the spelling"
      )
    }
    return .done
  }

  static let run = Command(
    name: "run",
    operands: "LEDGER RUN",
    operandCount: 2...2,
    summary: "writes a run's events, in order, with their offsets"
  ) { (invocation, console) throws(Failure) in
    let ledger = try invocation.openForReading(console)
    let run = invocation.operands[1]
    var isFound = false
    try onLedger { () throws(LedgerError) in
      try ledger.forEachEvent(run: run) { (view) throws(LedgerError) in
        isFound = true
        return try write(view, console)
      }
    }
    guard isFound || invocation.outcome(ledger) != .done else {
      throw Failure(
        .notFound,
        "\(try invocation.ledgerPath()): there is no run '\(run)'; `ledgerctl runs` lists them"
      )
    }
    return invocation.outcome(ledger)
  }

  static let runs = Command(
    name: "runs",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "lists the runs by first appearance",
    options: [.later("--summary")]
  ) { (invocation, console) throws(Failure) in
    let ledger = try invocation.openForReading(console)
    let runs = try onLedger { () throws(LedgerError) in try ledger.runs() }
    for run in runs {
      console.output.add(JSONLine { $0.member("run_id", run) })
    }
    return invocation.outcome(ledger)
  }

  static let tail = Command(
    name: "tail",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "writes the events after an offset, with their offsets",
    options: [
      .value("--after", "N", "the last offset that is not wanted; 0, for all, unless given"),
      .value("--limit", "N", "how many events at most"),
      .later("--follow"), .later("--durable"), .later("--cursor", "NAME"),
    ]
  ) { (invocation, console) throws(Failure) in
    let after = try invocation.offset("--after") ?? .zero
    let limit = try invocation.integer("--limit") ?? .max
    guard limit >= 0 else { throw .usage("--limit \(limit) is below zero; leave it out for all events") }
    let ledger = try invocation.openForReading(console)
    guard limit > 0 else { return .done }
    var count: Int64 = 0
    try onLedger { () throws(LedgerError) in
      try ledger.forEachEvent(after: after) { (view) throws(LedgerError) in
        count += 1
        return try write(view, console) && count < limit
      }
    }
    return invocation.outcome(ledger)
  }

  /// Writes an event with its offset; false once nobody reads on.
  static func write(_ view: borrowing EventView, _ console: Console) throws(LedgerError) -> Bool {
    try console.output.add { (line) throws(LedgerError) in
      try view.appendJSONLine(to: &line, withOffset: true)
    }
  }
}
