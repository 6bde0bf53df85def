internal import LogEngine

/// The indexes of all segments that do not grow any more, and one dictionary over them: which segments have a value.
///
/// The dictionary is made a shard at a time, and as far as it is behind, once a value in that shard is asked for: neither who
/// opens a ledger waits for all of it, nor who appends when a segment is sealed or old ones are dropped. Who needs all of it brings
/// it up to date beforehand, without holding up others: ``EventIndex/catchUp()``.
struct SealedIndex: ~Copyable {
  private static let shardBits: UInt32 = 8
  static let shardCount = 1 << Int(shardBits)

  private(set) var parts: [SealedPart] = []
  private(set) var idCount = 0
  private var termCount = 0
  private var shards = FixedArray(count: shardCount) { _ in Shard() }

  // MARK: Parts

  /// Takes the index of the next segment.
  mutating func add(_ part: SealedPart) {
    parts.append(part)
    idCount += part.idCount
    termCount += part.termCount
  }

  mutating func move(partAt first: Offset, to bytes: StoredBytes) {
    guard let place = parts.firstIndex(where: { $0.first == first }) else { return }
    parts[place].move(to: bytes)
  }

  mutating func removeAll(below offset: Offset) {
    guard let first = parts.first, first.first < offset else { return }
    change { $0.removeFirst($0.prefix { $0.end <= offset }.count) }
  }

  /// Takes a part that was made of the records in the place of one that is unsound; nil if there are none.
  mutating func replace(_ unsound: SealedPart, with part: SealedPart?) {
    guard let place = parts.firstIndex(where: { $0.first == unsound.first }) else { return }
    change { $0.replaceSubrange(place...place, with: part.map { [$0] } ?? []) }
  }

  /// The shards know parts and terms by their numbers.
  private mutating func change(_ body: (inout [SealedPart]) -> Void) {
    body(&parts)
    idCount = parts.reduce(0) { $0 + $1.idCount }
    termCount = parts.reduce(0) { $0 + $1.termCount }
    for shard in shards.indices { shards[shard] = Shard() }
  }

  var byteCount: Int {
    var sum = parts.capacity * MemoryLayout<SealedPart>.stride + shards.count * MemoryLayout<Shard>.stride
    for shard in shards.indices { sum += shards[shard].byteCount }
    for part in parts where part.isInMemory { sum += part.bytes.count }
    return sum
  }

  // MARK: Shards

  private func shard(of hash: UInt32) -> Int { Int(hash >> (32 - Self.shardBits)) }

  mutating func catchUp(_ shard: Int) throws(UnsoundPart) {
    if shards[shard].partCount < parts.count { try enter(shard) }
  }

  /// From here on every value can be found.
  mutating func catchUp() throws(UnsoundPart) {
    for shard in shards.indices { try catchUp(shard) }
    // Terms that stand out of order are in no shard, and those behind them are not what they have to be.
    let entered = shards.indices.reduce(0) { $0 + shards[$1].entries.count }
    if entered != termCount { throw unsoundPart() }
  }

  /// The first part of which not all terms were entered.
  @inline(never)
  private func unsoundPart() -> UnsoundPart {
    var entered = Array(repeating: 0, count: parts.count)
    for shard in shards.indices {
      for entry in shards[shard].entries { entered[Int(entry.part)] += 1 }
    }
    guard let place = parts.indices.first(where: { entered[$0] != parts[$0].termCount }) else {
      preconditionFailure("the sums differ")
    }
    return UnsoundPart(first: parts[place].first)
  }

  @inline(never)
  private mutating func enter(_ shard: Int) throws(UnsoundPart) {
    let start = UInt64(shard) << (32 - UInt64(Self.shardBits))
    let hashes = start..<start + 1 << (32 - UInt64(Self.shardBits))
    do throws(UnsoundPart) {
      for number in shards[shard].partCount..<parts.count {
        let part = parts[number]
        var term = try part.firstTerm(from: hashes.lowerBound)
        while term < part.termCount, hashes.contains(UInt64(try part.termHash(term))) {
          try shards[shard].enter(UInt32(number), UInt32(term), parts)
          term += 1
        }
      }
    } catch {
      // What was entered of the part would be entered again.
      shards[shard] = Shard()
      throw error
    }
    shards[shard].partCount = parts.count
  }

