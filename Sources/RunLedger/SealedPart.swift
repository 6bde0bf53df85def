package import LogEngine

/// The bytes of a segment's index are not what was written, or no index: its records have to be read.
package struct UnsoundPart: Error {
  /// Of the segment.
  package let first: Offset
}

/// The index of one segment as it is kept in a sidecar: ids sorted by hash, and so the values of each field, with the offsets
/// that have them. FORMAT.md, "Index of events".
///
/// The bytes may be anybody's, and are looked at when something is asked for: whatever they are, reading stays inside them.
struct SealedPart: Sendable {
  static let version: UInt32 = 2
  static let headerByteCount = 64
  static let idByteCount = 8
  static let termByteCount = 32

  let first: Offset
  /// How many records the segment has.
  let count: Int
  let seed: UInt64
  let idCount: Int
  let termCount: Int
  private(set) var bytes: StoredBytes
  /// Not mapped from a sidecar yet.
  private(set) var isInMemory: Bool
  private let namesStart: Int
  private let postingsStart: Int

  var end: Offset { first.advanced(by: UInt64(count)) }

  struct Term {
    var field: PostingField
    var hash: UInt32
    var name: Range<Int>
    var postings: Range<Int>
    var count: Int
    var firstIndex: UInt32
    var lastIndex: UInt32
  }

  /// nil if the bytes are no index's, of this version.
  static func seed(of bytes: StoredBytes) -> UInt64? {
    guard bytes.count >= headerByteCount, let header = bytes.sound(0..<headerByteCount),
      header.loadUInt32(at: 0) == version
    else { return nil }
    return header.loadUInt64(at: 8)
  }

  /// nil if the bytes do not begin as an index of a segment with so many records does.
  init?(_ bytes: StoredBytes, first: Offset, count: Int, isInMemory: Bool) {
    guard bytes.count >= Self.headerByteCount, let header = bytes.sound(0..<Self.headerByteCount),
      header.loadUInt32(at: 0) == Self.version,
      header.loadUInt64(at: 16) == UInt64(count), let idCount = Int(exactly: header.loadUInt64(at: 24)),
      let termCount = Int(exactly: header.loadUInt64(at: 32)),
      let names = Int(exactly: header.loadUInt64(at: 40)),
      let postings = Int(exactly: header.loadUInt64(at: 48)), idCount <= count,
      // A record has one value of a field at most.
      termCount <= PostingField.allCases.count * count,
      // No part is longer than the whole, so that the sum cannot overflow.
      termCount <= bytes.count, names <= bytes.count, postings <= bytes.count
    else { return nil }
    self.first = first
    self.count = count
    self.idCount = idCount
    self.termCount = termCount
    self.bytes = bytes
    self.isInMemory = isInMemory
    seed = header.loadUInt64(at: 8)
    namesStart = Self.headerByteCount + idCount * Self.idByteCount + termCount * Self.termByteCount
    postingsStart = namesStart + names
    guard postingsStart + postings == bytes.count else { return nil }
  }

  /// The same bytes in a sidecar.
  mutating func move(to bytes: StoredBytes) {
    // Only the place changes.
    precondition(bytes.count == self.bytes.count)
    self.bytes = bytes
    isInMemory = false
  }

  @_lifetime(borrow self)
  private func sound(_ range: Range<Int>) throws(UnsoundPart) -> RawSpan {
    guard let bytes = bytes.sound(range) else { throw UnsoundPart(first: first) }
    return bytes
  }

  // MARK: Ids

  /// The first 32 bits of an id's hash, and where its event is; in the order of the hashes.
  func id(_ number: Int) throws(UnsoundPart) -> (hash: UInt32, offset: Offset) {
    let place = Self.headerByteCount + number * Self.idByteCount
    let word = try sound(place..<place + Self.idByteCount).loadUInt64(at: 0)
    // An index that no record has cannot be found, and is not to be believed either.
    let index = min(word & UInt64(UInt32.max), UInt64(count - 1))
    return (UInt32(word >> 32), first.advanced(by: index))
  }

  /// The first id whose hash is not below this one.
  func firstID(from hash: UInt64) throws(UnsoundPart) -> Int {
    try Self.first(of: idCount, from: hash) { (number) throws(UnsoundPart) in try id(number).hash }
  }

  /// The first of so many rising hashes that is not below this one. They are spread evenly, so it is looked for from where it
  /// should be, which needs few of the blocks.
  private static func first(
    of count: Int, from hash: UInt64, _ hashOf: (Int) throws(UnsoundPart) -> UInt32
  ) throws(UnsoundPart) -> Int {
    // Those before `low` are below, those from `high` on are not.
    var (low, high, step) = (0, count, 16)
    var place = min(Int(UInt64(count) * hash >> 32), count - 1)
    while low < high {
      if UInt64(try hashOf(place)) < hash {
        low = place + 1
        place += step
      } else {
        high = place
        place -= step
      }
      step = min(step * 2, count)
      if place < low || place >= high { place = (low + high) / 2 }
    }
    return low
  }

