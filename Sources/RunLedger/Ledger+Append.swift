internal import LogEngine
internal import Synchronization

extension Ledger {
  /// Stores an event at the next offset.
  ///
  /// Storing an event of the same id and content again stores nothing and succeeds; an id that is taken by other content
  /// throws `.conflict`, unless `onConflict` is `.ignore`. Under `.always`, or with `durably`, it returns once the event is
  /// durable; `durably: false` asks for no more than `.never` gives.
  /// Thread-safe: what several threads append at the same time shares one write and one sync. Cost alone: one write, one
  /// sync under `.always`.
  ///
  /// Throws `.invalidEvent`, `.conflict`, or `log`: `fileSystem` with its cause, such as a full disk, or `quotaExceeded`, and
  /// then nothing is stored, and appends go on when there is room; `outcomeUnknown` after a failed sync, when the event may
  /// or may not be stored, and the ledger has to be closed and opened again. Appending it again then tells.
  @discardableResult
  public func append(
    _ event: Event, onConflict: ConflictPolicy = .error, durably: Bool? = nil
  ) throws(LedgerError) -> Receipt {
    try onLog { () throws(LogError) in try log.checkProcess() }
    try check(event, 0)
    if let receipt = try storeAlone(event, durably) { return receipt }
    return try store([event], onConflict, durably)[0]
  }

  /// Stores events in order, all or none, and says of each what became of it.
  ///
  /// Repeats, also within the call, are stored once. If any event breaks a rule or conflicts, nothing is stored. After a
  /// crash all new events of the call are there or none. Otherwise as `append`.
  @discardableResult
  public func extend(
    _ events: some Collection<Event>, onConflict: ConflictPolicy = .error, durably: Bool? = nil
  ) throws(LedgerError) -> [Receipt] {
    // An array, because a lazy collection may make other events each time it is walked through.
    let events = Array(events)
    try check(events)
    if let receipts = try storeAlone(events, durably) { return receipts }
    return try store(events, onConflict, durably)
  }

  /// As the blocking `append`, for tasks: it suspends while the disk writes and syncs what it and others have stored.
  ///
  /// What it does before, it does on the task's thread: it reads what is stored under the event's id, if anything is, and
  /// waits for calls that do the same, and for a `reset` or a `trim` that is under way.
  @discardableResult
  public func append(
    _ event: Event, onConflict: ConflictPolicy = .error, durably: Bool? = nil
  ) async throws(LedgerError) -> Receipt {
    try onLog { () throws(LogError) in try log.checkProcess() }
    try check(event, 0)
    return try await store([event], onConflict, durably)[0]
  }

  /// As the blocking `extend`, for tasks.
  @discardableResult
  public func extend(
    _ events: some Collection<Event>, onConflict: ConflictPolicy = .error, durably: Bool? = nil
  ) async throws(LedgerError) -> [Receipt] {
    let events = Array(events)
    try check(events)
    return try await store(events, onConflict, durably)
  }

  // MARK: Alone

  /// What `append` does as a rule: nobody else is committing, the id is new, and the event is written at once. nil if it is
  /// not so; then nothing was done.
  private func storeAlone(_ event: Event, _ durably: Bool?) throws(LedgerError) -> Receipt? {
    let isLeading = lead { alone in index.withLock { $0.noteIfNew(event, &alone) } }
    guard isLeading else { return nil }
    let stored = try commitAlone(durably) { (batch) throws(LogError) in
      try batch.appendRecord { buffer in EventRecord.encode(event, into: &buffer) }
    }
    return Receipt(
      outcome: .appended, offset: stored.first, durability: stored.isDurable ? .durable : .buffered)
  }

  /// The same for events of which none is stored and none is another's repeat.
  private func storeAlone(_ events: [Event], _ durably: Bool?) throws(LedgerError) -> [Receipt]? {
    guard !events.isEmpty else { return nil }
    // One by one, so that readers do not wait for all of them.
    let isLeading = lead { alone in
      events.allSatisfy { event in index.withLock { $0.noteIfNew(event, &alone) } }
    }
    guard isLeading else { return nil }
    let stored = try commitAlone(durably) { (batch) throws(LogError) in
      for event in events {
        try batch.appendRecord { buffer in EventRecord.encode(event, into: &buffer) }
      }
    }
    return (0..<UInt64(events.count)).map {
      Receipt(
        outcome: .appended, offset: stored.first.advanced(by: $0),
        durability: stored.isDurable ? .durable : .buffered)
    }
  }

  /// Takes the log's lead if nobody has it and `note`, which notes the hashes of the ids, finds them new.
  private func lead(_ note: (inout HashSequence) -> Bool) -> Bool {
    deciding.withLock { _ in
      // With the lead all calls are settled, and what the index does not have is not there.
      guard log.takeLead() else { return false }
      let isNew = onTheirWay.withLock { onTheirWay in
        let isNew = note(&onTheirWay.alone)
        if !isNew { onTheirWay.alone.removeAll() }
        return isNew
      }
      if !isNew { log.handOverLead() }
      return isNew
    }
  }

  /// Commits what is new with the lead that was taken for it, and hands the lead over.
  private func commitAlone(
    _ durably: Bool?, _ fill: (inout RecordBatch) throws(LogError) -> Void
  ) throws(LedgerError) -> (first: Offset, isDurable: Bool) {
    defer { log.handOverLead() }
    do throws(LogError) {
      return try log.commitLeading(durably: durably, fill) { batch, first in
        enter(batch, first)
        onTheirWay.withLock { $0.alone.removeAll() }
      }
    } catch {
      onTheirWay.withLock { $0.alone.removeAll() }
      throw LedgerError(error)
    }
  }

