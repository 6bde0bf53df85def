internal import LogEngine
internal import PlatformIO
internal import Synchronization

/// Appends that meet others, or repeat what is there: decided one after the other, and committed in groups.
extension Ledger {
  // The two differ in how they wait, and in nothing else.

  func store(
    _ events: [Event], _ draft: consuming Draft, _ onConflict: ConflictPolicy, _ durably: Bool?
  ) throws(LedgerError) -> [Receipt] {
    while true {
      let submitted = try submit(events, &draft, onConflict, durably, byTask: false)
      let outcome = log.outcome(of: submitted.pending)
      if let receipts = try receipts(of: submitted, outcome) { return receipts }
    }
  }

  func store(
    _ events: [Event], _ draft: consuming Draft, _ onConflict: ConflictPolicy, _ durably: Bool?
  ) async throws(LedgerError) -> [Receipt] {
    while true {
      let submitted = try submit(events, &draft, onConflict, durably, byTask: true)
      let outcome = await log.outcome(of: submitted.pending)
      if let receipts = try receipts(of: submitted, outcome) { return receipts }
    }
  }

  /// A call whose outcome is awaited.
  private struct Submitted {
    var pending: PendingAppend
    /// nil: an event of the call is on its way already, by another call. Once `pending` is settled, that one is too, and the
    /// call can be decided.
    var plan: Plan?
  }

  /// Decides what is new and queues that, in one step, so that the order of decisions is the order of the log. What is queued is
  /// taken out of the draft.
  private func submit(
    _ events: [Event], _ draft: inout Draft, _ onConflict: ConflictPolicy, _ durably: Bool?,
    byTask isOfTask: Bool
  ) throws(LedgerError) -> Submitted {
    try deciding.withLock { () throws(LedgerError) in
      guard !onTheirWay.withLock({ $0.contains(anyOf: draft.hashes) }) else {
        return Submitted(pending: log.submit(RecordBatch(), durably: false, byTask: isOfTask))
      }
      var plan = Plan(count: events.count)
      for place in events.indices { try decide(events, place, draft.hashes[place], onConflict, &plan) }
      if plan.newCount < events.count {
        try onLog { () throws(LogError) in try draft.keep(plan.newEvents(of: events), seed: idSeed) }
      }
      let hashes = draft.hashes
      onTheirWay.withLock { $0.queued.formUnion(hashes) }
      // Without new events the batch is empty: a duplicate is as durable as a new event would be.
      let pending = log.submit(draft.takeBatch(), durably: durably, byTask: isOfTask) {
        [self] stage, batch in
        switch stage {
        case .stored(let first): enter(batch, first, hashes)
        case .settled: settle(hashes)
        }
      }
      return Submitted(pending: pending, plan: plan)
    }
  }

  /// Called by the one who commits and not by the call, whose thread or task may run much later: those who wait for the ids
  /// would ask again and again until then. Who commits may hold up everybody else, so that no lock is taken but those that are held
  /// for moments.
  private func settle(_ hashes: [UInt64]) { onTheirWay.withLock { $0.queued.subtract(hashes) } }

  /// nil if the call has to be decided again.
  private func receipts(
    of submitted: Submitted, _ outcome: PendingAppend.Outcome
  ) throws(LedgerError) -> [Receipt]? {
    // What made the other call fail need not be in this one's way.
    guard let plan = submitted.plan else { return nil }
    recycle(Draft(reusing: submitted.pending.takeBatch()))
    let stored = try onLog { () throws(LogError) in try outcome.get() }
    return plan.receipts(from: stored.lowerBound, durable: log.durableOffset)
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
    private(set) var fates: [Fate] = []
    private(set) var newCount = 0
    /// The first place in the call of each id that is new, by hash; with the places of other ids of that hash behind.
    var newPlaces: [UInt64: [Int]] = [:]

    init(count: Int) {
      fates.reserveCapacity(count)
      if count > 1 { newPlaces.reserveCapacity(count) }
    }

    mutating func add(_ fate: Fate) {
      fates.append(fate)
      if case .new = fate { newCount += 1 }
    }

    func newEvents(of events: [Event]) -> [Event] {
      events.indices.filter { if case .new = fates[$0] { true } else { false } }.map { events[$0] }
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
    _ events: [Event], _ place: Int, _ hash: UInt64, _ onConflict: ConflictPolicy, _ plan: inout Plan
  ) throws(LedgerError) {
    let event = events[place]
    let id = event.id.utf8Span.span.rawBytes
    var candidate = Offset.zero
    while let offset = try inIndex({ (index) throws(UnsoundPart) in
      try index.candidate(idHash: hash, after: candidate)
    }) {
      candidate = offset
      var same: Bool?
      do throws(LedgerError) {
        try read(offset) { view in if view.id.isEqual(to: id) { same = view.hasSameContent(as: event) } }
      } catch {
        // One that is just being stored; it has another id, or the call would wait for it.
        guard error.log?.code == .offsetBeyondEnd else { throw error }
      }
      guard let same else { continue }
      guard same || onConflict == .ignore else { throw conflict(event, offset, place) }
      plan.add(.stored(offset))
      return
    }
    if events.count > 1 {
      for earlier in plan.newPlaces[hash] ?? [] {
        let other = events[earlier]
        guard other.id.utf8.elementsEqual(event.id.utf8) else { continue }
        guard other.hasSameContent(as: event) || onConflict == .ignore else {
          throw conflict(event, nil, place)
        }
        plan.add(.repeats(earlier))
        return
      }
      plan.newPlaces[hash, default: []].append(place)
    }
    plan.add(.new)
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
