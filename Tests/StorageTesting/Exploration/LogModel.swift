package import LogEngine

/// What a log was found to hold.
package struct FoundLog: Sendable, Equatable {
  package var start: Offset
  package var records: [String]

  package var next: Offset { start.advanced(by: UInt64(records.count)) }

  init(start: Offset, records: [String]) {
    self.start = start
    self.records = records
  }

  /// Reads everything; throws what reading throws, and tells of records that do not follow on each other.
  package init(_ log: SegmentedLog) throws(LogError) {
    start = log.firstOffset
    records = []
    var next = start
    var found: [String] = []
    var isContiguous = true
    try log.forEachRecord(from: 1) { offset, record in
      isContiguous = isContiguous && offset == next
      next = offset.next
      found.append(TestLog.text(record))
      return true
    }
    guard isContiguous, next == log.latestOffset.next else {
      throw LogError(.damaged, path: log.path, "its records do not follow on each other")
    }
    records = found
  }
}

/// What is known of a log from outside: what it was given and what it acknowledged, and so what it may hold after a crash and
/// what it must. A promise of the engine is a line of ``mismatch(_:)``.
package struct LogModel: Sendable {
  /// A batch that was handed over.
  struct Batch: Sendable {
    var first: Offset
    var records: [String]
    var next: Offset { first.advanced(by: UInt64(records.count)) }
  }

  /// All that was stored, from offset 1 on; empty texts for what was dropped before this model began.
  private(set) var records: [String] = []
  /// Where batches end: the next offset behind each.
  private var ends: Set<Offset> = [1]
  /// Batches of which nobody knows whether they are stored; at most one of them is.
  private var unknown: [Batch] = []
  /// Every record below was acknowledged as durable.
  private(set) var durable: Offset = 1
  /// Where the log may start: one place, or two while that is being changed.
  private var starts: Set<Offset> = [1]
  private var formerStarts: Set<Offset> = [1]
  /// Tells models apart.
  private(set) var digest: UInt64 = 1

  package init() {}

  /// Of a log that holds exactly this, and of which something was known before.
  package init(exactly found: FoundLog, formerly: LogModel = LogModel()) {
    let dropped = Int(found.start.rawValue) - 1
    let known = formerly.records.prefix(dropped)
    records = known + Array(repeating: "", count: dropped - known.count) + found.records
    formerStarts = formerly.formerStarts.union([found.start])
    ends = formerly.ends.union([found.start, found.next])
    durable = found.next
    starts = [found.start]
    for record in found.records { mix(record) }
    mix(found.start.rawValue)
  }

  package var next: Offset { Offset(UInt64(records.count) + 1) }
  /// The one place where it starts.
  package var start: Offset { starts.min() ?? 1 }
  /// The batch ends that are kept, in order.
  package var batchEnds: [Offset] { ends.filter { $0 >= start }.sorted() }
  package var contents: FoundLog { contents(below: next) }

  package func contents(below end: Offset) -> FoundLog {
    FoundLog(start: start, records: Array(records[Int(start.rawValue) - 1..<Int(end.rawValue) - 1]))
  }

  private mutating func mix(_ text: String) {
    digest = XXH3.hash64(text.utf8Span.span.rawBytes, seed: digest)
  }
  private mutating func mix(_ number: UInt64) { digest = (digest ^ number) &* 0x9E37_79B9_7F4A_7C15 }

  // MARK: What happens

  /// Records are handed over.
  package mutating func begin(_ records: [String]) {
    unknown.append(Batch(first: next, records: records))
    for record in records { mix(record) }
  }

  /// They were stored.
  package mutating func store(_ records: [String]) {
    self.records += records
    ends.insert(next)
    unknown = []
    mix(1)
  }

  /// The log says that nothing of them is stored.
  package mutating func takeBack() {
    unknown.removeLast()
    mix(2)
  }

  /// Everything below is acknowledged as durable.
  package mutating func setDurable(below offset: Offset) {
    durable = max(durable, offset)
    mix(durable.rawValue)
  }

  /// The log is to start elsewhere.
  package mutating func mayStart(at offset: Offset) {
    starts.insert(offset)
    formerStarts.insert(offset)
    mix(offset.rawValue &* 3)
  }

  /// It does.
  package mutating func starts(at offset: Offset) {
    starts = [offset]
    ends.insert(offset)
    durable = max(durable, offset)
    mix(offset.rawValue &* 5)
  }

  // MARK: What holds

  /// nil if the log may hold this: a contiguous, exact prefix of what it was given, whole batches, everything that is durable
  /// (as far as the disk has kept its own promises).
  package func mismatch(_ found: FoundLog, onHonestDisk isHonest: Bool = true) -> String? {
    guard starts.contains(found.start) || !isHonest && formerStarts.contains(found.start) else {
      return "it starts at \(found.start), not at \(starts.sorted())"
    }
    if isHonest, found.next < durable {
      return "durable records from \(found.next) to \(durable) are lost"
    }
    if fits(found, next, []) { return nil }
    for batch in unknown where fits(found, batch.first, batch.records) { return nil }
    return
      "its records are not what was written: \(found.records.map { $0.prefix(12) }) from \(found.start), given \(records.map { $0.prefix(12) }) and perhaps \(unknown.map { $0.records.map { $0.prefix(12) } })"
  }

  /// Was this ever given to the log as its record at an offset?
  func mayHold(_ record: String, at offset: Offset) -> Bool {
    let place = Int(offset.rawValue) - 1
    if place < records.count, records[place] == record { return true }
    return unknown.contains { batch in
      batch.first <= offset && offset < batch.next
        && batch.records[place - Int(batch.first.rawValue) + 1] == record
    }
  }

  /// Does `found` end with a batch, be it of those below `end` or this last one?
  private func fits(_ found: FoundLog, _ end: Offset, _ last: [String]) -> Bool {
    let whole = end.advanced(by: UInt64(last.count))
    guard ends.contains(found.next) && found.next <= end || found.next == whole else { return false }
    for (place, record) in found.records.enumerated() {
      let index = Int(found.start.rawValue) - 1 + place
      let known = Int(end.rawValue) - 1
      if record != (index < known ? records[index] : last[index - known]) { return false }
    }
    return true
  }
}
