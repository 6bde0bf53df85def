/// Hashes of the ids of calls that are not settled yet: an event of theirs may be new and not in the index.
struct OnTheirWay {
  /// Of the call that is written without having queued.
  var alone = HashSequence()
  var queued: Set<UInt64> = []

  func contains(anyOf hashes: [UInt64]) -> Bool {
    hashes.contains { hash in queued.contains(hash) || alone.contains(hash) }
  }
}

/// Hashes in the order they came, each once.
struct HashSequence {
  private(set) var hashes: [UInt64] = []
  /// Places in `hashes` plus one, by hash; none while a look at all of them is as quick.
  private var places: [UInt32] = []
  private static let fewCount = 8

  func contains(_ hash: UInt64) -> Bool {
    guard hashes.count > Self.fewCount else { return hashes.contains(hash) }
    return places[place(of: hash)] != 0
  }

  /// False if it is there already.
  mutating func insert(_ hash: UInt64) -> Bool {
    if contains(hash) { return false }
    hashes.append(hash)
    guard hashes.count > Self.fewCount else { return true }
    if hashes.count * 2 > places.count {
      places = Array(repeating: 0, count: max(64, places.count * 4))
      for (index, hash) in hashes.enumerated() { places[place(of: hash)] = UInt32(index) + 1 }
    } else {
      places[place(of: hash)] = UInt32(hashes.count)
    }
    return true
  }

  /// All of them; if one is there already or comes twice, none is left.
  mutating func insert(_ hashes: [UInt64]) -> Bool {
    for hash in hashes where !insert(hash) {
      removeAll()
      return false
    }
    return true
  }

  mutating func removeAll() {
    hashes.removeAllCheaply()
    if !places.isEmpty { places = [] }
  }

  /// Where the hash is, or would be entered.
  private func place(of hash: UInt64) -> Int {
    let mask = places.count - 1
    var place = Int(truncatingIfNeeded: hash) & mask
    while places[place] != 0, hashes[Int(places[place]) - 1] != hash { place = (place + 1) & mask }
    return place
  }
}
