internal import LogEngine
internal import Synchronization

/// In which order events are given.
public enum EventOrder: Sendable, Hashable {
  /// By rising offset.
  case forward
  /// By falling offset, the newest first.
  case backward
}

/// What it took to answer a query.
public struct QueryReport: Sendable, Hashable {
  /// Segments in which every condition that the index knows has a value; the others were passed.
  public var segments = 0
  /// Entries of the index that were looked at.
  public var postings = 0
  /// Records that were read.
  public var records = 0
  /// Events that were asked for.
  public var matches = 0

  /// Of a query that took nothing.
  public init() {}
}

extension Ledger {
  /// Calls `body` with each event that a filter asks for, borrowed for the call, up to the end at the time of the call or
  /// until `body` answers false.
  ///
  /// Run, kind, actor, session and model are answered from the index: of the segments that have all of these values, the
  /// entries of the rarest are looked at, and of another where that is less than reading records. Turns and times are looked up in the
  /// records that are left. Thread-safe; holds up nobody. If the ledger is reset or trimmed on the way, it throws `log` with
  /// code `offsetNotKept`.
  @discardableResult
  public func forEachEvent(
    where filter: EventFilter, order: EventOrder = .forward,
    _ body: (borrowing EventView) throws(LedgerError) -> Bool
  ) throws(LedgerError) -> QueryReport {
    var query = Query(self, filter, order)
    try query.run(body)
    return query.report
  }

  /// The events that a filter asks for, at most `limit` of them. Otherwise as `forEachEvent(where:order:_:)`.
  public func events(
    where filter: EventFilter, order: EventOrder = .forward, limit: Int = .max
  ) throws(LedgerError) -> [StoredEvent] {
    var events: [StoredEvent] = []
    guard limit > 0 else {
      try onLog { () throws(LogError) in try log.checkOpen() }
      return events
    }
    try forEachEvent(where: filter, order: order) { (view) throws(LedgerError) in
      events.append(StoredEvent(offset: view.offset, event: try view.event()))
      return events.count < limit
    }
    return events
  }

  /// How many events a filter asks for, and what it took to know. Cost: without turns and times, and unless one of the values is
  /// far rarer than another, no record is read. Otherwise as `forEachEvent(where:order:_:)`.
  public func countEvents(where filter: EventFilter) throws(LedgerError) -> QueryReport {
    var query = Query(self, filter, .forward, isCounting: true)
    try query.run { _ in true }
    return query.report
  }
}

/// A query on its way.
private struct Query {
  typealias Body = (borrowing EventView) throws(LedgerError) -> Bool

  private let ledger: Ledger
  private let filter: EventFilter
  private let order: EventOrder
  /// Events are only counted, and none is given to anybody.
  private let isCounting: Bool
  private let conditions: [PostingCondition]
  private(set) var report = QueryReport()

  /// So many records are asked for at a time.
  private static let chunkCount = 256
  /// An entry of the index costs so much less to look at than a record.
  private static let entriesPerRecord = 64

  /// What the index says of a segment: where the events may be, and whether all conditions that it knows hold there.
  private struct Found {
    let first: Offset
    var indexes: [UInt32]
    var isCertain = true
  }

  init(_ ledger: Ledger, _ filter: EventFilter, _ order: EventOrder, isCounting: Bool = false) {
    self.ledger = ledger
    self.filter = filter
    self.order = order
    self.isCounting = isCounting
    conditions = filter.postingConditions
  }

  mutating func run(_ body: Body) throws(LedgerError) {
    try onLog { () throws(LogError) in try ledger.log.checkOpen() }
    let first = max(filter.offsets?.lowerBound ?? .zero, ledger.firstOffset)
    let last = min(filter.offsets?.upperBound ?? .max, ledger.latestOffset)
    guard first <= last else { return }
    if conditions.isEmpty { return try scan(first...last, body) }
    while true {
      report = QueryReport()
      let plan = try plan(in: first...last)
      // First, in either order: one that has been sealed since is among the sealed of the next plan.
      let index = ledger.index
      var unsealed: [Found] = []
      for part in plan.unsealed {
        find(part.first, part.counts, in: first...last) { part.indexes(of: $0, in: index) }
          .map { unsealed.append($0) }
      }
      guard unsealed.count == plan.unsealed.count else { continue }
      return try take(plan.sealed, unsealed, in: first...last, body)
    }
  }

  private mutating func take(
    _ sealed: [PlannedPart], _ unsealed: [Found], in offsets: ClosedRange<Offset>, _ body: Body
  ) throws(LedgerError) {
    if order == .backward {
      for found in unsealed.reversed() where try !read(found, body) { return }
    }
    for place in sealed.indices {
      let found = try find(sealed[order == .forward ? place : sealed.count - 1 - place], in: offsets)
      if let found, try !read(found, body) { return }
    }
    if order == .forward {
      for found in unsealed where try !read(found, body) { return }
    }
  }

  // MARK: By the index

