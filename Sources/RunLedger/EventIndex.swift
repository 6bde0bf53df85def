internal import LogEngine
internal import Synchronization

/// The ledger's index as the log sees it.
final class EventIndex: RecordIndex, Sendable {
  private let index: Mutex<LedgerIndex>
  private let firstUnreadable = Mutex<Offset?>(nil)
  /// Refuse to open a ledger with a record that is no event: an id that cannot be read could be stored a second time.
  private let refusesUnreadable: Bool

  init(seed: UInt64, refusesUnreadable: Bool) {
    index = Mutex(LedgerIndex(seed: seed))
    self.refusesUnreadable = refusesUnreadable
  }

  /// Held for moments, by readers too.
  func withLock<R: ~Copyable, E: Error>(
    _ body: (inout sending LedgerIndex) throws(E) -> sending R
  ) throws(E) -> sending R {
    try index.withLock(body)
  }

  /// The record that opening was refused for.
  var unreadable: Offset? { firstUnreadable.withLock { $0 } }

  func add(_ offset: Offset, _ record: RawSpan) throws(LogError) {
    if let view = EventView(record, at: offset, kindRule: .anyText) {
      withLock { $0.add(view) }
    } else if refusesUnreadable {
      firstUnreadable.withLock { $0 = offset }
      throw LogError(.damaged, path: "", offsets: offset..<Offset(offset.rawValue + 1), "no event")
    }
  }

  func prepare(toRestore bytes: StoredBytes) -> Bool { withLock { $0.prepare(toRestore: bytes) } }

  func beginSegment(at first: Offset) { withLock { $0.beginSegment(at: first) } }

  func restoreSegment(_ bytes: StoredBytes, count: Int, isSealed: Bool) -> Bool {
    withLock { $0.restoreSegment(bytes, count: count, isSealed: isSealed) }
  }

  func endSegment() { withLock { $0.endSegment() } }

  func encodeSegment(at first: Offset) -> StoredBytes? {
    // Appends and reads wait for the lock, and not for this; in order, since those before a sealed segment are.
    while let part = withLock({ $0.oldestEnded(through: first) }) {
      let sealed = part.sealed()
      withLock { $0.seal(part, sealed) }
    }
    return withLock { $0.bytes(ofSegmentAt: first) }
  }

  func moveSegment(at first: Offset, to bytes: StoredBytes) {
    withLock { $0.moveSegment(at: first, to: bytes) }
  }
  func removeAll(below offset: Offset) { withLock { $0.removeAll(below: offset) } }
}
