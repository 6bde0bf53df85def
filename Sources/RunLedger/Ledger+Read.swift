public import LogEngine
internal import Synchronization

extension Ledger {
  // MARK: One event

  /// The event of an id; nil if there is none. Cost: a lookup in memory and one record read; behind
  /// an opening, what is first needed of a segment's index is read and checked, and where that is damaged, the segment is read.
  public func event(id: String) throws(LedgerError) -> StoredEvent? {
    try withEvent(id: id) { (view) throws(LedgerError) in
      StoredEvent(offset: view.offset, event: try view.event())
    }
  }

  /// Calls `body` with the event of an id, borrowed for the call; nil if there is none. Nothing is copied.
  @inlinable
  public func withEvent<R: ~Copyable>(
    id: String, _ body: (borrowing EventView) throws(LedgerError) -> R
  ) throws(LedgerError) -> R? {
    var result: R?
    try lookUp(id) { (view) throws(LedgerError) in result = try body(view) }
    return result
  }

  /// As `withEvent(id:)`, compiled once for all results.
  @usableFromInline
  func lookUp(
    _ id: String, _ body: (borrowing EventView) throws(LedgerError) -> Void
  ) throws(LedgerError) {
    try onLog { () throws(LogError) in try log.checkOpen() }
    let bytes = id.utf8Span.span.rawBytes
    var candidate = Offset.zero
    while true {
      let found = try inIndex { (index) throws(UnsoundPart) in
        try index.candidate(id: bytes, after: candidate)
      }
      guard let offset = found else { return }
      candidate = offset
      var isFound = false
      do throws(LedgerError) {
        try read(offset) { (view) throws(LedgerError) in
          guard view.id.isEqual(to: bytes) else { return }
          isFound = true
          try body(view)
        }
      } catch {
        // A reset came between the lookup and the read, or the event is just being stored: then nothing has this id. What
        // `body` throws is its caller's.
        guard !isFound, error.log?.code == .offsetNotKept || error.log?.code == .offsetBeyondEnd else {
          throw error
        }
      }
      if isFound { return }
    }
  }

  /// The event at an offset. Throws `log` with code `offsetNotKept` or `offsetBeyondEnd` if there is none.
  public func event(at offset: Offset) throws(LedgerError) -> Event {
    try withEvent(at: offset) { (view) throws(LedgerError) in try view.event() }
  }

  /// Calls `body` with the event at an offset, borrowed for the call.
  @inlinable
  public func withEvent<R: ~Copyable>(
    at offset: Offset, _ body: (borrowing EventView) throws(LedgerError) -> R
  ) throws(LedgerError) -> R {
    var result: R?
    try read(offset) { (view) throws(LedgerError) in result = try body(view) }
    guard let result else { preconditionFailure("an event was read, or an error thrown") }
    return result
  }

  /// The last event, from whose run and turn a caller resumes; nil if the ledger is empty.
  public func lastEvent() throws(LedgerError) -> StoredEvent? {
    try onLog { () throws(LogError) in try log.checkOpen() }
    while true {
      let last = latestOffset
      guard last >= firstOffset, last > .zero else { return nil }
      do throws(LedgerError) {
        return StoredEvent(offset: last, event: try event(at: last))
      } catch {
        // A reset or a trim came between the two: look again, for what is there now.
        guard error.log?.code == .offsetNotKept else { throw error }
      }
    }
  }

  /// As `withEvent(at:)`, compiled once for all results.
  @usableFromInline
  func read(
    _ offset: Offset, _ body: (borrowing EventView) throws(LedgerError) -> Void
  ) throws(LedgerError) {
    var failure: LedgerError?
    try onLog { () throws(LogError) in
      try log.readRecord(at: offset) { record in
        do throws(LedgerError) {
          try body(view(of: record, at: offset))
        } catch {
          failure = error
        }
      }
    }
    if let failure { throw failure }
  }

