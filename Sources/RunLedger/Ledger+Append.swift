internal import LogEngine
internal import PlatformIO
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
    var draft = try draft(of: event)
    if let stored = try storeAlone(&draft, durably) {
      recycle(draft)
      return Receipt(outcome: .appended, offset: stored.first, durability: stored.durability)
    }
    return try store([event], draft, onConflict, durably)[0]
  }

  /// Stores events in order, all or none, and says of each what became of it.
  ///
  /// Repeats, also within the call, are stored once. If any event breaks a rule or conflicts, nothing is stored. After a
  /// crash all new events of the call are there or none. A call takes 1 GiB of encoded events, repeats included; more is
  /// `batchTooLarge`, in `log`. Otherwise as `append`.
  @discardableResult
  public func extend(
    _ events: some Collection<Event>, onConflict: ConflictPolicy = .error, durably: Bool? = nil
  ) throws(LedgerError) -> [Receipt] {
    // An array, because a lazy collection may make other events each time it is walked through.
    let events = Array(events)
    var draft = try draft(of: events)
    if !events.isEmpty, let stored = try storeAlone(&draft, durably) {
      recycle(draft)
      return (0..<UInt64(events.count)).map {
        Receipt(outcome: .appended, offset: stored.first.advanced(by: $0), durability: stored.durability)
      }
    }
    return try store(events, draft, onConflict, durably)
  }

  /// As the blocking `append`, for tasks: it suspends while the disk writes and syncs what it and others have stored.
  ///
  /// What it does before, it does on the task's thread: it reads what is stored under the event's id, if anything is, and
  /// waits for calls that do the same, and for a `reset` or a `trim` that is under way.
  @discardableResult
  public func append(
    _ event: Event, onConflict: ConflictPolicy = .error, durably: Bool? = nil
  ) async throws(LedgerError) -> Receipt {
    try await store([event], try draft(of: event), onConflict, durably)[0]
  }

  /// As the blocking `extend`, for tasks.
  @discardableResult
  public func extend(
    _ events: some Collection<Event>, onConflict: ConflictPolicy = .error, durably: Bool? = nil
  ) async throws(LedgerError) -> [Receipt] {
    let events = Array(events)
    return try await store(events, try draft(of: events), onConflict, durably)
  }

  // MARK: Drafts

  private func draft(of event: Event) throws(LedgerError) -> Draft {
    var draft = try emptyDraft()
    try add(event, 0, to: &draft)
    return draft
  }

  private func draft(of events: [Event]) throws(LedgerError) -> Draft {
    var draft = try emptyDraft()
    // Each in its place: taken out of the array, an event is copied, and that costs a fourteenth of an append.
    let events = events.span
    for place in events.indices { try add(events[place], place, to: &draft) }
    return draft
  }

  /// Also the first thing that an append does, so that a forked child waits for no lock.
  private func emptyDraft() throws(LedgerError) -> Draft {
    try onLog { () throws(LogError) in try log.checkProcess() }
    var draft = Draft()
    // Memory is not worth waiting for.
    _ = spare.withLockIfAvailable { swap(&draft, &$0) }
    return draft
  }

  /// Keeps the memory of a draft for the next one.
  func recycle(_ draft: consuming Draft) {
    draft.removeAll()
    _ = spare.withLockIfAvailable { swap(&draft, &$0) }
  }

  private func add(_ event: Event, _ place: Int, to draft: inout Draft) throws(LedgerError) {
    try check(event, place)
    do throws(LogError) {
      try draft.add(event, seed: idSeed)
    } catch {
      throw LedgerError(error)
    }
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

  // MARK: Alone

  /// What an append does as a rule: nobody else is committing, all its ids are new, and its records are written at once. nil
  /// if it is not so; then nothing was done.
  private func storeAlone(
    _ draft: inout Draft, _ durably: Bool?
  ) throws(LedgerError) -> (first: Offset, durability: Receipt.Durability)? {
    guard try lead(draft.hashes) else { return nil }
    defer { log.handOverLead() }
    let hashes = draft.hashes
    do throws(LogError) {
      let stored = try log.commitLeading(&draft.batch, durably: durably) { batch, first in
        enter(batch, first, hashes)
      }
      onTheirWay.withLock { $0.alone.removeAll() }
      return (stored.first, stored.isDurable ? .durable : .buffered)
    } catch {
      onTheirWay.withLock { $0.alone.removeAll() }
      throw LedgerError(error)
    }
  }

  /// Takes the log's lead if nobody has it and no event has one of these ids, nor two of them the same, and notes them.
  private func lead(_ hashes: [UInt64]) throws(LedgerError) -> Bool {
    try deciding.withLock { () throws(LedgerError) in
      // With the lead all calls are settled, and what the index does not have is not there.
      guard log.takeLead() else { return false }
      var leads = false
      defer { if !leads { log.handOverLead() } }
      leads = try areNew(hashes) && onTheirWay.withLock { $0.alone.insert(hashes) }
      return leads
    }
  }

  private func areNew(_ hashes: [UInt64]) throws(LedgerError) -> Bool {
    // Some at a time: the memory brings what they need at once, and readers do not wait for all of them.
    var next = 0
    while next < hashes.count {
      let end = min(next + 16, hashes.count)
      let areNew = try inIndex { (index) throws(UnsoundPart) in try index.areNew(hashes[next..<end]) }
      guard areNew else { return false }
      next = end
    }
    return true
  }

  /// Enters what was stored into the index, with the hashes of the ids.
  func enter(_ batch: borrowing RecordBatch, _ first: Offset, _ hashes: [UInt64]) {
    index.withLock { index in
      var place = 0
      batch.forEachRecord { record in
        guard
          let view = EventView(record, at: first.advanced(by: UInt64(place)), kindRule: kindRule)
        else {
          preconditionFailure("an event was encoded")
        }
        index.add(view, idHash: hashes[place])
        place += 1
      }
    }
  }
}
