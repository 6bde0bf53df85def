internal import LogEngine

/// Which offsets an id may be at: open addressing on a 64-bit hash, eight bytes a slot. A candidate is confirmed by the
/// id in its record, never by hash alone.
///
/// The hash's first 9 bits choose a shard, the next 23 are the slot's tag; the slot's last 40 bits are the offset. A
/// shard is a sorted array with gaps: the place of a tag is the tag itself scaled to the capacity, so probing goes
/// forward through rising values, stops at the first greater one, and growing is one copy in order. Each shard grows
/// alone, by a quarter, at 85 % of its capacity: growth never stalls an append for long, doubles nothing, and leaves
/// 9.4 to 11.8 bytes an id.
struct IDIndex: ~Copyable {
  private static let shardBits: UInt64 = 9
  static let tagBits: UInt64 = 23
  static let offsetBits: UInt64 = 40

  /// How many ids of one tag are entered. Different ids do not get there: with a thousand million of them, two of a tag
  /// are common and ten of one are not to be expected. One id that a log holds many times would, and each would be passed
  /// by the next one; of those the first are enough.
  static let tagLimit = 32

  private var shards: FixedArray<Shard>
  /// Segments whose ids are in sidecars, and not yet in each shard.
  private var waiting: [SealedPart] = []
  /// Which shards have them; empty if none waits.
  private var isEntered: [Bool] = []
  private var enteredCount = 0

  init() {
    shards = FixedArray(count: 1 << Int(Self.shardBits)) { Shard(capacity: Self.firstCapacity($0)) }
  }

  /// Staggered, which keeps the shards from growing all at the same moment.
  private static func firstCapacity(_ shard: Int) -> Int { 16 + shard / 64 }

  private static func shard(of hash: UInt64) -> Int { Int(hash >> (64 - shardBits)) }

  private static func tag(of hash: UInt64) -> UInt64 {
    (hash << shardBits) >> (64 - tagBits)
  }

  mutating func insert(_ hash: UInt64, _ offset: Offset) {
    shards[Self.shard(of: hash)].insert(Self.tag(of: hash) << Self.offsetBits | offset.rawValue)
  }

  // MARK: From sidecars

  /// Notes the ids of a segment. They are entered a shard at a time, once something in it is asked for: nobody who opens a
  /// ledger waits for all of them, and who asks for little enters little.
  mutating func insert(_ part: SealedPart) throws(UnsoundPart) {
    // A shard is entered once. With the last one nothing waits.
    if enteredCount > 0 {
      for shard in shards.indices where !waiting.isEmpty && !isEntered[shard] { try enter(shard) }
    }
    if waiting.isEmpty { isEntered = Array(repeating: false, count: shards.count) }
    waiting.append(part)
  }

  private static let fewCount = 2000

  @inline(never)
  private mutating func enter(_ shard: Int) throws(UnsoundPart) {
    let start = UInt64(shard) << (32 - Self.shardBits)
    let hashes = start..<start + 1 << (32 - Self.shardBits)
    var added: [UInt64] = []
    added.reserveCapacity(waiting.reduce(0) { $0 + $1.idCount } / shards.count * 9 / 8)
    for part in waiting {
      var number = try part.firstID(from: hashes.lowerBound)
      while number < part.idCount {
        let id = try part.id(number)
        guard hashes.contains(UInt64(id.hash)) else { break }
        added.append(Self.tag(of: UInt64(id.hash) << 32) << Self.offsetBits | id.offset.rawValue)
        number += 1
      }
    }
    // By tag, since the offsets of one tag rise already, unless somebody made the parts up. For a few the digits are not worth
    // their counters.
    if added.count > Self.fewCount { added = added.sorted(byBits: Self.offsetBits..<64) }
    var isRising = true
    for place in added.indices.dropFirst() where added[place - 1] > added[place] { isRising = false }
    if !isRising { added.sort() }
    shards[shard].insert(rising: added, spread: shard % 8)
    isEntered[shard] = true
    enteredCount += 1
    if enteredCount == shards.count { forgetWaiting() }
  }

  /// Takes a part that was made of the records in the place of one that is unsound; nil if there are none.
  mutating func replace(_ unsound: SealedPart, with part: SealedPart?) {
    // What waits may be less: what the segment's sidecar had when it was not sealed yet. That is sound, and the rest is entered.
    guard let place = waiting.firstIndex(where: { $0.first == unsound.first && $0.count == unsound.count })
    else { return }
    waiting.replaceSubrange(place...place, with: part.map { [$0] } ?? [])
    if waiting.isEmpty { forgetWaiting() }
  }

  private mutating func forgetWaiting() {
    waiting = []
    isEntered = []
    enteredCount = 0
  }

  /// Forgets the offsets below `start`; of a segment, all or none.
  mutating func removeAll(below start: Offset) {
    waiting.removeAll { $0.end <= start }
    if waiting.isEmpty { forgetWaiting() }
    for shard in shards.indices { shards[shard].removeAll(below: start) }
  }

  /// The first offset behind `offset` whose id has this hash's tag: as a rule there is one or none.
  mutating func candidate(_ hash: UInt64, after offset: Offset) throws(UnsoundPart) -> Offset? {
    let shard = Self.shard(of: hash)
    if !waiting.isEmpty, !isEntered[shard] { try enter(shard) }
    return shards[shard].candidate(Self.tag(of: hash), after: offset)
  }