  @_lifetime(copy record)
  func view(of record: RawSpan, at offset: Offset) throws(LedgerError) -> EventView {
    guard let view = EventView(record, at: offset, kindRule: kindRule) else {
      throw Self.corruptEvent(offset, "the record has not the shape of an event")
    }
    guard view.storedTime != nil else { throw Self.corruptEvent(offset, "created_at is no timestamp") }
    return view
  }

  // MARK: Many events

  /// Calls `body` with each event after `offset`, in order, borrowed for the call, up to the end at the time of the call
  /// or until `body` answers false.
  public func forEachEvent(
    after offset: Offset = .zero, through last: Offset = .max,
    _ body: (borrowing EventView) throws(LedgerError) -> Bool
  ) throws(LedgerError) {
    guard offset < .max else { return try onLog { () throws(LogError) in try log.checkOpen() } }
    var failure: LedgerError?
    try onLog { () throws(LogError) in
      try log.forEachRecord(from: Offset(offset.rawValue + 1), through: last) {
        offset, record in
        do throws(LedgerError) {
          return try body(view(of: record, at: offset))
        } catch {
          failure = error
          return false
        }
      }
    }
    if let failure { throw failure }
  }

  /// The events after `offset` with their offsets, in order, at most `limit` of them; 0 gives all, the end or beyond none.
  public func tail(after offset: Offset = .zero, limit: Int = .max) throws(LedgerError) -> [StoredEvent] {
    var events: [StoredEvent] = []
    guard limit > 0 else {
      try onLog { () throws(LogError) in try log.checkOpen() }
      return events
    }
    try forEachEvent(after: offset) { (view) throws(LedgerError) in
      events.append(StoredEvent(offset: view.offset, event: try view.event()))
      return events.count < limit
    }
    return events
  }

  /// The events after a cursor. Throws `foreignCursor`, `staleEpoch`, `cursorBeyondEnd` or `cursorRecordChanged` if the
  /// cursor does not fit this ledger as it is. Events that a trim has dropped since are passed over: some were if
  /// ``firstOffset`` is more than one above the cursor's offset.
  public func tail(after cursor: Cursor, limit: Int = .max) throws(LedgerError) -> [StoredEvent] {
    try onLog { () throws(LogError) in try log.checkOpen() }
    try check(cursor)
    let events = try tail(after: cursor.offset, limit: limit)
    // A reset may have come in between, and then these are of an epoch that the cursor says nothing of.
    try checkEpoch(cursor)
    return events
  }

  /// Every event, in order.
  public func events() throws(LedgerError) -> [StoredEvent] { try tail() }

  // MARK: Runs

  /// The events of a run, in order; none if there is no such run.
  public func events(run: String) throws(LedgerError) -> [StoredEvent] {
    var events: [StoredEvent] = []
    try forEachEvent(run: run) { (view) throws(LedgerError) in
      events.append(StoredEvent(offset: view.offset, event: try view.event()))
      return true
    }
    return events
  }

  /// Calls `body` with each event of a run, in order, borrowed for the call, until it answers false. If the ledger is
  /// reset on the way, it throws `log` with code `offsetNotKept`.
  public func forEachEvent(
    run: String, _ body: (borrowing EventView) throws(LedgerError) -> Bool
  ) throws(LedgerError) {
    try forEachEvent(.run, run, body)
  }

  /// Calls `body` with each event that has this value, found by the index alone.
  package func forEachEvent(
    _ field: PostingField, _ value: String, _ body: (borrowing EventView) throws(LedgerError) -> Bool
  ) throws(LedgerError) {
    var hasBegun = false
    while true {
      do throws(LedgerError) {
        return try walk(field, value) { (view) throws(LedgerError) in
          hasBegun = true
          return try body(view)
        }
      } catch {
        // A reset came between the lookup and the first read: look again, for what is there now.
        guard !hasBegun, error.log?.code == .offsetNotKept else { throw error }
      }
    }
  }

