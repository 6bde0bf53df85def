internal import AgentEvents
internal import Harness
internal import LogEngine
internal import RunLedger

/// Reads every event through an open ledger: what opening is compared with.
struct ScanCell {
  let path: String

  init(_ settings: Settings) throws { path = try settings.text("path") }

  func run(_ findings: inout Findings) throws {
    var options = LedgerOptions()
    options.access = .readOnly
    let ledger = try Ledger.open(at: path, options: options)
    var (rows, payloadBytes) = (0, 0)
    let start = SystemCall.nanoseconds()
    try ledger.forEachEvent { view throws(LedgerError) in
      rows += 1
      payloadBytes += view.payload.byteCount
      return true
    }
    findings["seconds"] = SystemCall.seconds(since: start)
    findings["rows"] = Double(rows)
    try ledger.close()
  }
}

/// Digests the events of a ledger in order, up to an offset.
struct PrefixCell {
  let path: String
  let through: UInt64

  init(_ settings: Settings) throws {
    path = try settings.text("path")
    through = UInt64(try settings.number("through"))
  }

  func run(_ findings: inout Findings) throws {
    var options = LedgerOptions()
    options.access = .readOnly
    let ledger = try Ledger.open(at: path, options: options)
    var digest = RowDigest()
    try ledger.forEachEvent(through: Offset(through)) { view throws(LedgerError) in
      digest.add(id: view.id, run: view.runID, payload: view.payload)
      return true
    }
    findings["rows"] = Double(digest.count)
    findings["latest"] = Double(ledger.latestOffset.rawValue)
    findings.digest = digest.value
    try ledger.close()
  }
}

extension EventGenerator {
  /// A stream of other events than those of `seed` and of any other number. Ids are made of seed and number in such a way
  /// that seeds have to lie further apart than numbers, or two streams would share an id.
  init(extra number: Int, seed: UInt64) { self.init(seed: seed &+ UInt64(number) << 44) }
}

/// Opens a ledger and does the first thing that its kind of user does: reads the first event and the first run, or appends.
struct OpenCell {
  let path: String
  let seed: UInt64
  let isForWriting: Bool
  /// Which stream the appended event is of; each may be used once.
  let extra: Int

  init(_ settings: Settings) throws {
    path = try settings.text("path")
    seed = try settings.seed()
    isForWriting = try settings.number("forWriting") > 0
    extra = try settings.number("extra")
  }

  func run(_ findings: inout Findings) throws {
    // The library's own first steps are not this ledger's.
    try EngineName.ledger.warmUp(
      beside: path, .unsynced, byteCount: 1 << 20, events: 100, batchSize: 100, seed: seed)
    var events = EventGenerator(extra: extra, seed: seed)
    let event = events.take(1)[0]
    let memoryBefore = try SystemCall.anonymousMemory()
    let start = SystemCall.nanoseconds()
    var options = LedgerOptions()
    options.access = isForWriting ? .readWrite : .readOnly
    let ledger = try Ledger.open(at: path, options: options)
    findings["openSeconds"] = SystemCall.seconds(since: start)
    if isForWriting {
      try ledger.append(event)
    } else {
      try readFirst(ledger)
    }
    findings["seconds"] = SystemCall.seconds(since: start)
    findings["memory"] = Double(try SystemCall.anonymousMemory() - memoryBefore)
    findings["recordsRead"] = Double(ledger.recovery.records)
    // Ids are found only once they are loaded, which a reader may never need.
    let looking = SystemCall.nanoseconds()
    guard try ledger.event(id: EventGenerator.eventID(0, seed: seed)) != nil else {
      throw BenchmarkError("\(path): the first event is not found by its id")
    }
    findings["lookUpSeconds"] = SystemCall.seconds(since: looking)
    findings["memoryTouched"] = Double(try SystemCall.anonymousMemory() - memoryBefore)
    let (indexBytes, nameBytes) = ledger.indexSize
    (findings["indexBytes"], findings["nameBytes"]) = (Double(indexBytes), Double(nameBytes))
    findings["rows"] = Double(ledger.eventCount)
    try ledger.close()
  }

  private func readFirst(_ ledger: Ledger) throws {
    let first = try ledger.event(at: ledger.firstOffset)
    let run = try ledger.events(run: first.runID)
    guard first.id == EventGenerator.eventID(0, seed: seed), run.first?.event == first else {
      throw BenchmarkError("\(path): the first event or its run is not what was stored")
    }
  }
}

/// Appends more events under `.never`, and is killed.
struct MoreCell {
  let path: String
  let seed: UInt64
  let count: Int
  let extra: Int

  init(_ settings: Settings) throws {
    path = try settings.text("path")
    seed = try settings.seed()
    count = try settings.number("count")
    extra = try settings.number("extra")
  }

  func run(_ findings: inout Findings) throws {
    var options = LedgerOptions()
    options.syncPolicy = .never
    let ledger = try Ledger.open(at: path, options: options)
    var events = EventGenerator(extra: extra, seed: seed)
    while events.count < count {
      for event in events.take(min(4000, count - events.count)) { try ledger.append(event) }
    }
    findings["rows"] = Double(ledger.eventCount)
  }
}