  /// Bytes of memory.
  var byteCount: Int {
    var sum = 0
    for index in shards.indices { sum += shards[index].slots.count * 8 }
    return sum
  }

  /// Checks that every slot can be found, and says how far from its home the farthest one is.
  func longestDisplacement() -> Int {
    var longest = 0
    for index in shards.indices { longest = max(longest, shards[index].longestDisplacement()) }
    return longest
  }

  // Not private, for a generic type is made of it: Swift 6.3.1 does not compile that without optimisation.
  struct Shard: ~Copyable {
    /// Places that a tag may scale to.
    private var capacity: Int
    private var count = 0
    /// Behind them comes room for what is pushed past the end.
    private(set) var slots: WordArray

    init(capacity: Int) {
      self.capacity = capacity
      // The first value makes room: where no id was ever entered, none is needed.
      slots = WordArray(count: 0)
    }

    private static func overflow(_ capacity: Int) -> Int { 8 + capacity / 32 }

    private func home(_ tag: UInt64) -> Int { Int((tag * UInt64(capacity)) >> IDIndex.tagBits) }

    func candidate(_ tag: UInt64, after offset: Offset) -> Offset? {
      let bound = tag << IDIndex.offsetBits | offset.rawValue
      var place = home(tag)
      while place < slots.count {
        let slot = slots[place]
        if slot == 0 { return nil }
        if slot > bound {
          return slot >> IDIndex.offsetBits == tag ? Offset(slot & (1 << IDIndex.offsetBits - 1)) : nil
        }
        place += 1
      }
      return nil
    }

    func longestDisplacement() -> Int {
      var longest = 0
      var previous: UInt64 = 0
      var runStart = 0
      for place in 0..<slots.count {
        let slot = slots[place]
        if slot == 0 {
          runStart = place + 1
          continue
        }
        let home = home(slot >> IDIndex.offsetBits)
        // Slots rise.
        precondition(slot > previous)
        // There is no gap between a slot and its home.
        precondition(home >= runStart && home <= place)
        previous = slot
        longest = max(longest, place - home)
      }
      return longest
    }

    mutating func insert(_ value: UInt64) {
      if (count + 1) * 100 > capacity * 85 { grow() }
      while !place(value) { grow() }
    }

    /// False if the run of slots reaches the end of the array.
    private mutating func place(_ value: UInt64) -> Bool {
      let tag = value >> IDIndex.offsetBits
      var target = home(tag)
      var ofTag = 0
      while target < slots.count {
        let slot = slots[target]
        if slot == 0 || slot > value { break }
        if slot >> IDIndex.offsetBits == tag { ofTag += 1 }
        target += 1
      }
      if ofTag >= IDIndex.tagLimit { return true }
      var free = target
      while free < slots.count, slots[free] != 0 { free += 1 }
      guard free < slots.count else { return false }
      slots.shiftUp(target..<free)
      slots[target] = value
      count += 1
      return true
    }

    /// Enters many at once, in one pass: one by one, values that crowd together would each have to pass all others. `spread`
    /// keeps the shards from growing all at the same moment afterwards.
    mutating func insert(rising added: [UInt64], spread: Int) {
      guard !added.isEmpty else { return }
      let old = slots.take()
      reserve(added.count, spread: spread)
      var values: [UInt64] = []
      values.reserveCapacity(count + added.count)
      var (place, next, ofTag) = (0, 0, 0)
      while true {
        while place < old.count, old[place] == 0 { place += 1 }
        let value: UInt64
        if place < old.count, next == added.count || old[place] <= added[next] {
          value = old[place]
          place += 1
        } else if next < added.count {
          value = added[next]
          next += 1
        } else {
          break
        }
        ofTag =
          values.last.map { $0 >> IDIndex.offsetBits == value >> IDIndex.offsetBits } ?? false ? ofTag + 1 : 0
        if ofTag < IDIndex.tagLimit { values.append(value) }
      }
      lay(values.count) { values[$0] }
    }

    /// Makes room for so many more at once; `spread` keeps the shards from growing all at the same moment afterwards.
    private mutating func reserve(_ additional: Int, spread: Int) {
      let needed = (count + additional) * 100 / 85 + 1
      if needed > capacity { capacity = needed + needed / 100 * spread }
    }

    mutating func removeAll(below start: Offset) {
      let old = slots.take()
      lay(old.count) { place in
        let value = old[place]
        return value & (1 << IDIndex.offsetBits - 1) >= start.rawValue ? value : 0
      }
    }

    @inline(never)
    private mutating func grow() {
      let old = slots.take()
      capacity += capacity / 4 + 1
      lay(old.count) { old[$0] }
    }

    /// Lays values out anew for the capacity there is: each as near to its home as those before let it. They rise; zeros among
    /// them are none.
    @inline(__always)
    private mutating func lay(_ number: Int, _ value: (Int) -> UInt64) {
      var room = capacity + Self.overflow(capacity)
      while true {
        var laid = WordArray(count: room)
        var (count, last) = (0, -1)
        var fits = true
        for place in 0..<number {
          let value = value(place)
          if value == 0 { continue }
          last = max(home(value >> IDIndex.offsetBits), last + 1)
          guard last < room else {
            fits = false
            break
          }
          laid[last] = value
          count += 1
        }
        if fits {
          slots = laid
          self.count = count
          return
        }
        // The overflow is sized for hashes; were it ever too short, a larger array takes whatever there is.
        capacity *= 2
        room = capacity + number
      }
    }
  }
}
