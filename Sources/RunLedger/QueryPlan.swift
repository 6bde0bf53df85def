internal import LogEngine

/// Where events with values for all conditions of a query may be: the segments, oldest first.
struct QueryPlan {
  var sealed: [PlannedPart] = []
  var unsealed: [PlannedGrowingPart] = []
}

/// A sealed segment, and of each condition the terms that meet it.
struct PlannedPart {
  let part: SealedPart
  private let terms: [[SealedPart.Term]]

  init(_ part: SealedPart, _ terms: [[Int]]) throws(UnsoundPart) {
    self.part = part
    self.terms = try terms.map { (numbers) throws(UnsoundPart) in
      try numbers.map { (number) throws(UnsoundPart) in try part.term(number) }
    }
  }

  /// How many entries each condition has, at most.
  var counts: [Int] { terms.map { $0.reduce(0) { $0 + $1.count } } }

  /// In rising order.
  func indexes(of condition: Int) throws(UnsoundPart) -> [UInt32] {
    var indexes: [UInt32] = []
    for term in terms[condition] { try part.appendIndexes(of: term, to: &indexes) }
    return terms[condition].count > 1 ? indexes.sortedOnce() : indexes
  }
}

/// A segment that is not sealed, as it was.
struct PlannedGrowingPart {
  let first: Offset
  /// Of each condition, the terms that meet it.
  let cursors: [[PostingIndex.Cursor]]
  /// How many entries each condition had.
  let counts: [Int]

  /// So many entries are looked at while others wait for the index.
  private static let entryCount = 4096

  /// In rising order; nil if the segment has been sealed since.
  func indexes(of condition: Int, in index: EventIndex) -> [UInt32]? {
    var indexes: [UInt32] = []
    for cursor in cursors[condition] {
      var cursor = cursor
      while true {
        let found = index.withLock { $0.unsealedIndexes(&cursor, of: self, limit: Self.entryCount) }
        guard let found else { return nil }
        indexes += found
        if found.count < Self.entryCount { break }
      }
    }
    return cursors[condition].count > 1 ? indexes.sortedOnce() : indexes
  }
}

extension [UInt32] {
  /// In rising order, each once: a sidecar may list a record twice.
  fileprivate func sortedOnce() -> [UInt32] {
    var sorted: [UInt32] = []
    sorted.reserveCapacity(count)
    for index in self.sorted() where sorted.last != index { sorted.append(index) }
    return sorted
  }
}