  private func walk(
    _ field: PostingField, _ value: String, _ body: (borrowing EventView) throws(LedgerError) -> Bool
  ) throws(LedgerError) {
    try onLog { () throws(LogError) in try log.checkOpen() }
    let name = value.utf8Span.span.rawBytes
    var place = PostingPlace()
    var after = index.withLock { Offset($0.start.rawValue - 1) }
    let last = latestOffset
    while true {
      // Some at a time, so that nobody waits for the index while records are read.
      let offsets: [Offset]? = try inIndex { (index) throws(UnsoundPart) in
        guard index.start.rawValue <= after.rawValue + 1 else { return nil }
        return try index.offsets(field, name, after: after, limit: 256, &place)
      }
      guard let offsets else { throw droppedMeanwhile }
      guard let behind = offsets.last else { return }
      var goesOn = behind <= last
      var failure: LedgerError?
      var isWanted = true
      try onLog { () throws(LogError) in
        // What lies behind may not be there to be read yet.
        try log.forEachRecord(at: goesOn ? offsets : offsets.filter { $0 <= last }) { offset, record in
          do throws(LedgerError) {
            isWanted = try body(view(of: record, at: offset))
          } catch {
            failure = error
            isWanted = false
          }
          return isWanted
        }
      }
      if let failure { throw failure }
      goesOn = goesOn && isWanted
      if !goesOn { return }
      after = behind
    }
  }

  /// The ids of all runs, by first appearance.
  public func runs() throws(LedgerError) -> [String] {
    try onLog { () throws(LogError) in try log.checkOpen() }
    return try inIndex(allValues: true) { (index) throws(UnsoundPart) in try index.names(of: .run) }
  }

  // MARK: Cursors

  /// A cursor behind the event at `offset`; behind the last one unless given, and before the first for 0. It remembers the
  /// event's checksum, if the event is still kept. Throws `log` with code `offsetBeyondEnd` if there is no such event yet. Cost:
  /// one record read.
  public func cursor(at offset: Offset? = nil) throws(LedgerError) -> Cursor {
    try onLog { () throws(LogError) in try log.checkOpen() }
    while true {
      let epoch = log.epoch
      let offset = offset ?? latestOffset
      let checksum = try checksum(at: offset) ?? 0
      // A reset came in between: the event would be of another epoch than the cursor.
      guard log.epoch.id == epoch.id else { continue }
      return Cursor(ledger: id, epoch: epoch.id, offset: offset, checksum: checksum)
    }
  }

  /// nil if there is no record to take it of: before the first, or no longer kept.
  private func checksum(at offset: Offset) throws(LedgerError) -> UInt64? {
    guard offset >= firstOffset, offset > .zero else { return nil }
    do throws(LogError) {
      return try log.withRecord(at: offset) { (record) throws(LogError) in XXH3.hash64(record) }
    } catch {
      // Dropped in between.
      guard error.code == .offsetNotKept else { throw LedgerError(error) }
      return nil
    }
  }

  private func checkEpoch(_ cursor: Cursor) throws(LedgerError) {
    try onLog { () throws(LogError) in try log.checkOpen() }
    let epoch = log.epoch
    guard cursor.epoch == epoch.id else {
      throw LedgerError(
        .staleEpoch,
        "the cursor was made in another epoch, before a reset or in another copy of the ledger; this one starts at offset \(epoch.start), start there anew",
        offset: epoch.start)
    }
  }

  private func check(_ cursor: Cursor) throws(LedgerError) {
    guard cursor.ledger == id else {
      throw LedgerError(
        .foreignCursor,
        "the cursor belongs to ledger \(cursor.ledger), not to \(id); use it there, or start anew")
    }
    try checkEpoch(cursor)
    guard cursor.offset <= latestOffset else {
      throw LedgerError(
        .cursorBeyondEnd,
        "the cursor is at offset \(cursor.offset), but the ledger ends at \(latestOffset); a power cut took the rest back, go on from the end",
        offset: latestOffset)
    }
    guard let found = try checksum(at: cursor.offset), found != cursor.checksum, cursor.checksum != 0 else {
      return
    }
    throw LedgerError(
      .cursorRecordChanged,
      "the event at offset \(cursor.offset) is not the one the cursor was made for; a power cut took that one back, go on from an earlier offset",
      offset: cursor.offset)
  }
}
