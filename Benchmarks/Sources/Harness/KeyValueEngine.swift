internal import RunLedger
internal import Synchronization

/// An engine that stores bytes under keys. Three tables, changed in one commit: events by offset, offsets by id, and runs,
/// whose keys are a run's id and an offset and whose values are empty. A key's first byte names its table, and keys are in
/// the order of their bytes. A kind or an actor is found by reading all events.
protocol KeyValueEngine: Engine {
  associatedtype KeyedAppender: KeyValueAppender

  func keyedAppender() throws -> KeyedAppender

  /// From here to `endReading` nothing that is read changes.
  func beginReading() throws
  func endReading()

  func get(_ key: [UInt8], _ body: (RawSpan) -> Void) throws -> Bool

  /// Calls `body` with each key of a table, without its first byte, and its value, in order from a key on, until it answers
  /// false.
  func iterate(from key: [UInt8], _ body: (_ key: RawSpan, _ value: RawSpan) throws -> Bool) throws
}

/// Keys, made into one array that is used again and again.
struct Key {
  static let events = UInt8(ascii: "e")
  static let ids = UInt8(ascii: "i")
  static let runs = UInt8(ascii: "r")

  private(set) var bytes: [UInt8] = []

  mutating func setEvent(_ offset: UInt64) {
    set(Self.events)
    append(offset)
  }

  mutating func setID(_ id: RawSpan) {
    set(Self.ids)
    append(id)
  }

  /// Without an offset: where a run's keys begin. The zero byte keeps a run apart from those whose ids begin with its.
  mutating func setRun(_ run: RawSpan, _ offset: UInt64?) {
    set(Self.runs)
    append(run)
    bytes.append(0)
    if let offset { append(offset) }
  }

  /// An offset alone, as a value. Big-endian, so that offsets are in the order of their bytes.
  mutating func setOffset(_ offset: UInt64) {
    bytes.removeAll(keepingCapacity: true)
    append(offset)
  }

  private mutating func set(_ table: UInt8) {
    bytes.removeAll(keepingCapacity: true)
    bytes.append(table)
  }

  private mutating func append(_ span: RawSpan) {
    unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }

  private mutating func append(_ offset: UInt64) {
    for shift in stride(from: 56, through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: offset >> UInt64(shift)))
    }
  }
}

extension RawSpan {
  /// An offset that ends the span.
  var trailingOffset: UInt64 { UInt64(bigEndian: load(byteCount - 8, as: UInt64.self)) }
}

extension KeyValueEngine {
  package func appender() throws -> any Appender { try keyedAppender() }

  private func reading<R>(_ body: () throws -> R) throws -> R {
    try beginReading()
    defer { endReading() }
    return try body()
  }

  package func scan(after offset: UInt64, limit: Int, _ body: RowBody) throws {
    guard limit > 0 else { return }
    var key = Key()
    key.setEvent(offset + 1)
    var rest = limit
    try reading {
      try iterate(from: key.bytes) { _, row in
        EventRow.read(row, body)
        rest -= 1
        return rest > 0
      }
    }
  }

  package func find(id: String, _ body: RowBody) throws -> Bool {
    let id = unsafe id.utf8Span.span.bytes
    var key = Key()
    key.setID(id)
    return try reading {
      var offset: UInt64?
      guard try get(key.bytes, { offset = $0.trailingOffset }), let offset else { return false }
      try readEvent(offset, &key, body)
      return true
    }
  }

  private func readEvent(_ offset: UInt64, _ key: inout Key, _ body: RowBody) throws {
    key.setEvent(offset)
    guard try get(key.bytes, { EventRow.read($0, body) }) else {
      throw BenchmarkError("there is no event \(offset)")
    }
  }

  package func read(run: String, _ body: RowBody) throws {
    let run = unsafe run.utf8Span.span.bytes
    var (start, key) = (Key(), Key())
    start.setRun(run, nil)
    let prefix = unsafe start.bytes.span.bytes.extracting(1...)
    try reading {
      try iterate(from: start.bytes) { found, _ in
        guard found.byteCount == prefix.byteCount + 8,
          found.extracting(first: prefix.byteCount).equals(prefix)
        else { return false }
        try readEvent(found.trailingOffset, &key, body)
        return true
      }
    }
  }

  package func filter(_ field: Field, _ value: String, _ body: RowBody) throws {
    var key = Key()
    key.setEvent(0)
    try reading {
      try iterate(from: key.bytes) { _, row in
        if EventRow.field(field, of: row, equals: value) { EventRow.read(row, body) }
        return true
      }
    }
  }

  /// So many events a commit, since their keys are held in memory until then.
  private static var dropCount: Int { 100_000 }

