package import LogEngine

/// Everything a ledger keeps in memory to find events. It is made from the records; what is made for a sealed segment is kept
/// in the segment's sidecar and only mapped.
package struct LedgerIndex: ~Copyable {
  private var ids = IDIndex()
  /// Segments whose ids are not in `ids` yet.
  private var unloaded: [SealedPart] = []
  private var sealed = SealedIndex()
  private var growing: GrowingPart
  /// What was below is gone.
  private(set) var start: Offset = 1
  /// For hashes of ids and terms.
  private(set) var seed: UInt64
  /// How many runs the segment that grows has that no other has.
  private var newRunCount = 0

  /// A seed that nobody who names events knows, so that nobody can make their hashes meet. Sidecars bring their own.
  package init(seed: UInt64) {
    self.seed = seed
    growing = GrowingPart(first: 1, seed: seed)
  }

  // MARK: Adding

  /// Enters an event; offsets must rise.
  package mutating func add(_ view: borrowing EventView) {
    add(view, idHash: XXH3.hash64(view.id, seed: seed))
  }

  mutating func add(_ view: borrowing EventView, idHash: UInt64) {
    let offset = view.offset
    ids.insert(idHash, offset)
    growing.addID(idHash, offset)
    view.forEachPosting { field, name in
      guard growing.postings.add(field, name, offset), field == .run else { return }
      if sealed.term(.run, name, growing.postings.hash(.run, name)) == nil { newRunCount += 1 }
    }
  }

  // MARK: Segments

  package mutating func beginSegment(at first: Offset) {
    if !growing.isEmpty { _ = endSegment() }
    growing = GrowingPart(first: first, seed: seed)
  }

  package mutating func endSegment() -> StoredBytes {
    let bytes = growing.encode(seed: seed)
    guard !growing.isEmpty,
      let part = SealedPart(bytes, first: growing.first, count: growing.count, isInMemory: true)
    else {
      return bytes
    }
    sealed.add(part)
    growing = GrowingPart(first: growing.first.advanced(by: UInt64(growing.count)), seed: seed)
    newRunCount = 0
    return bytes
  }

  package func encodeSegment() -> StoredBytes { growing.encode(seed: seed) }

  package mutating func restoreSegment(_ bytes: StoredBytes, count: Int, isSealed: Bool) -> Bool {
    // What is in a sidecar comes first.
    precondition(growing.isEmpty)
    guard let part = SealedPart(bytes, first: growing.first, count: count, isInMemory: false) else {
      return false
    }
    // The first one decides.
    guard part.seed == seed || (sealed.parts.isEmpty && ids.count == 0) else { return false }
    if isSealed {
      seed = part.seed
      sealed.add(part)
      unloaded.append(part)
      growing = GrowingPart(first: growing.first.advanced(by: UInt64(count)), seed: seed)
      return true
    }
    guard let restored = GrowingPart(part, seed: part.seed) else { return false }
    // Not before: what was begun with the other seed goes on if this is of no use.
    seed = part.seed
    growing = restored
    ids.insert([part])
    newRunCount = 0
    for number in 0..<part.termCount {
      let term = part.term(number)
      if term.field == .run, sealed.term(.run, part.name(term), term.hash) == nil { newRunCount += 1 }
    }
    return true
  }

  mutating func moveSegment(at first: Offset, to bytes: StoredBytes) { sealed.move(partAt: first, to: bytes) }

  /// Segments that end below are gone: all or none of a segment's records are below. The one that grows was begun
  /// behind them, and has no record yet.
  package mutating func removeAll(below offset: Offset) {
    precondition(growing.isEmpty && growing.first >= offset)
    start = max(start, offset)
    unloaded.removeAll { $0.end <= offset }
    sealed.removeAll(below: offset)
    ids.removeAll(below: offset)
  }

  // MARK: Looking up

  /// How many events there are.
  package var count: Int { sealed.idCount + growing.idCount }

  package var runCount: Int { sealed.runCount + newRunCount }

  /// Does no event have an id of one of these hashes?
  mutating func areNew(_ hashes: ArraySlice<UInt64>) -> Bool {
    loadIDs()
    return hashes.allSatisfy { ids.candidate($0, after: .zero) == nil }
  }

  /// The first offset behind `offset` at which an event of this id may be; read the record to know.
  package mutating func candidate(id: RawSpan, after offset: Offset) -> Offset? {
    candidate(idHash: XXH3.hash64(id, seed: seed), after: offset)
  }

  mutating func candidate(idHash: UInt64, after offset: Offset) -> Offset? {
    loadIDs()
    return ids.candidate(idHash, after: offset)
  }

  /// Enters the ids of sidecars, which looking one up needs.
  mutating func loadIDs() {
    guard !unloaded.isEmpty else { return }
    ids.insert(unloaded)
    unloaded = []
  }

  /// The next offsets of a value behind `after`, in order; none at the end. `place` saves looking for it again.
  package func offsets(
    _ field: PostingField, _ name: RawSpan, after: Offset, limit: Int, _ place: inout PostingPlace
  ) -> [Offset] {
    var found: [Offset] = []
    found.reserveCapacity(limit)
    sealed.collect(field, name, growing.postings.hash(field, name), after, limit, &place, &found)
    if place.growing == nil || place.growingFirst != growing.first {
      place.growing = growing.postings.cursor(field, name)
      place.growingFirst = growing.first
    }
    guard var cursor = place.growing else { return found }
    while found.count < limit, let offset = growing.postings.next(&cursor) {
      if offset > after { found.append(offset) }
    }
    place.growing = cursor
    return found
  }

  /// The segments that have a value for each condition and a record in the range.
  func plan(_ conditions: [PostingCondition], in offsets: ClosedRange<Offset>) -> QueryPlan {
    var plan = QueryPlan(sealed: sealed.parts(with: conditions, in: offsets, seed: seed))
    guard !growing.isEmpty, growing.first <= offsets.upperBound else { return plan }
    let cursors = conditions.map { growing.postings.cursors(meeting: $0) }
    if cursors.contains(where: \.isEmpty) { return plan }
    let counts = cursors.map { $0.reduce(0) { $0 + growing.postings.count($1) } }
    plan.growing = PlannedGrowingPart(first: growing.first, cursors: cursors, counts: counts)
    return plan
  }

  /// The next entries of a term, as indexes in the segment; fewer than `limit` at its end. nil if the segment has ended.
  func growingIndexes(
    _ cursor: inout PostingIndex.Cursor, of part: PlannedGrowingPart, limit: Int
  ) -> [UInt32]? {
    guard growing.first == part.first else { return nil }
    var indexes: [UInt32] = []
    while indexes.count < limit, let offset = growing.postings.next(&cursor) {
      indexes.append(UInt32(offset.rawValue - part.first.rawValue))
    }
    return indexes
  }

  /// The values of a field by first appearance.
  package func names(of field: PostingField) -> [String] {
    var names = sealed.names(of: field)
    growing.postings.forEachName(of: field) { name in
      if sealed.term(field, name, growing.postings.hash(field, name)) == nil { names.append(name.text) }
    }
    return names
  }

  /// Bytes of memory: for everything but names, and for names.
  var byteCounts: (index: Int, names: Int) {
    let postings = growing.postings.byteCounts
    return (ids.byteCount + sealed.byteCount + growing.idCount * 8 + postings.index, postings.names)
  }
}

/// Where a walk through a value's postings stopped.
package struct PostingPlace: Sendable {
  /// In which sealed segment, by its first offset, and where its next byte is.
  var part: Offset = .zero
  var byte = 0
  var last: Offset = .zero
  var read = 0
  fileprivate(set) var growing: PostingIndex.Cursor?
  fileprivate(set) var growingFirst: Offset = .zero

  package init() {}
}
