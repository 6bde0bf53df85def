internal import LogEngine

/// Events on their way into the log: their records, laid out as they will be written, and the hash of each one's id.
struct Draft: ~Copyable, Sendable {
  var batch: RecordBatch
  private(set) var hashes: [UInt64] = []

  /// An empty one, with an empty batch's memory.
  init(reusing batch: consuming RecordBatch = RecordBatch()) { self.batch = batch }

  mutating func add(_ event: Event, seed: UInt64) throws(LogError) {
    try batch.appendRecord { buffer in EventRecord.encode(event, into: &buffer) }
    hashes.append(XXH3.hash64(event.id.utf8Span.span.rawBytes, seed: seed))
  }

  /// Leaves these events alone in it.
  mutating func keep(_ events: [Event], seed: UInt64) throws(LogError) {
    removeAll()
    for event in events { try add(event, seed: seed) }
  }

  mutating func removeAll() {
    batch.removeAll()
    hashes.removeAllCheaply()
  }

  mutating func takeBatch() -> RecordBatch {
    var taken = RecordBatch()
    swap(&taken, &batch)
    return taken
  }
}

extension [UInt64] {
  /// Empties it and keeps its memory, unless one large use left much behind. Of a few elements one after the other: all at once
  /// costs as much as a look-up.
  mutating func removeAllCheaply() {
    if count > 8 { removeAll(keepingCapacity: count <= 1024) }
    while popLast() != nil {}
  }
}