  package func drop(through last: UInt64) throws -> Int {
    let appender = try keyedAppender()
    var (start, key) = (Key(), Key())
    start.setEvent(0)
    var dropped = 0
    try reading {
      try iterate(from: start.bytes) { found, row in
        let offset = found.trailingOffset
        guard offset <= last else { return false }
        if dropped % Self.dropCount == 0 {
          if dropped > 0 { try appender.commitChanges() }
          try appender.begin()
        }
        dropped += 1
        var failure: (any Error)?
        EventRow.read(row) { id, run, _ in
          do {
            key.setID(id)
            try appender.delete(key.bytes)
            key.setRun(run, offset)
            try appender.delete(key.bytes)
          } catch {
            failure = error
          }
        }
        if let failure { throw failure }
        key.setEvent(offset)
        try appender.delete(key.bytes)
        return true
      }
    }
    if dropped > 0 { try appender.commitChanges() }
    try appender.finish()
    return dropped
  }
}

/// One thread's changes to such an engine, between `begin` and `commitChanges`, which makes them in one step.
protocol KeyValueAppender: Appender {
  associatedtype Store: KeyValueEngine

  var store: Store { get }
  var staging: KeyValueStaging { get set }
  /// Where other appenders' ids are, if they could come between a look for an id and its commit.
  var ids: IDsInFlight? { get }

  func begin() throws
  func put(_ key: [UInt8], _ value: RawSpan) throws
  func delete(_ key: [UInt8]) throws
  /// Gives an id the next offset; or tells the one it has.
  func claim(_ id: [UInt8]) throws -> (offset: UInt64, isNew: Bool)
  func commitChanges() throws
  /// Ends without a change.
  func abandonChanges()
}

/// What an appender of bytes is about to store, with room for keys.
struct KeyValueStaging {
  var rows = EncodedRows()
  fileprivate var key = Key()
}

extension KeyValueAppender {
  package func stage(_ events: [Event]) { staging.rows = EncodedRows(events) }

  package func commit(_ range: Range<Int>) throws -> Int {
    let events = staging.rows.events[range]
    ids?.enter(events)
    defer { ids?.leave(events) }
    try begin()
    var stored = 0
    for index in range where try store(index) { stored += 1 }
    if stored > 0 { try commitChanges() } else { abandonChanges() }
    return stored
  }

  private func store(_ index: Int) throws -> Bool {
    let event = staging.rows.events[index]
    let place = staging.rows.place(of: index..<index + 1)
    let row = unsafe staging.rows.bytes.span.bytes.extracting(place)
    var key = Key()
    swap(&key, &staging.key)
    defer { swap(&key, &staging.key) }
    let id = unsafe event.id.utf8Span.span.bytes
    key.setID(id)
    let (offset, isNew) = try claim(key.bytes)
    key.setEvent(offset)
    guard isNew else {
      try requireSame(key.bytes, row, event)
      return false
    }
    try put(key.bytes, row)
    let run = unsafe event.runID.utf8Span.span.bytes
    key.setRun(run, offset)
    try put(key.bytes, RawSpan())
    return true
  }

  /// An id that is taken must be taken by the same event.
  private func requireSame(_ key: [UInt8], _ row: RawSpan, _ event: Event) throws {
    try store.beginReading()
    defer { store.endReading() }
    var isSame = false
    guard try store.get(key, { isSame = $0.equals(row) }), isSame else {
      throw BenchmarkError("another event has the id \(event.id)")
    }
  }
}

/// The ids that appenders are about to store, for engines that do not look for a key and write it in one step: so that no two
/// threads store the same. It costs nothing while there is one appender.
final class IDsInFlight: Sendable {
  private let state = Mutex<Set<String>>([])
  private let appenderCount = Atomic<Int>(0)
  private let last: Atomic<UInt64>

  init(lastOffset: UInt64) { last = Atomic(lastOffset) }

  func nextOffset() -> UInt64 { last.add(1, ordering: .relaxed).newValue }

  func join() { appenderCount.add(1, ordering: .relaxed) }

  private var isShared: Bool { appenderCount.load(ordering: .relaxed) > 1 }

  func enter(_ events: ArraySlice<Event>) {
    guard isShared else { return }
    while true {
      let isFree = state.withLock { ids in
        guard !events.contains(where: { ids.contains($0.id) }) else { return false }
        for event in events { ids.insert(event.id) }
        return true
      }
      if isFree { return }
      SystemCall.yield()
    }
  }

  func leave(_ events: ArraySlice<Event>) {
    guard isShared else { return }
    state.withLock { ids in for event in events { ids.remove(event.id) } }
  }
}
