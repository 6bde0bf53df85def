internal import LogEngine

/// What the index finds events by, besides their ids.
package enum PostingField: UInt8, BitwiseCopyable, Sendable, CaseIterable {
  case run, kind, actor, session, model
}

/// Which offsets a run, kind, actor, session or model has: a dictionary of terms, each with its offsets as deltas of
/// one byte as a rule.
///
/// A term's deltas live in slices of a shared arena: short for a rare term, up to 256 bytes for a frequent one, each
/// ending in the address of the next. Appending never moves what is there, so no append stalls and nothing is doubled.
struct PostingIndex: ~Copyable {
  typealias Field = PostingField

  /// A term's number: terms are numbered by first appearance.
  typealias TermID = Int

  // Not private, as for ``IDIndex/Shard``.
  struct Term {
    var field: Field
    var nameLength: UInt16
    var hash: UInt32
    var name: ByteArena.Address
    var head: ByteArena.Address
    var tail: ByteArena.Address
    /// Bytes used of the tail slice.
    var used: UInt16
    /// Which of `sliceByteCounts` the tail slice has; `none` before the first.
    var level: UInt8
    var count: UInt32
    var first: Offset
    var last: Offset
  }

  private static let sliceByteCounts: InlineArray<6, Int> = [8, 24, 40, 64, 128, 256]
  private static let none = UInt8.max

  private var terms = ChunkedArray<Term>()
  /// Term numbers plus one, by hash, with the hash above them, so that a look at the term is one at the right one.
  private var slots: [UInt64] = Array(repeating: 0, count: 64)
  private var postings = ByteArena()
  private var names = ByteArena()
  /// By field, the number plus one of the term that was added to last: most events follow one of the same run, session and
  /// model.
  private var recent = InlineArray<5, UInt32>(repeating: 0)
  /// The terms that are kinds.
  private var kinds: [UInt32] = []
  let seed: UInt64

  init(seed: UInt64) { self.seed = seed }

  /// Bytes of memory: for the postings and their dictionary, and for the terms' names.
  var byteCounts: (index: Int, names: Int) {
    (
      postings.byteCount + slots.count * 8 + terms.byteCount,
      names.byteCount
    )
  }

  // MARK: Adding

  /// Notes that the record at `offset`, which is above all before it, has this value.
  mutating func add(_ field: Field, _ name: RawSpan, _ offset: Offset) {
    let last = recent[Int(field.rawValue)]
    if last != 0, isTerm(terms[TermID(last - 1)], field, name) {
      return Self.add(offset, to: &terms[TermID(last - 1)], &postings)
    }
    let hash = hash(field, name)
    let id = find(field, name, hash) ?? insert(field, name, hash, offset)
    Self.add(offset, to: &terms[id], &postings)
    recent[Int(field.rawValue)] = UInt32(id + 1)
  }

  func hash(_ field: Field, _ name: RawSpan) -> UInt32 { Self.hash(field, name, seed: seed) }

