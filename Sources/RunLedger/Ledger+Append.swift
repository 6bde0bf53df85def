internal import LogEngine
internal import Synchronization

extension Ledger {
  /// Stores an event at the next offset.
  ///
  /// Storing an event of the same id and content again stores nothing and succeeds; an id that is taken by other content
  /// throws `.conflict`, unless `onConflict` is `.ignore`. Under `.always` it returns once the event is durable.
  /// Thread-safe; appends take turns. Cost: one write, one sync under `.always`.
  @discardableResult
  public func append(
    _ event: Event, onConflict: ConflictPolicy = .error
  ) throws(LedgerError) -> Receipt {
    try store(CollectionOfOne(event), onConflict)[0]
  }

  /// Stores events in order, all or none, and says of each what became of it.
  ///
  /// Repeats, also within the call, are stored once. If any event breaks a rule or conflicts, nothing is stored. After a
  /// crash all new events of the call are there or none. Otherwise as ``append(_:onConflict:)``.
  @discardableResult
  public func extend(
    _ events: some Collection<Event>, onConflict: ConflictPolicy = .error
  ) throws(LedgerError) -> [Receipt] {
    // An array, because a lazy collection may make other events each time it is walked through.
    try store(Array(events), onConflict)
  }

  private func store(
    _ events: some Collection<Event>, _ onConflict: ConflictPolicy
  ) throws(LedgerError) -> [Receipt] {
    try onLog { () throws(LogError) in try log.checkProcess() }
    for (place, event) in events.enumerated() { try check(event, place) }
    return try appending.withLock { (batch) throws(LedgerError) in
      batch.removeAll()
      var plan = Plan(count: events.count)
      for (place, event) in events.enumerated() {
        try decide(event, place, onConflict, &plan, events, &batch)
      }
      let stored: Range<Offset>
      if batch.count > 0 {
        stored = try onLog { () throws(LogError) in try log.append(&batch) }
        index.withLock { index in
          var offset = stored.lowerBound
          for (place, event) in events.enumerated() where plan.isNew(place) {
            index.add(event, at: offset)
            offset = Offset(offset.rawValue + 1)
          }
        }
      } else {
        // A duplicate is as durable as a new event would be.
        try onLog { () throws(LogError) in
          if log.syncPolicy == .always { try log.sync() } else { try log.checkWritable() }
        }
        stored = 0..<0
      }
      return plan.receipts(from: stored.lowerBound, durable: log.durableOffset)
    }
  }

  /// The ledger's own rule and limit, which may be narrower than what the event was built with.
  private func check(_ event: Event, _ place: Int) throws(LedgerError) {
    do throws(EventError) {
      try Event.validate(kind: event.kind, rule: kindRule)
      guard event.payload.count <= maximumPayload else {
        throw EventError(.payloadTooLarge, field: "payload", limit: maximumPayload)
      }
    } catch {
      throw LedgerError(.invalidEvent, "", id: event.id, index: place, event: error)
    }
  }

  /// What will become of each event of a call.
  private struct Plan {
    enum Fate {
      case new
      /// Stored already.
      case stored(Offset)
      /// The same as the event at this place of the call.
      case repeats(Int)
    }
    var fates: [Fate] = []
    /// The first place in the call of each id that is new, by hash; with the places of other ids of that hash behind.
    var newPlaces: [UInt64: [Int]] = [:]

    init(count: Int) {
      fates.reserveCapacity(count)
      if count > 1 { newPlaces.reserveCapacity(count) }
    }

    func isNew(_ place: Int) -> Bool {
      if case .new = fates[place] { true } else { false }
    }

    func receipts(from first: Offset, durable: Offset) -> [Receipt] {
      var next = first
      var receipts: [Receipt] = []
      receipts.reserveCapacity(fates.count)
      for fate in fates {
        let outcome: Receipt.Outcome
        let offset: Offset
        switch fate {
        case .new:
          (outcome, offset) = (.appended, next)
          next = Offset(next.rawValue + 1)
        case .stored(let stored): (outcome, offset) = (.duplicate, stored)
        case .repeats(let place): (outcome, offset) = (.duplicate, receipts[place].offset)
        }
        receipts.append(
          Receipt(outcome: outcome, offset: offset, durability: offset <= durable ? .durable : .buffered))
      }
      return receipts
    }
  }

  private func decide(
    _ event: Event, _ place: Int, _ onConflict: ConflictPolicy, _ plan: inout Plan,
    _ events: some Collection<Event>, _ batch: inout RecordBatch
  ) throws(LedgerError) {
    let id = event.id.utf8Span.span.rawBytes
    for offset in index.withLock({ $0.candidates(id: id) }) {
      let same: Bool? = try read(offset) { view in
        view.id.isEqual(to: id) ? view.hasSameContent(as: event) : nil
      }
      guard let same else { continue }
      guard same || onConflict == .ignore else { throw conflict(event, offset, place) }
      plan.fates.append(.stored(offset))
      return
    }
    if events.count > 1 {
      let hash = XXH3.hash64(id)
      for earlier in plan.newPlaces[hash] ?? [] {
        let other = events[events.index(events.startIndex, offsetBy: earlier)]
        guard other.id.utf8.elementsEqual(event.id.utf8) else { continue }
        guard other.hasSameContent(as: event) || onConflict == .ignore else {
          throw conflict(event, nil, place)
        }
        plan.fates.append(.repeats(earlier))
        return
      }
      plan.newPlaces[hash, default: []].append(place)
    }
    plan.fates.append(.new)
    try onLog { () throws(LogError) in
      try batch.appendRecord { buffer in EventRecord.encode(event, into: &buffer) }
    }
  }

  private func conflict(_ event: Event, _ offset: Offset?, _ place: Int) -> LedgerError {
    LedgerError(
      .conflict,
      "the id '\(Excerpt.of(event.id))' is \(offset.map { "stored at offset \($0)" } ?? "in this call already") with other content; give the event an id of its own, or ignore conflicts",
      id: event.id, offset: offset, index: place)
  }
}

extension Event {
  /// A4 of the contract, between two events in hand; see ``EventView/hasSameContent(as:)``.
  func hasSameContent(as other: Event) -> Bool {
    turn == other.turn && schemaVersion == other.schemaVersion
      && runID.utf8.elementsEqual(other.runID.utf8) && kind.utf8.elementsEqual(other.kind.utf8)
      && actor.utf8.elementsEqual(other.actor.utf8)
      && Self.isEqual(sessionID, other.sessionID) && Self.isEqual(modelProfile, other.modelProfile)
      && Self.isEqual(modelID, other.modelID)
      && (payload == other.payload
        || JSONText.haveEqualValues(payload.span.rawBytes, other.payload.span.rawBytes))
  }

  private static func isEqual(_ left: String?, _ right: String?) -> Bool {
    guard let left, let right else { return left == nil && right == nil }
    return left.utf8.elementsEqual(right.utf8)
  }
}
