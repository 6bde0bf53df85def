package import LogEngine

/// Everything a ledger keeps in memory to find events. It is made from the records; what is made for a sealed segment is kept
/// in the segment's sidecar and only mapped.
package struct LedgerIndex: ~Copyable {
  private var ids = IDIndex()
  private var sealed = SealedIndex()
  /// Segments behind those that have ended and have no bytes yet, oldest first.
  private var ended: [EndedPart] = []
  /// The segment that events are added to.
  private var growing: GrowingPart
  /// What was below is gone.
  private(set) var start: Offset = 1
  /// For hashes of ids and terms.
  private(set) var seed: UInt64

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
      growing.postings.add(field, name, offset)
    }
  }

  // MARK: Segments

  /// Takes the seed of a sidecar's bytes. False if they are no index.
  package mutating func prepare(toRestore bytes: StoredBytes) -> Bool {
    precondition(count == 0 && growing.isEmpty)
    guard let seed = SealedPart.seed(of: bytes) else { return false }
    self.seed = seed
    growing = GrowingPart(first: growing.first, seed: seed)
    return true
  }

  package mutating func beginSegment(at first: Offset) {
    endSegment()
    growing = GrowingPart(first: first, seed: seed)
  }

  /// What is added from here on is another segment's. This costs little; ``EndedPart/sealed()`` makes the bytes.
  package mutating func endSegment() {
    guard !growing.isEmpty else { return }
    var part = GrowingPart(first: growing.end, seed: seed)
    swap(&part, &growing)
    ended.append(EndedPart(part))
  }

  /// The oldest segment that has ended and has no bytes yet, if it is none behind `first`.
  func oldestEnded(through first: Offset) -> EndedPart? {
    ended.first.flatMap { $0.part.first <= first ? $0 : nil }
  }

  /// From here on the bytes are looked up in. Nothing is done if the segment was dropped meanwhile.
  mutating func seal(_ part: EndedPart, _ bytes: SealedPart) {
    guard ended.first === part else { return }
    ended.removeFirst()
    sealed.add(bytes)
  }

  package mutating func sealEnded() {
    while let part = ended.first { seal(part, part.sealed()) }
  }

  /// The index of the segment that begins there, unless it has ended and not been sealed.
  package func bytes(ofSegmentAt first: Offset) -> StoredBytes? {
    if growing.first == first { return growing.isEmpty ? nil : growing.encode() }
    return part(at: first)?.bytes
  }

  package mutating func restoreSegment(_ bytes: StoredBytes, count: Int, isSealed: Bool) -> Bool {
    // What is in a sidecar comes first.
    precondition(growing.isEmpty)
    sealEnded()
    guard let part = SealedPart(bytes, first: growing.first, count: count, isInMemory: false),
      part.seed == seed
    else { return false }
    do throws(UnsoundPart) {
      let following = isSealed ? GrowingPart(first: part.end, seed: seed) : try GrowingPart(part)
      try ids.insert(part)
      growing = following
    } catch {
      return false
    }
    if isSealed { sealed.add(part) }
    return true
  }

  /// The index of the sealed segment that begins there.
  func part(at first: Offset) -> SealedPart? { sealed.parts.first { $0.first == first } }

  /// Takes an index that was made of a segment's records in the place of one that is unsound; nil if it has none any more. What is
  /// below `start` is gone, though ``removeAll(below:)`` may still be to come.
  mutating func replace(_ unsound: SealedPart, with part: SealedPart?, start: Offset) {
    self.start = max(self.start, start)
    sealed.replace(unsound, with: part)
    ids.replace(unsound, with: part)
  }

  mutating func moveSegment(at first: Offset, to bytes: StoredBytes) { sealed.move(partAt: first, to: bytes) }

  /// Segments that end below are gone: all or none of a segment's records are below. The one that grows was begun
  /// behind them, and has no record yet.
  package mutating func removeAll(below offset: Offset) {
    precondition(growing.isEmpty && growing.first >= offset)
    start = max(start, offset)
    sealed.removeAll(below: offset)
    ended.removeAll { $0.part.end <= offset }
    ids.removeAll(below: offset)
  }

  mutating func catchUp(_ shard: Int) throws(UnsoundPart) { try sealed.catchUp(shard) }

  // MARK: Looking up

  /// How many events there are.
  package var count: Int { ended.reduce(sealed.idCount + growing.idCount) { $0 + $1.part.idCount } }

  package var runCount: Int {
    mutating get throws(UnsoundPart) {
      var count = try sealed.runCount
      try forEachNewName(of: .run) { _ in count += 1 }
      return count
    }
  }

  /// Does no event have an id of one of these hashes?
  mutating func areNew(_ hashes: ArraySlice<UInt64>) throws(UnsoundPart) -> Bool {
    for hash in hashes where try ids.candidate(hash, after: .zero) != nil { return false }
    return true
  }

  /// The first offset behind `offset` at which an event of this id may be; read the record to know.
  package mutating func candidate(id: RawSpan, after offset: Offset) throws(UnsoundPart) -> Offset? {
    try candidate(idHash: XXH3.hash64(id, seed: seed), after: offset)
  }

  mutating func candidate(idHash: UInt64, after offset: Offset) throws(UnsoundPart) -> Offset? {
    try ids.candidate(idHash, after: offset)
  }

  /// The next offsets of a value behind `after`, in order; none at the end. `place` saves looking for it again.
  package mutating func offsets(
    _ field: PostingField, _ name: RawSpan, after: Offset, limit: Int, _ place: inout PostingPlace
  ) throws(UnsoundPart) -> [Offset] {
    var found: [Offset] = []
    found.reserveCapacity(limit)
    // It stays where it is if nothing is found.
    var reached = place
    let hash = growing.postings.hash(field, name)
    try sealed.collect(field, name, hash, after, limit, &reached, &found)
    for ended in ended { ended.part.collect(field, name, hash, after, limit, &reached, &found) }
    growing.collect(field, name, hash, after, limit, &reached, &found)
    place = reached
    return found
  }

  /// The segments that have a value for each condition and a record in the range.
  mutating func plan(
    _ conditions: [PostingCondition], in offsets: ClosedRange<Offset>
  ) throws(UnsoundPart) -> QueryPlan {
    var plan = QueryPlan(sealed: try sealed.parts(with: conditions, in: offsets, seed: seed))
    for ended in ended { ended.part.plan(conditions, in: offsets).map { plan.unsealed.append($0) } }
    growing.plan(conditions, in: offsets).map { plan.unsealed.append($0) }
    return plan
  }

  /// The next entries of a term, as indexes in the segment; fewer than `limit` at its end. nil if the segment is sealed by now,
  /// or gone.
  func unsealedIndexes(
    _ cursor: inout PostingIndex.Cursor, of part: PlannedGrowingPart, limit: Int
  ) -> [UInt32]? {
    if growing.first == part.first { return growing.indexes(&cursor, limit: limit) }
    return ended.first { $0.part.first == part.first }?.part.indexes(&cursor, limit: limit)
  }

  /// The values of a field by first appearance.
  package mutating func names(of field: PostingField) throws(UnsoundPart) -> [String] {
    var names = try sealed.names(of: field)
    try forEachNewName(of: field) { names.append($0.text) }
    return names
  }

  /// The values that no sealed segment has, by first appearance.
  private func forEachNewName(
    of field: PostingField, _ body: (RawSpan) -> Void
  ) throws(UnsoundPart) {
    for place in ended.indices {
      try ended[place].part.postings.forEachName(of: field) { (name) throws(UnsoundPart) in
        if try isNew(field, name, before: place) { body(name) }
      }
    }
    try growing.postings.forEachName(of: field) { (name) throws(UnsoundPart) in
      if try isNew(field, name, before: ended.count) { body(name) }
    }
  }

  /// Has no sealed segment this value, nor one of so many that have ended?
  private func isNew(
    _ field: PostingField, _ name: RawSpan, before place: Int
  ) throws(UnsoundPart) -> Bool {
    let hash = growing.postings.hash(field, name)
    if try sealed.contains(field, name, hash) { return false }
    for ended in ended.prefix(place) where ended.part.postings.cursor(field, name, hash) != nil {
      return false
    }
    return true
  }

  /// Bytes of memory: for everything but names, and for names.
  var byteCounts: (index: Int, names: Int) {
    var sum = growing.byteCounts
    for ended in ended {
      let more = ended.part.byteCounts
      sum = (sum.index + more.index, sum.names + more.names)
    }
    return (ids.byteCount + sealed.byteCount + sum.index, sum.names)
  }
}

/// Where a walk through a value's postings stopped.
package struct PostingPlace: Sendable {
  /// In which sealed segment, by its first offset, and where its next byte is.
  var part: Offset = .zero
  var byte = 0
  var last: Offset = .zero
  var read = 0
  /// The same in a segment that is not sealed.
  var unsealed: Offset = .zero
  var cursor: PostingIndex.Cursor?

  package init() {}
}
