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

  /// What was encoded; nil if the postings are not what their terms say.
  init?(_ part: SealedPart, seed: UInt64) {
    self.init(first: part.first, seed: seed)
    for number in 0..<part.termCount {
      guard postings.restore(part.term(number), part) else { return nil }
    }
    ids.reserveCapacity(part.idCount)
    for number in 0..<part.idCount {
      let id = part.id(number)
      ids.append(UInt64(id.hash) << 32 | (id.offset.rawValue - part.first.rawValue))
    }
    count = part.count
  }

  var isEmpty: Bool { count == 0 }
  var idCount: Int { ids.count }

  mutating func addID(_ hash: UInt64, _ offset: Offset) {
    let index = offset.rawValue - first.rawValue
    ids.append((hash >> 32) << 32 | index)
    count = Int(index) + 1
  }

  /// As ``SealedPart`` reads it.
  func encode(seed: UInt64) -> StoredBytes {
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
    whole.append(seed)
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