  static func hash(_ field: Field, _ name: RawSpan, seed: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: XXH3.hash64(name, seed: seed &+ UInt64(field.rawValue)))
  }

  private func find(_ field: Field, _ name: RawSpan, _ hash: UInt32) -> TermID? {
    var place = Int(hash) & (slots.count - 1)
    while true {
      let slot = slots[place]
      if slot == 0 { return nil }
      if slot >> 32 == UInt64(hash) {
        let id = TermID(slot & UInt64(UInt32.max)) - 1
        if isTerm(terms[id], field, name) { return id }
      }
      place = (place + 1) & (slots.count - 1)
    }
  }

  private func isTerm(_ term: Term, _ field: Field, _ name: RawSpan) -> Bool {
    term.field == field && Int(term.nameLength) == name.byteCount
      && names.bytes(at: term.name, count: name.byteCount).isEqual(to: name)
  }

  var termCount: Int { terms.count }

  private mutating func insert(_ field: Field, _ name: RawSpan, _ hash: UInt32, _ offset: Offset) -> TermID {
    if (termCount + 1) * 4 > slots.count * 3 { growSlots() }
    let address = names.allocate(name.byteCount)
    names.store(name, at: address)
    enter(UInt32(termCount), hash)
    if field == .kind { kinds.append(UInt32(termCount)) }
    terms.append(
      Term(
        field: field, nameLength: UInt16(name.byteCount), hash: hash, name: address, head: 0, tail: 0,
        used: 0,
        level: Self.none, count: 0, first: offset, last: offset))
    return termCount - 1
  }

  private mutating func enter(_ id: UInt32, _ hash: UInt32) {
    var place = Int(hash) & (slots.count - 1)
    while slots[place] != 0 { place = (place + 1) & (slots.count - 1) }
    slots[place] = UInt64(hash) << 32 | UInt64(id + 1)
  }

  private mutating func growSlots() {
    slots = Array(repeating: 0, count: slots.count * 2)
    for id in 0..<termCount { enter(UInt32(id), terms[id].hash) }
  }

  private static func add(_ offset: Offset, to term: inout Term, _ postings: inout ByteArena) {
    if term.count > 0 {
      var rest = offset.rawValue - term.last.rawValue
      while rest >= 0x80 {
        append(byte: UInt8(truncatingIfNeeded: rest) | 0x80, to: &term, &postings)
        rest >>= 7
      }
      append(byte: UInt8(rest), to: &term, &postings)
    }
    term.last = offset
    term.count += 1
  }

  private static func append(byte: UInt8, to term: inout Term, _ postings: inout ByteArena) {
    if term.level == none {
      term.level = 0
      term.head = postings.allocate(sliceByteCounts[0])
      term.tail = term.head
      term.used = 0
    } else if Int(term.used) == sliceByteCounts[Int(term.level)] - 4 {
      let level = min(Int(term.level) + 1, sliceByteCounts.count - 1)
      let next = postings.allocate(sliceByteCounts[level])
      postings.store(next, at: term.tail, Int(term.used))
      term.level = UInt8(level)
      term.tail = next
      term.used = 0
    }
    postings.store(byte, at: term.tail, Int(term.used))
    term.used += 1
  }

  // MARK: Reading

  /// A place in a term's postings, from which reading goes on later, also after more were added.
  struct Cursor: Sendable {
    fileprivate let id: TermID
    fileprivate var slice: ByteArena.Address = 0
    fileprivate var level = 0
    fileprivate var used = 0
    fileprivate var read: UInt32 = 0
    fileprivate var last: Offset = 0
  }

  /// nil if no record has this value.
  func cursor(_ field: Field, _ name: RawSpan, _ hash: UInt32) -> Cursor? {
    find(field, name, hash).map { Cursor(id: $0) }
  }

  /// Of all terms that meet a condition.
  func cursors(meeting condition: PostingCondition) -> [Cursor] {
    guard condition.isPrefix else {
      let name = condition.name.utf8Span.span.rawBytes
      return cursor(condition.field, name, hash(condition.field, name)).map { [$0] } ?? []
    }
    // Only kinds are asked for by what they begin with, and there are few of those.
    precondition(condition.field == .kind)
    return kinds.filter { id in
      let term = terms[TermID(id)]
      return condition.holds(names.bytes(at: term.name, count: Int(term.nameLength)))
    }.map { Cursor(id: TermID($0)) }
  }

  /// How many records have this value.
  func count(_ cursor: Cursor) -> Int { Int(terms[cursor.id].count) }

  /// The last offset that has this value.
  func last(_ cursor: Cursor) -> Offset { terms[cursor.id].last }

  /// The next offset in rising order; nil at the end.
  func next(_ cursor: inout Cursor) -> Offset? {
    let term = terms[cursor.id]
    guard cursor.read < term.count else { return nil }
    if cursor.read == 0 {
      cursor.slice = term.head
      cursor.last = term.first
    } else {
      if cursor.read == 1 { cursor.slice = term.head }
      var delta: UInt64 = 0
      var shift: UInt64 = 0
      while true {
        let byte = nextByte(&cursor)
        delta |= UInt64(byte & 0x7F) << shift
        if byte & 0x80 == 0 { break }
        shift += 7
      }
      cursor.last = Offset(cursor.last.rawValue + delta)
    }
    cursor.read += 1
    return cursor.last
  }

  private func nextByte(_ cursor: inout Cursor) -> UInt8 {
    if cursor.used == Self.sliceByteCounts[cursor.level] - 4 {
      cursor.slice = postings.loadAddress(at: cursor.slice, cursor.used)
      cursor.level = min(cursor.level + 1, Self.sliceByteCounts.count - 1)
      cursor.used = 0
    }
    defer { cursor.used += 1 }
    return postings.loadByte(at: cursor.slice, cursor.used)
  }

  /// The values of a field by first appearance.
  func forEachName<E: Error>(of field: Field, _ body: (RawSpan) throws(E) -> Void) throws(E) {
    for id in 0..<termCount {
      let term = terms[id]
      if term.field == field { try body(names.bytes(at: term.name, count: Int(term.nameLength))) }
    }
  }

  // MARK: Sidecars

  /// Calls `body` with each term and its name, by hash, and with what writes its deltas.
  func forEachTerm(_ body: (Encoded, RawSpan, (inout ByteBuffer) -> Void) -> Void) {
    // The same terms give the same bytes, in whatever order they were entered.
    let ids = (0..<termCount).sorted {
      let (left, right) = (terms[$0], terms[$1])
      return (left.hash, left.first, left.field.rawValue) < (right.hash, right.first, right.field.rawValue)
    }
    for id in ids {
      let term = terms[id]
      let encoded = Encoded(
        field: term.field, hash: term.hash, count: term.count, first: term.first, last: term.last)
      body(encoded, names.bytes(at: term.name, count: Int(term.nameLength))) { buffer in
        writeDeltas(of: term, into: &buffer)
      }
    }
  }

  struct Encoded {
    var field: Field
    var hash: UInt32
    var count: UInt32
    var first: Offset
    var last: Offset
  }

  private func writeDeltas(of term: Term, into buffer: inout ByteBuffer) {
    guard term.level != Self.none else { return }
    var slice = term.head
    var level = 0
    while slice != term.tail {
      let count = Self.sliceByteCounts[level] - 4
      buffer.append(postings.bytes(at: slice, count: count))
      slice = postings.loadAddress(at: slice, count)
      level = min(level + 1, Self.sliceByteCounts.count - 1)
    }
    buffer.append(postings.bytes(at: slice, count: Int(term.used)))
  }

  /// Enters a term that this index does not have, from what was encoded. Throws if its deltas do not lead from its first to its
  /// last offset.
  mutating func restore(_ encoded: SealedPart.Term, _ part: SealedPart) throws(UnsoundPart) {
    let (name, deltas) = (try part.name(encoded), try part.postings(encoded))
    let unsound = UnsoundPart(first: part.first)
    guard find(encoded.field, name, encoded.hash) == nil else { throw unsound }
    var place = 0
    var index = UInt64(encoded.firstIndex)
    for _ in 1..<encoded.count {
      guard let delta = Varint.read(deltas, &place), delta > 0, delta <= UInt64(UInt32.max) else {
        throw unsound
      }
      index += delta
    }
    guard place == deltas.byteCount, index == UInt64(encoded.lastIndex) else { throw unsound }
    let first = part.first.advanced(by: UInt64(encoded.firstIndex))
    let id = insert(encoded.field, name, encoded.hash, first)
    for place in 0..<deltas.byteCount {
      Self.append(byte: deltas.loadUInt8(at: place), to: &terms[id], &postings)
    }
    terms[id].count = UInt32(encoded.count)
    terms[id].last = part.first.advanced(by: index)
  }
}
