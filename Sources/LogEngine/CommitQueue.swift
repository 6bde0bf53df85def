/// Who writes what waits to be written: a pure state machine behind the group commit.
///
/// Appends queue up in the order their records will have. One at a time leads: it takes what has queued up, commits that as
/// one write and one sync, and then what came meanwhile. Nobody waits for a timer: a group is what arrived while the group
/// before it was being synced.
struct CommitQueue<Entry> {
  private var waiting: [Entry] = []
  private(set) var isLed = false

  var count: Int { waiting.count }

  /// Queues an entry. True: nobody leads, so who adds it has to see to that.
  mutating func add(_ entry: Entry) -> Bool {
    waiting.append(entry)
    defer { isLed = true }
    return !isLed
  }

  /// The lead without an entry, for who commits at once. False if somebody leads; then nothing was done.
  mutating func takeLead() -> Bool {
    defer { isLed = true }
    return !isLed
  }

  /// What the leader commits next: the entries that waited longest, as many as the limit allows and at least one.
  mutating func takeGroup(byteLimit: Int, byteCount: (Entry) -> Int) -> [Entry] {
    // A leader's own entry waits.
    precondition(isLed && count > 0)
    var end = 0
    var bytes = 0
    while end < waiting.count, end == 0 || bytes + byteCount(waiting[end]) <= byteLimit {
      bytes += byteCount(waiting[end])
      end += 1
    }
    // The queue lets go of them: an entry keeps its whole batch in memory.
    defer { waiting.removeFirst(end) }
    return Array(waiting[..<end])
  }

  /// Ends the leader's turn; nobody else calls it. True: entries wait, and the leader has to see to it that somebody leads.
  mutating func handOver() -> Bool {
    precondition(isLed)
    isLed = count > 0
    return isLed
  }
}