  private func plan(in offsets: ClosedRange<Offset>) throws(LedgerError) -> QueryPlan {
    try ledger.inIndex(allValues: conditions.contains(where: \.isPrefix)) { (index) throws(UnsoundPart) in
      try index.plan(conditions, in: offsets)
    }
  }

  private mutating func find(
    _ planned: PlannedPart, in offsets: ClosedRange<Offset>
  ) throws(LedgerError) -> Found? {
    var planned = planned
    while true {
      let unsound: UnsoundPart
      do throws(UnsoundPart) {
        return try find(planned.part.first, planned.counts, in: offsets) {
          (condition) throws(UnsoundPart) in try planned.indexes(of: condition)
        }
      } catch { unsound = error }
      try ledger.remake(unsound)
      let first = planned.part.first
      let again = try plan(in: first...first)
      guard let part = again.sealed.first else {
        if ledger.index.withLock({ $0.part(at: first) }) != nil { return nil }
        throw ledger.droppedMeanwhile
      }
      planned = part
    }
  }

  /// Intersects what a segment has of each condition, the rarest first. nil if that cannot be had any more.
  private mutating func find<E: Error>(
    _ first: Offset, _ counts: [Int], in offsets: ClosedRange<Offset>, _ indexes: (Int) throws(E) -> [UInt32]?
  ) throws(E) -> Found? {
    let byCount = counts.indices.sorted { counts[$0] < counts[$1] }
    guard let rarest = try indexes(byCount[0]) else { return nil }
    var postings = rarest.count
    var found = Found(
      first: first, indexes: rarest.filter { offsets.contains(first.advanced(by: UInt64($0))) })
    for condition in byCount.dropFirst() {
      // Otherwise the records that are left say it with less effort.
      guard counts[condition] <= found.indexes.count * Self.entriesPerRecord else {
        found.isCertain = false
        continue
      }
      guard let other = try indexes(condition) else { return nil }
      postings += other.count
      found.indexes = Self.intersection(found.indexes, other)
    }
    report.segments += 1
    report.postings += postings
    return found
  }

  /// Of two rising lists.
  private static func intersection(_ left: [UInt32], _ right: [UInt32]) -> [UInt32] {
    var both: [UInt32] = []
    var (next, other) = (0, 0)
    while next < left.count, other < right.count {
      if left[next] == right[other] { both.append(left[next]) }
      (next, other) = (
        next + (left[next] <= right[other] ? 1 : 0), other + (right[other] <= left[next] ? 1 : 0)
      )
    }
    return both
  }

  // MARK: By records

  /// False if `body` wants no more.
  private mutating func read(_ found: Found, _ body: Body) throws(LedgerError) -> Bool {
    if isCounting, found.isCertain, !filter.looksAtRecords {
      report.matches += found.indexes.count
      return true
    }
    var indexes = found.indexes
    if order == .backward { indexes.reverse() }
    var next = 0
    while next < indexes.count {
      let end = min(next + Self.chunkCount, indexes.count)
      let offsets = indexes[next..<end].map { found.first.advanced(by: UInt64($0)) }
      guard try read(offsets, body) else { return false }
      next = end
    }
    return true
  }

  private mutating func read(_ offsets: [Offset], _ body: Body) throws(LedgerError) -> Bool {
    var goesOn = true
    var failure: LedgerError?
    try onLog { () throws(LogError) in
      try ledger.log.forEachRecord(at: offsets) { offset, record in
        do throws(LedgerError) {
          goesOn = try take(try ledger.view(of: record, at: offset), body)
        } catch {
          failure = error
          goesOn = false
        }
        return goesOn
      }
    }
    if let failure { throw failure }
    return goesOn
  }

  /// Everything in a range, where the index knows of no condition.
  private mutating func scan(_ offsets: ClosedRange<Offset>, _ body: Body) throws(LedgerError) {
    let count = offsets.upperBound.rawValue - offsets.lowerBound.rawValue + 1
    if isCounting, !filter.looksAtRecords {
      report.matches = Int(count)
      return
    }
    guard order == .forward else {
      var end = offsets.upperBound.rawValue + 1
      while end > offsets.lowerBound.rawValue {
        let start = max(offsets.lowerBound.rawValue, end > 256 ? end - 256 : 0)
        guard try read((start..<end).reversed().map { Offset($0) }, body) else { return }
        end = start
      }
      return
    }
    var failure: LedgerError?
    try onLog { () throws(LogError) in
      try ledger.log.forEachRecord(from: offsets.lowerBound, through: offsets.upperBound) { offset, record in
        do throws(LedgerError) {
          return try take(try ledger.view(of: record, at: offset), body)
        } catch {
          failure = error
          return false
        }
      }
    }
    if let failure { throw failure }
  }

  /// An event whose record was read. All conditions are compared with it: an index may come from a file that lies.
  private mutating func take(_ view: borrowing EventView, _ body: Body) throws(LedgerError) -> Bool {
    report.records += 1
    for condition in conditions {
      guard let value = view.value(of: condition.field), condition.holds(value) else { return true }
    }
    guard filter.allows(view) else { return true }
    report.matches += 1
    if isCounting { return true }
    return try body(view)
  }
}