  /// A value: one of all segments.
  struct Value {
    var field: PostingField
    var hash: UInt32
    /// Its first and its last entry.
    var head: UInt32
    var tail: UInt32
  }

  /// A value in one segment.
  struct Entry {
    var part: UInt32
    var term: UInt32
    /// The value's entry in the next segment that has it; `none` at the end.
    var next: UInt32

    static let none = UInt32.max
  }

  // Not private, as for ``IDIndex/Shard``.
  struct Shard {
    /// So many of the parts are entered.
    var partCount = 0
    private(set) var values: [Value] = []
    private(set) var entries: [Entry] = []
    /// Value numbers plus one, by hash, with the hash above them.
    private var slots: [UInt64] = []
    /// The values that are kinds, and how many are runs.
    private(set) var kinds: [UInt32] = []
    private(set) var runCount = 0

    var byteCount: Int {
      values.capacity * MemoryLayout<Value>.stride + entries.capacity * MemoryLayout<Entry>.stride
        + slots.capacity * 8
    }

    mutating func enter(
      _ partNumber: UInt32, _ termNumber: UInt32, _ parts: [SealedPart]
    ) throws(UnsoundPart) {
      let part = parts[Int(partNumber)]
      let term = try part.checkedTerm(Int(termNumber))
      let entry = UInt32(entries.count)
      entries.append(Entry(part: partNumber, term: termNumber, next: Entry.none))
      if let value = try find(term.field, try part.name(term), term.hash, parts) {
        entries[Int(values[value].tail)].next = entry
        values[value].tail = entry
        return
      }
      if (values.count + 1) * 4 > slots.count * 3 { growSlots() }
      if term.field == .run { runCount += 1 }
      if term.field == .kind { kinds.append(UInt32(values.count)) }
      values.append(Value(field: term.field, hash: term.hash, head: entry, tail: entry))
      enterSlot(UInt32(values.count), term.hash)
    }

    private mutating func growSlots() {
      slots = Array(repeating: 0, count: max(16, slots.count * 2))
      for (number, value) in values.enumerated() { enterSlot(UInt32(number + 1), value.hash) }
    }

    private mutating func enterSlot(_ slot: UInt32, _ hash: UInt32) {
      var place = Int(hash) & (slots.count - 1)
      while slots[place] != 0 { place = (place + 1) & (slots.count - 1) }
      slots[place] = UInt64(hash) << 32 | UInt64(slot)
    }

    /// The number of a value; nil if no segment has it.
    func find(
      _ field: PostingField, _ name: RawSpan, _ hash: UInt32, _ parts: [SealedPart]
    ) throws(UnsoundPart) -> Int? {
      guard !slots.isEmpty else { return nil }
      var place = Int(hash) & (slots.count - 1)
      while slots[place] != 0 {
        let slot = slots[place]
        if slot >> 32 == UInt64(hash) {
          let number = Int(slot & UInt64(UInt32.max)) - 1
          if values[number].field == field, try isNamed(number, name, parts) { return number }
        }
        place = (place + 1) & (slots.count - 1)
      }
      return nil
    }

    private func isNamed(
      _ number: Int, _ name: RawSpan, _ parts: [SealedPart]
    ) throws(UnsoundPart) -> Bool {
      let entry = entries[Int(values[number].head)]
      let part = parts[Int(entry.part)]
      return try part.name(try part.term(Int(entry.term))).isEqual(to: name)
    }
  }

  // MARK: Values

  /// Of the segments so far that its shard has caught up with; see ``catchUp()``.
  func contains(_ field: PostingField, _ name: RawSpan, _ hash: UInt32) throws(UnsoundPart) -> Bool {
    try shards[shard(of: hash)].find(field, name, hash, parts) != nil
  }

