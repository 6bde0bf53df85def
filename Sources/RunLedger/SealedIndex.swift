internal import LogEngine

/// The indexes of all segments that do not grow any more, and one dictionary over them: which segments have a value.
struct SealedIndex: ~Copyable {
  private(set) var parts: [SealedPart] = []
  private(set) var idCount = 0
  private(set) var runCount = 0

  /// A value: one of all segments, in the order of first appearance.
  private struct Value {
    var field: PostingField
    var hash: UInt32
    /// Its first and its last entry.
    var head: UInt32
    var tail: UInt32
  }

  /// A value in one segment.
  private struct Entry {
    var part: UInt32
    var term: UInt32
    /// The value's entry in the next segment that has it; `none` at the end.
    var next: UInt32
  }

  private static let none = UInt32.max

  private var values: [Value] = []
  private var entries: [Entry] = []
  /// Value numbers plus one, by hash.
  private var slots: [UInt32] = Array(repeating: 0, count: 64)
  /// The values that are kinds.
  private var kinds: [UInt32] = []

  // MARK: Parts

  /// Takes the index of the next segment.
  mutating func add(_ part: SealedPart) {
    parts.append(part)
    idCount += part.idCount
    enter(parts.count - 1)
  }

  private mutating func enter(_ number: Int) {
    let part = parts[number]
    for termNumber in 0..<part.termCount {
      let term = part.term(termNumber)
      let entry = UInt32(entries.count)
      entries.append(Entry(part: UInt32(number), term: UInt32(termNumber), next: Self.none))
      if let value = self.term(term.field, part.name(term), term.hash) {
        entries[Int(values[value].tail)].next = entry
        values[value].tail = entry
      } else {
        if (values.count + 1) * 4 > slots.count * 3 { growSlots() }
        values.append(Value(field: term.field, hash: term.hash, head: entry, tail: entry))
        enterSlot(UInt32(values.count), term.hash)
        if term.field == .run { runCount += 1 }
        if term.field == .kind { kinds.append(UInt32(values.count - 1)) }
      }
    }
  }

  mutating func move(partAt first: Offset, to bytes: StoredBytes) {
    guard let place = parts.firstIndex(where: { $0.first == first }) else { return }
    parts[place].move(to: bytes)
  }

  mutating func removeAll(below offset: Offset) {
    guard let first = parts.first, first.first < offset else { return }
    let dropped = parts.prefix { $0.end <= offset }.count
    parts.removeFirst(dropped)
    values = []
    entries = []
    kinds = []
    slots = Array(repeating: 0, count: 64)
    runCount = 0
    idCount = parts.reduce(0) { $0 + $1.idCount }
    for number in parts.indices { enter(number) }
  }

  var byteCount: Int {
    var sum = values.capacity * MemoryLayout<Value>.stride + entries.capacity * MemoryLayout<Entry>.stride
    sum += slots.count * 4 + parts.capacity * MemoryLayout<SealedPart>.stride
    for part in parts where part.isInMemory { sum += part.bytes.count }
    return sum
  }

  // MARK: Values

  private mutating func growSlots() {
    slots = Array(repeating: 0, count: slots.count * 2)
    for (number, value) in values.enumerated() { enterSlot(UInt32(number + 1), value.hash) }
  }

  private mutating func enterSlot(_ slot: UInt32, _ hash: UInt32) {
    var place = Int(hash) & (slots.count - 1)
    while slots[place] != 0 { place = (place + 1) & (slots.count - 1) }
    slots[place] = slot
  }

  /// The number of a value; nil if no segment has it.
  func term(_ field: PostingField, _ name: RawSpan, _ hash: UInt32) -> Int? {
    var place = Int(hash) & (slots.count - 1)
    while slots[place] != 0 {
      let number = Int(slots[place] - 1)
      let value = values[number]
      if value.hash == hash, value.field == field, isNamed(value, name) { return number }
      place = (place + 1) & (slots.count - 1)
    }
    return nil
  }

  private func isNamed(_ value: Value, _ name: RawSpan) -> Bool {
    let entry = entries[Int(value.head)]
    let part = parts[Int(entry.part)]
    return part.name(part.term(Int(entry.term))).isEqual(to: name)
  }

  /// The parts that have a value for each condition and a record in the range, oldest first.
  func parts(
    with conditions: [PostingCondition], in offsets: ClosedRange<Offset>, seed: UInt64
  ) -> [PlannedPart] {
    var terms = parts.map { _ in [[Int]]() }
    for (place, condition) in conditions.enumerated() {
      for number in values(meeting: condition, seed) {
        var next = values[number].head
        while next != Self.none {
          let entry = entries[Int(next)]
          let part = Int(entry.part)
          next = entry.next
          // One that lacks a condition before needs none.
          if terms[part].count < place { continue }
          if terms[part].count == place { terms[part].append([]) }
          terms[part][place].append(Int(entry.term))
        }
      }
    }
    return parts.indices.compactMap { place in
      let part = parts[place]
      guard terms[place].count == conditions.count, part.first <= offsets.upperBound,
        offsets.lowerBound < part.end
      else { return nil }
      return PlannedPart(part: part, terms: terms[place])
    }
  }

  private func values(meeting condition: PostingCondition, _ seed: UInt64) -> [Int] {
    guard condition.isPrefix else {
      let name = condition.name.utf8Span.span.rawBytes
      let hash = PostingIndex.hash(condition.field, name, seed: seed)
      return term(condition.field, name, hash).map { [$0] } ?? []
    }
    // Only kinds are asked for by what they begin with, and there are few of those.
    precondition(condition.field == .kind)
    return kinds.map { Int($0) }.filter { number in
      let entry = entries[Int(values[number].head)]
      let part = parts[Int(entry.part)]
      return condition.holds(part.name(part.term(Int(entry.term))))
    }
  }

  func names(of field: PostingField) -> [String] {
    values.filter { $0.field == field }.map { value in
      let entry = entries[Int(value.head)]
      let part = parts[Int(entry.part)]
      return part.name(part.term(Int(entry.term))).text
    }
  }

  /// Adds the offsets of a value behind `after`, in order, until there are `limit`.
  func collect(
    _ field: PostingField, _ name: RawSpan, _ hash: UInt32, _ after: Offset, _ limit: Int,
    _ place: inout PostingPlace, _ found: inout [Offset]
  ) {
    guard let number = term(field, name, hash) else { return }
    var next = values[number].head
    while next != Self.none {
      let entry = entries[Int(next)]
      next = entry.next
      let part = parts[Int(entry.part)]
      guard part.end > after.next else { continue }
      let term = part.term(Int(entry.term))
      guard part.first.advanced(by: UInt64(term.lastIndex)) > after else { continue }
      guard part.collect(term, after: after, limit: limit, &place, &found) else { return }
    }
  }
}
