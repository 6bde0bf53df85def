internal import LogEngine
package import RunLedger

/// The ledger itself, through its public interface, with the options it has unless told otherwise.
package final class LedgerEngine: Engine {
  private let ledger: Ledger
  private var staged: [Event] = []

  package init(creating path: String, _ durability: Durability, byteCount: Int) throws {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = durability == .unsynced ? .never : .always
    ledger = try Ledger.open(at: path, options: options)
  }

  package init(opening path: String, forWriting: Bool) throws {
    var options = LedgerOptions()
    options.access = forWriting ? .readWrite : .readOnly
    ledger = try Ledger.open(at: path, options: options)
    _ = try ledger.withEvent(at: ledger.latestOffset) { $0.payload.byteCount }
  }

  package func stage(_ events: [Event]) { staged = events }

  package func commit(batchSize: Int) throws {
    if batchSize == 1 {
      for event in staged { try ledger.append(event) }
    } else {
      for start in stride(from: 0, to: staged.count, by: batchSize) {
        try ledger.extend(staged[start..<min(start + batchSize, staged.count)])
      }
    }
  }

  package func close() throws { try ledger.close() }

  package func scan(_ body: (RawSpan, RawSpan, RawSpan) -> Void) throws {
    try ledger.forEachEvent { view throws(LedgerError) in
      body(view.id, view.runID, view.payload)
      return true
    }
  }

  package func find(id: String) throws -> Int? {
    try ledger.withEvent(id: id) { view throws(LedgerError) in view.payload.byteCount }
  }

  package func read(run: String) throws -> (events: Int, payloadBytes: Int) {
    var (events, payloadBytes) = (0, 0)
    try ledger.forEachEvent(run: run) { view throws(LedgerError) in
      events += 1
      payloadBytes += view.payload.byteCount
      return true
    }
    return (events, payloadBytes)
  }

  package var facts: [(name: String, value: Double)] {
    let (index, names) = ledger.indexSize
    return [
      ("indexBytes", Double(index)), ("nameBytes", Double(names)), ("segments", Double(ledger.size.segments)),
    ]
  }
}
