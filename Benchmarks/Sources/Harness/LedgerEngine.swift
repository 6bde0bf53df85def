internal import LogEngine
package import RunLedger

/// The ledger itself, through its public interface, with the options it has unless told otherwise.
package final class LedgerEngine: Engine {
  package let ledger: Ledger

  package init(creating path: String, _ policy: Policy, byteCount: Int) throws {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = Self.syncPolicy(policy)
    ledger = try Ledger.open(at: path, options: options)
  }

  package init(opening path: String, _ access: Access) throws {
    var options = LedgerOptions()
    switch access {
    case .reading: options.access = .readOnly
    case .writing(let policy): options.syncPolicy = Self.syncPolicy(policy)
    }
    ledger = try Ledger.open(at: path, options: options)
  }

  private static func syncPolicy(_ policy: Policy) -> SyncPolicy {
    switch policy {
    case .never: .never
    case .interval: .interval(.milliseconds(100))
    case .always: .always
    }
  }

  package func appender() -> any Appender { LedgerAppender(ledger) }

  package func close() throws { try ledger.close() }

  package func scan(after offset: UInt64, limit: Int, _ body: RowBody) throws {
    var rest = limit
    guard rest > 0 else { return }
    try ledger.forEachEvent(after: Offset(offset)) { view throws(LedgerError) in
      body(view.id, view.runID, view.payload)
      rest -= 1
      return rest > 0
    }
  }

  package func find(id: String, _ body: RowBody) throws -> Bool {
    try ledger.withEvent(id: id) { view throws(LedgerError) in body(view.id, view.runID, view.payload) }
      != nil
  }

  package func read(run: String, _ body: RowBody) throws {
    try ledger.forEachEvent(run: run) { view throws(LedgerError) in
      body(view.id, view.runID, view.payload)
      return true
    }
  }

  package func filter(_ field: Field, _ value: String, _ body: RowBody) throws {
    let filter = field == .kind ? EventFilter(kind: .exactly(value)) : EventFilter(actor: value)
    try ledger.forEachEvent(where: filter) { view throws(LedgerError) in
      body(view.id, view.runID, view.payload)
      return true
    }
  }

  package func snapshot(to path: String) throws { try ledger.snapshot(to: path) }

  package func drop(through offset: UInt64) throws -> Int {
    Int(try ledger.trim(before: Offset(offset + 1)).records)
  }

  /// Segments as far as they are used, without reserved space, and all that is beside them.
  package static func usedBytes(_ path: String) throws -> Int {
    let store = try LedgerEngine(opening: path, .reading)
    let segments = Int(store.ledger.size.bytes)
    try store.close()
    let others = SystemCall.entries(path).filter { !$0.hasSuffix(".seg") }
    return others.reduce(segments) { $0 + SystemCall.lengths("\(path)/\($1)") }
  }

  package var facts: [(name: String, value: Double)] {
    let (index, names) = ledger.indexSize
    return [
      ("indexBytes", Double(index)), ("nameBytes", Double(names)), ("segments", Double(ledger.size.segments)),
    ]
  }
}

/// `@unchecked Sendable`: used by one thread or task; the ledger itself is for all of them.
private final class LedgerAppender: AsyncAppender, @unchecked Sendable {
  private let ledger: Ledger
  private var staged: [Event] = []

  init(_ ledger: Ledger) { self.ledger = ledger }

  func stage(_ events: [Event]) { staged = events }

  func commit(_ range: Range<Int>) throws -> Int {
    guard range.count > 1 else {
      return try ledger.append(staged[range.lowerBound]).outcome == .appended ? 1 : 0
    }
    return try ledger.extend(staged[range]).count { $0.outcome == .appended }
  }

  func commit(_ index: Int) async throws { try await ledger.append(staged[index]) }
}