  var runCount: Int {
    mutating get throws(UnsoundPart) {
      try catchUp()
      return shards.indices.reduce(0) { $0 + shards[$1].runCount }
    }
  }

  /// By first appearance.
  mutating func names(of field: PostingField) throws(UnsoundPart) -> [String] {
    try catchUp()
    var found: [(first: Offset, name: String)] = []
    for shard in shards.indices {
      for value in shards[shard].values where value.field == field {
        let entry = shards[shard].entries[Int(value.head)]
        let part = parts[Int(entry.part)]
        let term = try part.term(Int(entry.term))
        found.append((part.first.advanced(by: UInt64(term.firstIndex)), try part.name(term).text))
      }
    }
    return found.sorted { $0.first < $1.first }.map(\.name)
  }

  /// The parts that have a value for each condition and a record in the range, oldest first.
  mutating func parts(
    with conditions: [PostingCondition], in offsets: ClosedRange<Offset>, seed: UInt64
  ) throws(UnsoundPart) -> [PlannedPart] {
    var terms = parts.map { _ in [[Int]]() }
    for (place, condition) in conditions.enumerated() {
      for (shard, number) in try values(meeting: condition, seed) {
        var next = shards[shard].values[number].head
        while next != Entry.none {
          let entry = shards[shard].entries[Int(next)]
          let part = Int(entry.part)
          next = entry.next
          // One that lacks a condition before needs none.
          if terms[part].count < place { continue }
          if terms[part].count == place { terms[part].append([]) }
          terms[part][place].append(Int(entry.term))
        }
      }
    }
    var planned: [PlannedPart] = []
    for (part, terms) in zip(parts, terms)
    where terms.count == conditions.count && part.first <= offsets.upperBound && offsets.lowerBound < part.end
    {
      planned.append(try PlannedPart(part, terms))
    }
    return planned
  }

  private mutating func values(
    meeting condition: PostingCondition, _ seed: UInt64
  ) throws(UnsoundPart) -> [(shard: Int, number: Int)] {
    guard condition.isPrefix else {
      let name = condition.name.utf8Span.span.rawBytes
      let hash = PostingIndex.hash(condition.field, name, seed: seed)
      let shard = shard(of: hash)
      try catchUp(shard)
      return try shards[shard].find(condition.field, name, hash, parts).map { [(shard, $0)] } ?? []
    }
    // Only kinds are asked for by what they begin with, and there are few of those.
    precondition(condition.field == .kind)
    try catchUp()
    var found: [(shard: Int, number: Int)] = []
    for shard in shards.indices {
      for number in shards[shard].kinds {
        let entry = shards[shard].entries[Int(shards[shard].values[Int(number)].head)]
        let part = parts[Int(entry.part)]
        if condition.holds(try part.name(try part.term(Int(entry.term)))) {
          found.append((shard, Int(number)))
        }
      }
    }
    return found
  }

  /// Adds the offsets of a value behind `after`, in order, until there are `limit`.
  mutating func collect(
    _ field: PostingField, _ name: RawSpan, _ hash: UInt32, _ after: Offset, _ limit: Int,
    _ place: inout PostingPlace, _ found: inout [Offset]
  ) throws(UnsoundPart) {
    let shard = shard(of: hash)
    try catchUp(shard)
    guard let number = try shards[shard].find(field, name, hash, parts) else { return }
    var next = shards[shard].values[number].head
    while next != Entry.none {
      let entry = shards[shard].entries[Int(next)]
      next = entry.next
      let part = parts[Int(entry.part)]
      guard part.end > after.next else { continue }
      let term = try part.term(Int(entry.term))
      guard part.first.advanced(by: UInt64(term.lastIndex)) > after else { continue }
      guard try part.collect(term, after: after, limit: limit, &place, &found) else { return }
    }
  }
}
