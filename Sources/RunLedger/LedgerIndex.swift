internal import LogEngine

/// Everything a ledger keeps in memory to find events: rebuilt from the records, never written.
struct LedgerIndex: ~Copyable {
  private(set) var ids = IDIndex()
  private(set) var postings: PostingIndex
  /// Random, so it also tells this index from the one before a reset.
  let seed: UInt64
  /// Rises when events are removed: places in the postings are others then.
  private(set) var removals = 0

  /// A seed that nobody who names events knows, so that nobody can make their hashes meet.
  init(seed: UInt64) {
    self.seed = seed
    postings = PostingIndex(seed: seed)
  }

  /// The offsets at which an event of this id may be; read the record to know.
  func candidates(id: RawSpan) -> [Offset] { ids.candidates(XXH3.hash64(id, seed: seed)) }

  /// Enters an event; offsets must rise.
  mutating func add(_ view: borrowing EventView) {
    add(id: view.id, run: view.runID, kind: view.kind, actor: view.actor, at: view.offset)
    if let session = view.sessionID { postings.add(.session, session, view.offset) }
    if let model = view.modelID { postings.add(.model, model, view.offset) }
  }

  mutating func add(_ event: Event, at offset: Offset) {
    add(
      id: event.id.utf8Span.span.rawBytes, run: event.runID.utf8Span.span.rawBytes,
      kind: event.kind.utf8Span.span.rawBytes, actor: event.actor.utf8Span.span.rawBytes, at: offset)
    if let session = event.sessionID { postings.add(.session, session.utf8Span.span.rawBytes, offset) }
    if let model = event.modelID { postings.add(.model, model.utf8Span.span.rawBytes, offset) }
  }

  private mutating func add(id: RawSpan, run: RawSpan, kind: RawSpan, actor: RawSpan, at offset: Offset) {
    ids.insert(XXH3.hash64(id, seed: seed), offset)
    postings.add(.run, run, offset)
    postings.add(.kind, kind, offset)
    postings.add(.actor, actor, offset)
  }

  /// Forgets the events below an offset, as if the index had been built without them. Cost: all of it is walked through,
  /// and for a moment there are two.
  mutating func removeAll(below start: Offset) {
    ids.removeAll(below: start)
    postings = postings.keepingAll(from: start)
    removals += 1
  }
}