  /// Enters what was stored into the index.
  private func enter(_ batch: borrowing RecordBatch, _ first: Offset) {
    index.withLock { index in
      var offset = first
      batch.forEachRecord { record in
        guard let view = EventView(record, at: offset, kindRule: kindRule) else {
          preconditionFailure("an event was encoded")
        }
        index.add(view)
        offset = offset.next
      }
    }
  }

  // MARK: Together

  // The two differ in how they wait, and in nothing else.

  private func store(
    _ events: [Event], _ onConflict: ConflictPolicy, _ durably: Bool?
  ) throws(LedgerError) -> [Receipt] {
    var receipts: [Receipt] = []
    var isDecided = false
    while !isDecided {
      let submitted = try submit(events, onConflict, durably, byTask: false)
      let outcome = log.outcome(of: submitted.pending)
      isDecided = try finish(submitted, outcome, &receipts)
    }
    return receipts
  }

  private func store(
    _ events: [Event], _ onConflict: ConflictPolicy, _ durably: Bool?
  ) async throws(LedgerError) -> [Receipt] {
    var receipts: [Receipt] = []
    var isDecided = false
    while !isDecided {
      let submitted = try submit(events, onConflict, durably, byTask: true)
      let outcome = await log.outcome(of: submitted.pending)
      isDecided = try finish(submitted, outcome, &receipts)
    }
    return receipts
  }

  private func check(_ events: [Event]) throws(LedgerError) {
    try onLog { () throws(LogError) in try log.checkProcess() }
    for place in events.indices { try check(events[place], place) }
  }

  /// A call whose outcome is awaited.
  private struct Submitted {
    var pending: PendingAppend
    /// nil: an event of the call is on its way already, by another call. Once `pending` is settled, that one is too, and the
    /// call can be decided.
    var plan: Plan?
  }

  /// Decides what is new and queues that, in one step, so that the order of decisions is the order of the log.
  private func submit(
    _ events: [Event], _ onConflict: ConflictPolicy, _ durably: Bool?, byTask isOfTask: Bool
  ) throws(LedgerError) -> Submitted {
    try deciding.withLock { (_) throws(LedgerError) in
      let seed = index.withLock { $0.seed }
      let hashes = events.map { XXH3.hash64($0.id.utf8Span.span.rawBytes, seed: seed) }
      guard !onTheirWay.withLock({ $0.contains(anyOf: hashes) }) else {
        return Submitted(pending: log.submit(RecordBatch(), durably: false, byTask: isOfTask))
      }
      var plan = Plan(count: events.count)
      var batch = RecordBatch()
      spare.withLock { swap(&batch, &$0) }
      for place in events.indices { try decide(events, place, hashes[place], onConflict, &plan, &batch) }
      onTheirWay.withLock { $0.queued.formUnion(hashes) }
      let decided = plan
      // Without new events the batch is empty: a duplicate is as durable as a new event would be.
      let pending = log.submit(batch, durably: durably, byTask: isOfTask) { [self] outcome, batch in
        settle(hashes, batch, outcome)
      }
      return Submitted(pending: pending, plan: decided)
    }
  }

  /// Called in the order of the log by whoever commits, who may hold up everybody else: it takes no lock but those that are
  /// held for moments.
  private func settle(
    _ hashes: [UInt64], _ batch: borrowing RecordBatch, _ outcome: PendingAppend.Outcome
  ) {
    if case .success(let stored) = outcome { enter(batch, stored.lowerBound) }
    // By the one who commits and not by the call, whose thread or task may run much later: those who wait for the ids would
    // ask again and again until then.
    onTheirWay.withLock { $0.queued.subtract(hashes) }
  }

  /// False if the call has to be decided again.
  private func finish(
    _ submitted: Submitted, _ outcome: PendingAppend.Outcome, _ receipts: inout [Receipt]
  ) throws(LedgerError) -> Bool {
    // What made the other call fail need not be in this one's way.
    guard let plan = submitted.plan else { return false }
    var batch = submitted.pending.takeBatch()
    spare.withLock { swap(&batch, &$0) }
    let stored = try onLog { () throws(LogError) in try outcome.get() }
    receipts = plan.receipts(from: stored.lowerBound, durable: log.durableOffset)
    return true
  }

  /// The ledger's own rule and limit, which may be narrower than what the event was built with.
  private func check(_ event: Event, _ place: Int) throws(LedgerError) {
    do throws(EventError) {
      // What follows the dotted rule follows the other, too.
      if event.kindRule != kindRule, kindRule == .dotted {
        try Event.validate(kind: event.kind, rule: kindRule)
      }
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
    _ events: [Event], _ place: Int, _ hash: UInt64, _ onConflict: ConflictPolicy, _ plan: inout Plan,
    _ batch: inout RecordBatch
  ) throws(LedgerError) {
    let event = events[place]
    let id = event.id.utf8Span.span.rawBytes
    var candidate = Offset.zero
    while let offset = index.withLock({ $0.candidate(id: id, after: candidate) }) {
      candidate = offset
      var same: Bool?
      try read(offset) { view in if view.id.isEqual(to: id) { same = view.hasSameContent(as: event) } }
      guard let same else { continue }
      guard same || onConflict == .ignore else { throw conflict(event, offset, place) }
      plan.fates.append(.stored(offset))
      return
    }
    if events.count > 1 {
      for earlier in plan.newPlaces[hash] ?? [] {
        let other = events[earlier]
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