  // MARK: Terms

  private func place(ofTerm number: Int) -> Int {
    Self.headerByteCount + idCount * Self.idByteCount + number * Self.termByteCount
  }

  /// The first term whose hash is not below this one.
  func firstTerm(from hash: UInt64) throws(UnsoundPart) -> Int {
    try Self.first(of: termCount, from: hash) { (number) throws(UnsoundPart) in try termHash(number) }
  }

  func termHash(_ number: Int) throws(UnsoundPart) -> UInt32 {
    let place = place(ofTerm: number)
    return try sound(place + 4..<place + 8).loadUInt32(at: 0)
  }

  /// A term, as it stands there.
  func term(_ number: Int) throws(UnsoundPart) -> Term {
    let place = place(ofTerm: number)
    let bytes = try sound(place..<place + Self.termByteCount)
    let name = namesStart + Int(bytes.loadUInt32(at: 8))
    let postings = postingsStart + Int(bytes.loadUInt32(at: 12))
    guard let field = PostingField(rawValue: bytes.loadUInt8(at: 0)) else { throw UnsoundPart(first: first) }
    let term = Term(
      field: field, hash: bytes.loadUInt32(at: 4), name: name..<name + Int(bytes.loadUInt16(at: 2)),
      postings: postings..<postings + Int(bytes.loadUInt32(at: 16)),
      count: Int(bytes.loadUInt32(at: 20)), firstIndex: bytes.loadUInt32(at: 24),
      lastIndex: bytes.loadUInt32(at: 28))
    guard term.name.upperBound <= postingsStart, term.postings.upperBound <= self.bytes.count,
      term.count >= 1,
      term.firstIndex <= term.lastIndex, Int(term.lastIndex) < count
    else { throw UnsoundPart(first: first) }
    return term
  }

  /// A term that is what FORMAT.md says it has to be, beside the one before it.
  func checkedTerm(_ number: Int) throws(UnsoundPart) -> Term {
    let term = try term(number)
    // Each has its own bytes: were they shared, few would stand for more entries than there is memory.
    var (nameStart, postings, hash) = (namesStart, postingsStart, UInt32.min)
    if number > 0 {
      let before = try self.term(number - 1)
      (nameStart, postings, hash) = (before.name.upperBound, before.postings.upperBound, before.hash)
    }
    guard term.name.lowerBound == nameStart, term.postings.lowerBound == postings, term.hash >= hash,
      // Were hashes what somebody likes, they could all meet, and each look-up would pass all others.
      PostingIndex.hash(term.field, try name(term), seed: seed) == term.hash
    else { throw UnsoundPart(first: first) }
    return term
  }

  @_lifetime(borrow self)
  func name(_ term: Term) throws(UnsoundPart) -> RawSpan { try sound(term.name) }

  @_lifetime(borrow self)
  func postings(_ term: Term) throws(UnsoundPart) -> RawSpan { try sound(term.postings) }

  /// Adds where a term's records are in the segment, in rising order.
  func appendIndexes(of term: Term, to indexes: inout [UInt32]) throws(UnsoundPart) {
    let postings = try postings(term)
    var index = UInt64(term.firstIndex)
    var byte = 0
    indexes.append(UInt32(index))
    for _ in 1..<max(1, term.count) {
      guard let delta = Varint.read(postings, &byte), delta > 0, delta <= UInt64(term.lastIndex) else {
        return
      }
      index += delta
      // Beyond the last is no index of this term.
      guard index <= UInt64(term.lastIndex) else { return }
      indexes.append(UInt32(index))
    }
  }

  /// Adds the offsets of a term behind `after` to `found`, until there are `limit`. False once they are.
  func collect(
    _ term: Term, after: Offset, limit: Int, _ place: inout PostingPlace, _ found: inout [Offset]
  ) throws(UnsoundPart) -> Bool {
    let postings = try postings(term)
    if place.part != first || place.last > after || place.read == 0 {
      place.part = first
      place.byte = 0
      place.read = 1
      place.last = first.advanced(by: UInt64(term.firstIndex))
      if place.last > after { found.append(place.last) }
    }
    while found.count < limit {
      guard place.read < term.count,
        let delta = Varint.read(postings, &place.byte), delta <= UInt64(UInt32.max)
      else { return true }
      place.read += 1
      place.last = place.last.advanced(by: delta)
      // Beyond the last is no index of this term.
      guard place.last.rawValue - first.rawValue <= UInt64(term.lastIndex) else {
        place.read = term.count
        return true
      }
      if place.last > after { found.append(place.last) }
    }
    return false
  }
}

/// Unsigned numbers in seven bits a byte, the lowest first.
enum Varint {
  /// nil if none ends within the bytes.
  static func read(_ bytes: RawSpan, _ place: inout Int) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while place < bytes.byteCount, shift < 63 {
      let byte = bytes.loadUInt8(at: place)
      place += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    return nil
  }
}
