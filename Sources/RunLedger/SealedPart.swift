internal import LogEngine

/// The index of one segment as it is kept in a sidecar: ids sorted by hash, and so the values of each field, with the offsets
/// that have them. FORMAT.md, "Index of events".
///
/// The bytes may be anybody's: whatever they are, reading stays inside them.
struct SealedPart: Sendable {
  static let version: UInt32 = 2
  static let headerByteCount = 64
  static let idByteCount = 8
  static let termByteCount = 32
  /// By their raw values, which are checked once for all terms.
  private static let fields = PostingField.allCases

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

  /// nil if the bytes are no index of a segment with so many records.
  init?(_ stored: StoredBytes, first: Offset, count: Int, isInMemory: Bool) {
    let bytes = stored.bytes
    guard bytes.byteCount >= Self.headerByteCount, bytes.loadUInt32(at: 0) == Self.version,
      bytes.loadUInt64(at: 16) == UInt64(count), let idCount = Int(exactly: bytes.loadUInt64(at: 24)),
      let termCount = Int(exactly: bytes.loadUInt64(at: 32)),
      let names = Int(exactly: bytes.loadUInt64(at: 40)),
      let postings = Int(exactly: bytes.loadUInt64(at: 48)), idCount <= count,
      // A record has one value of a field at most.
      termCount <= PostingField.allCases.count * count,
      // No part is longer than the whole, so that the sum cannot overflow.
      termCount <= bytes.byteCount, names <= bytes.byteCount, postings <= bytes.byteCount
    else { return nil }
    self.first = first
    self.count = count
    self.idCount = idCount
    self.termCount = termCount
    self.bytes = stored
    self.isInMemory = isInMemory
    seed = bytes.loadUInt64(at: 8)
    let termsStart = Self.headerByteCount + idCount * Self.idByteCount
    namesStart = termsStart + termCount * Self.termByteCount
    postingsStart = namesStart + names
    guard postingsStart + postings == bytes.byteCount else { return nil }
    var lastHash: UInt32 = 0
    var (nameBytes, postingBytes) = (0, 0)
    for number in 0..<termCount {
      let place = termsStart + number * Self.termByteCount
      let nameEnd = UInt64(bytes.loadUInt32(at: place + 8)) + UInt64(bytes.loadUInt16(at: place + 2))
      let postingsEnd = UInt64(bytes.loadUInt32(at: place + 12)) + UInt64(bytes.loadUInt32(at: place + 16))
      guard let field = PostingField(rawValue: bytes.loadUInt8(at: place)), nameEnd <= UInt64(names),
        postingsEnd <= UInt64(postings), bytes.loadUInt32(at: place + 20) >= 1,
        bytes.loadUInt32(at: place + 24) <= bytes.loadUInt32(at: place + 28),
        UInt64(bytes.loadUInt32(at: place + 28)) < UInt64(count)
      else { return nil }
      // Were they what somebody likes, they could all meet, and each look-up would pass all others.
      let name = namesStart + Int(bytes.loadUInt32(at: place + 8))
      guard
        PostingIndex.hash(field, bytes.extracting(name..<namesStart + Int(nameEnd)), seed: seed)
          == bytes.loadUInt32(at: place + 4)
      else { return nil }
      guard termHash(number) >= lastHash else { return nil }
      lastHash = termHash(number)
      nameBytes += Int(bytes.loadUInt16(at: place + 2))
      postingBytes += Int(bytes.loadUInt32(at: place + 16))
    }
    // Each has its own: were they shared, few bytes would stand for more entries than there is memory.
    guard nameBytes <= names, postingBytes <= postings else { return nil }
  }

  /// The same bytes in a sidecar.
  mutating func move(to bytes: StoredBytes) {
    // Only the place changes.
    precondition(bytes.count == self.bytes.count)
    self.bytes = bytes
    isInMemory = false
  }

  /// The first 32 bits of an id's hash, and where its event is; in the order of the hashes.
  func id(_ number: Int) -> (hash: UInt32, offset: Offset) {
    let word = bytes.bytes.loadUInt64(at: Self.headerByteCount + number * Self.idByteCount)
    // An index that no record has cannot be found, and is not to be believed either.
    let index = min(word & UInt64(UInt32.max), UInt64(count - 1))
    return (UInt32(word >> 32), first.advanced(by: index))
  }

  /// The first id whose hash is not below this one.
  func firstID(from hash: UInt64) -> Int { Self.first(of: idCount, from: hash) { id($0).hash } }

  /// The first term whose hash is not below this one.
  func firstTerm(from hash: UInt64) -> Int { Self.first(of: termCount, from: hash, termHash) }

  private static func first(of count: Int, from hash: UInt64, _ hashOf: (Int) -> UInt32) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if UInt64(hashOf(middle)) < hash { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func place(ofTerm number: Int) -> Int {
    Self.headerByteCount + idCount * Self.idByteCount + number * Self.termByteCount
  }

  func termHash(_ number: Int) -> UInt32 { bytes.bytes.loadUInt32(at: place(ofTerm: number) + 4) }

  func term(_ number: Int) -> Term {
    let bytes = bytes.bytes
    let place = place(ofTerm: number)
    let name = namesStart + Int(bytes.loadUInt32(at: place + 8))
    let postings = postingsStart + Int(bytes.loadUInt32(at: place + 12))
    return Term(
      field: Self.fields[Int(bytes.loadUInt8(at: place))], hash: bytes.loadUInt32(at: place + 4),
      name: name..<name + Int(bytes.loadUInt16(at: place + 2)),
      postings: postings..<postings + Int(bytes.loadUInt32(at: place + 16)),
      count: Int(bytes.loadUInt32(at: place + 20)), firstIndex: bytes.loadUInt32(at: place + 24),
      lastIndex: bytes.loadUInt32(at: place + 28))
  }

  @_lifetime(borrow self)
  func name(_ term: Term) -> RawSpan { bytes.bytes.extracting(term.name) }

  @_lifetime(borrow self)
  func postings(_ term: Term) -> RawSpan { bytes.bytes.extracting(term.postings) }

  /// Adds where a term's records are in the segment, in rising order.
  func appendIndexes(of term: Term, to indexes: inout [UInt32]) {
    let postings = postings(term)
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
  ) -> Bool {
    if place.part != first || place.last > after || place.read == 0 {
      place.part = first
      place.byte = 0
      place.read = 1
      place.last = first.advanced(by: UInt64(term.firstIndex))
      if place.last > after { found.append(place.last) }
    }
    let postings = postings(term)
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
