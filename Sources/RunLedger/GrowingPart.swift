internal import LogEngine

/// The index of the segment that events are appended to.
struct GrowingPart: ~Copyable {
  let first: Offset
  var postings: PostingIndex
  /// The first 32 bits of each id's hash, and behind them the record's index in the segment.
  private var ids: [UInt64] = []
  /// How many records the segment has, as far as they were added.
  private(set) var count = 0

  init(first: Offset, seed: UInt64) {
    self.first = first
    postings = PostingIndex(seed: seed)
  }

  /// What was encoded; throws if terms are not what they have to be, or the postings not what their terms say.
  init(_ part: SealedPart) throws(UnsoundPart) {
    self.init(first: part.first, seed: part.seed)
    var terms: [SealedPart.Term] = []
    for number in 0..<part.termCount { terms.append(try part.checkedTerm(number)) }
    // Names are listed by first appearance.
    for term in terms.sorted(by: { $0.firstIndex < $1.firstIndex }) { try postings.restore(term, part) }
    ids.reserveCapacity(part.idCount)
    for number in 0..<part.idCount {
      let id = try part.id(number)
      ids.append(UInt64(id.hash) << 32 | (id.offset.rawValue - part.first.rawValue))
    }
    count = part.count
  }

  var isEmpty: Bool { count == 0 }
  var idCount: Int { ids.count }
  var end: Offset { first.advanced(by: UInt64(count)) }

  /// Bytes of memory: for everything but names, and for names.
  var byteCounts: (index: Int, names: Int) {
    let postings = postings.byteCounts
    return (ids.count * 8 + postings.index, postings.names)
  }

  mutating func addID(_ hash: UInt64, _ offset: Offset) {
    let index = offset.rawValue - first.rawValue
    ids.append((hash >> 32) << 32 | index)
    count = Int(index) + 1
  }

  // MARK: Looking up

  /// Adds the offsets of a value behind `after`, in order, until there are `limit`.
  func collect(
    _ field: PostingField, _ name: RawSpan, _ hash: UInt32, _ after: Offset, _ limit: Int,
    _ place: inout PostingPlace, _ found: inout [Offset]
  ) {
    guard found.count < limit, end > after.next else { return }
    if place.cursor == nil || place.unsealed != first {
      // One that lies behind is not to be walked through again for each call.
      guard let cursor = postings.cursor(field, name, hash), postings.last(cursor) > after else { return }
      (place.cursor, place.unsealed) = (cursor, first)
    }
    guard var cursor = place.cursor else { return }
    while found.count < limit, let offset = postings.next(&cursor) {
      if offset > after { found.append(offset) }
    }
    place.cursor = cursor
  }

  /// nil if there can be no event that meets all of these.
  func plan(_ conditions: [PostingCondition], in offsets: ClosedRange<Offset>) -> PlannedGrowingPart? {
    guard !isEmpty, first <= offsets.upperBound, offsets.lowerBound < end else { return nil }
    let cursors = conditions.map { postings.cursors(meeting: $0) }
    if cursors.contains(where: \.isEmpty) { return nil }
    let counts = cursors.map { $0.reduce(0) { $0 + postings.count($1) } }
    return PlannedGrowingPart(first: first, cursors: cursors, counts: counts)
  }

  /// The next entries of a term, as indexes in the segment; fewer than `limit` at its end.
  func indexes(_ cursor: inout PostingIndex.Cursor, limit: Int) -> [UInt32] {
    var indexes: [UInt32] = []
    while indexes.count < limit, let offset = postings.next(&cursor) {
      indexes.append(UInt32(offset.rawValue - first.rawValue))
    }
    return indexes
  }

  // MARK: Sidecars

  /// As ``SealedPart`` reads it.
  func encode() -> StoredBytes {
    var terms = ByteBuffer()
    var names = ByteBuffer()
    var bytes = ByteBuffer()
    postings.forEachTerm { term, name, writePostings in
      let (nameStart, postingsStart) = (names.count, bytes.count)
      names.append(name)
      writePostings(&bytes)
      terms.append(term.field.rawValue)
      terms.append(UInt8(0))
      terms.append(UInt16(name.byteCount))
      terms.append(term.hash)
      terms.append(UInt32(nameStart))
      terms.append(UInt32(postingsStart))
      terms.append(UInt32(bytes.count - postingsStart))
      terms.append(term.count)
      terms.append(UInt32(term.first.rawValue - first.rawValue))
      terms.append(UInt32(term.last.rawValue - first.rawValue))
    }
    var whole = ByteBuffer(
      capacity: SealedPart.headerByteCount + ids.count * 8 + terms.count + names.count + bytes.count)
    whole.append(SealedPart.version)
    whole.append(UInt32(0))
    whole.append(postings.seed)
    whole.append(UInt64(count))
    whole.append(UInt64(ids.count))
    whole.append(UInt64(terms.count / SealedPart.termByteCount))
    whole.append(UInt64(names.count))
    whole.append(UInt64(bytes.count))
    whole.append(UInt64(0))
    // What is below the hash rises already.
    for id in ids.sorted(byBits: 32..<64) { whole.append(id) }
    whole.append(terms.bytes)
    whole.append(names.bytes)
    whole.append(bytes.bytes)
    return StoredBytes(copying: whole.bytes)
  }
}

/// The index of a segment that has ended, as it grew: it is looked up in until its bytes are made, which takes longer than an
/// append may wait.
///
/// `@unchecked Sendable`: nobody changes it.
final class EndedPart: @unchecked Sendable {
  let part: GrowingPart

  init(_ part: consuming GrowingPart) { self.part = part }

  func sealed() -> SealedPart {
    guard let sealed = SealedPart(part.encode(), first: part.first, count: part.count, isInMemory: true)
    else {
      preconditionFailure("an index was encoded that is none")
    }
    return sealed
  }
}
