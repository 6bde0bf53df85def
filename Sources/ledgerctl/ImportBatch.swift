internal import LogEngine
internal import RunLedger

/// Events on their way into a ledger, stored together, and what became of those before.
struct ImportBatch {
  /// What the user chose.
  struct Choices: Sendable {
    var onConflict = ConflictPolicy.error
    var syncPolicy = SyncPolicy.always
    var hasAcks = false
  }

  private static let maximumCount = 1000
  private static let maximumByteCount = 8 << 20

  private let ledger: Ledger
  private let choices: Choices
  private let output: Output
  private(set) var report: ImportReport
  /// Events that are stored, now or before.
  private var settled: UInt64 = 0
  /// How many events were settled when the ledger's latest offset was this; not known to be durable yet.
  private var unacknowledged: [(settled: UInt64, latest: Offset)] = []

  private var events: [Event] = []
  /// Where each of them came from.
  private var origins: [Origin] = []
  private var byteCount = 0

  private struct Origin {
    var file: String
    var line: UInt64
    var description: String { "\(file):\(line)" }
  }

  init(_ ledger: Ledger, _ choices: Choices, _ output: Output) {
    self.ledger = ledger
    self.choices = choices
    self.output = output
    report = ImportReport(latest: ledger.latestOffset)
    events.reserveCapacity(Self.maximumCount)
    origins.reserveCapacity(Self.maximumCount)
  }

  var isEmpty: Bool { events.isEmpty }
  var eventCount: UInt64 { settled + UInt64(events.count) }

  /// Takes the event of a line, if the line is not blank, and stores the batch when it is full.
  mutating func add(_ line: RawSpan, _ file: String, _ number: UInt64) throws(Failure) {
    if line.isBlank { return }
    if byteCount + line.byteCount > Self.maximumByteCount { try commit() }
    do throws(EventError) {
      events.append(
        try Event(
          jsonLine: line,
          kindRule: ledger.kindRule,
          defaultCreatedAt: ledger.now(),
          maximumPayload: EventLimits.defaultPayloadBytes
        )
      )
    } catch {
      let column = error.column.map { ":\($0)" } ?? ""
      throw Failure(.badData, "\(file):\(number)\(column): \(error)")
    }
    origins.append(Origin(file: file, line: number))
    byteCount += line.byteCount
    if events.count == Self.maximumCount || byteCount >= Self.maximumByteCount { try commit() }
  }

  // MARK: Storing

  /// Stores the events, all or none; of those before a conflict, all.
  mutating func commit() throws(Failure) {
    guard !events.isEmpty else { return }
    defer {
      events.removeAll(keepingCapacity: true)
      origins.removeAll(keepingCapacity: true)
      byteCount = 0
      report.latest = ledger.latestOffset
    }
    do throws(LedgerError) {
      count(try ledger.extend(events))
    } catch {
      guard error.code == .conflict || error.code == .invalidEvent, let place = error.index else {
        throw Failure(error)
      }
      if error.code == .conflict, choices.onConflict == .ignore {
        try commitAroundConflicts()
      } else {
        try commitBefore(place, error)
      }
    }
    try acknowledgeDurable()
  }

  /// Makes everything durable that was not made so batch by batch.
  mutating func finish() throws(Failure) {
    guard choices.syncPolicy != .always else { return }
    let ledger = ledger
    try onLedger { () throws(LedgerError) in try ledger.sync() }
    try acknowledge()
  }

  /// Stores what precedes the event at `place`, then fails because of it.
  private mutating func commitBefore(_ place: Int, _ error: LedgerError) throws(Failure) {
    let (ledger, good) = (ledger, events[..<place])
    if !good.isEmpty {
      count(try onLedger { () throws(LedgerError) in try ledger.extend(good) })
      try acknowledgeDurable()
    }
    if error.code == .conflict { report.conflicts += 1 }
    throw Failure(.badData, "\(origins[place].description): \(error)")
  }

  /// The ledger keeps what it has and calls both a repeat and a conflict a duplicate. Which of the two one is shows when
  /// it is appended by itself, which stores nothing either way.
  private mutating func commitAroundConflicts() throws(Failure) {
    let (ledger, events) = (ledger, events)
    let receipts = try onLedger { () throws(LedgerError) in try ledger.extend(events, onConflict: .ignore) }
    for (event, receipt) in zip(events, receipts) {
      settled += 1
      guard receipt.outcome == .duplicate else {
        report.appended += 1
        continue
      }
      do throws(LedgerError) {
        try ledger.append(event)
        report.duplicates += 1
      } catch {
        guard error.code == .conflict else { throw Failure(error) }
        report.conflicts += 1
      }
    }
  }

  private mutating func count(_ receipts: [Receipt]) {
    let appended = receipts.count { $0.outcome == .appended }
    report.appended += UInt64(appended)
    report.duplicates += UInt64(receipts.count - appended)
    settled += UInt64(receipts.count)
  }

  /// Acknowledges what is durable by now, where that is known before the end.
  private mutating func acknowledgeDurable() throws(Failure) {
    switch choices.syncPolicy {
    case .always: try acknowledge()
    case .never: break
    case .interval:
      unacknowledged.append((settled, ledger.latestOffset))
      let durable = ledger.durableOffset
      guard let last = unacknowledged.lastIndex(where: { $0.latest <= durable }) else { return }
      let count = unacknowledged[last].settled
      unacknowledged.removeFirst(last + 1)
      try acknowledge(count)
    }
  }

  /// Says how many events are safe, at once.
  private mutating func acknowledge(_ count: UInt64? = nil) throws(Failure) {
    let count = count ?? settled
    guard choices.hasAcks, count > 0 else { return }
    output.add(JSONLine { $0.member("acked", count) })
    try output.flush()
  }
}
