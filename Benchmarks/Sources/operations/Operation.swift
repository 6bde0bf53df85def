internal import LogEngine
internal import RunLedger

/// What has a budget. Making one makes everything ready; `run` does nothing but the operation, so that its instructions can
/// be counted.
protocol Operation {
  /// Does it, and says how often.
  func run() throws -> Int
}

/// Appends one by one, or in batches.
struct Append: Operation {
  private let ledger: Ledger
  /// A batch for each call.
  private let batches: [[Event]]

  init(_ count: Int, batchCount: Int, creating path: String) throws {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = .never
    ledger = try Ledger.open(at: path, options: options)
    let events = try (0..<count).map(Events.event)
    batches = stride(from: 0, to: count, by: batchCount).map {
      Array(events[$0..<min($0 + batchCount, count)])
    }
  }

  func run() throws -> Int {
    var count = 0
    for batch in batches {
      if batch.count == 1 { try ledger.append(batch[0]) } else { try ledger.extend(batch) }
      count += batch.count
    }
    return count
  }
}

/// Looks ids up that are all there, or all not.
struct Get: Operation {
  private let ledger: Ledger
  private let ids: [String]
  private let areThere: Bool

  init(_ count: Int, areThere: Bool, _ store: Store) throws {
    ledger = try store.open()
    ids = (0..<count).map { number in
      Events.id(
        areThere ? Int(Events.scattered(number) % UInt64(store.eventCount)) : store.eventCount + number)
    }
    self.areThere = areThere
    // The first one loads the ids of all segments: far more work than all that is to be counted.
    _ = try ledger.withEvent(id: Events.id(0)) { view throws(LedgerError) in view.payload.byteCount }
  }

  func run() throws -> Int {
    for id in ids {
      let found = try ledger.withEvent(id: id) { view throws(LedgerError) in view.payload.byteCount }
      guard (found != nil) == areThere else { throw Failure("event \(id): found is \(found != nil)") }
    }
    return ids.count
  }
}

/// Reads runs; each event of one counts.
struct ReadRun: Operation {
  private let ledger: Ledger
  private let runs: [String]

  init(_ count: Int, _ store: Store) throws {
    ledger = try store.open()
    let stored = Events.runCount(of: store.eventCount)
    runs = (0..<count).map { Events.runID(Int(Events.scattered($0) % UInt64(stored))) }
  }

  func run() throws -> Int {
    var (events, byteCount) = (0, 0)
    for run in runs {
      try ledger.forEachEvent(run: run) { view throws(LedgerError) in
        events += 1
        byteCount += view.payload.byteCount
        return true
      }
    }
    guard byteCount > 0 else { throw Failure("the runs are not there") }
    return events
  }
}

/// Reads all events in order, so many times; each of them counts.
struct Scan: Operation {
  private let ledger: Ledger
  private let rounds: Int
  private let eventCount: Int

  init(_ rounds: Int, _ store: Store) throws {
    ledger = try store.open()
    self.rounds = rounds
    eventCount = store.eventCount
  }

  func run() throws -> Int {
    var (events, byteCount) = (0, 0)
    for _ in 0..<rounds {
      try ledger.forEachEvent { view throws(LedgerError) in
        events += 1
        byteCount += view.id.byteCount + view.runID.byteCount + view.payload.byteCount
        return true
      }
    }
    guard events == rounds * eventCount, byteCount > 0 else { throw Failure("\(events) events were read") }
    return events
  }
}

/// Opens for reading and closes.
struct Open: Operation {
  private let store: Store
  private let count: Int

  init(_ count: Int, _ store: Store) {
    self.store = store
    self.count = count
  }

  func run() throws -> Int {
    for _ in 0..<count { try store.open().close() }
    return count
  }
}
