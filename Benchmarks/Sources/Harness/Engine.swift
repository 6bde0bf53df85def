package import RunLedger

/// What is done with a row that was read: its id, its run and its payload, borrowed.
package typealias RowBody = (_ id: RawSpan, _ run: RawSpan, _ payload: RawSpan) -> Void

/// What is measured: a store of events, created once, written to, closed or killed, and opened again.
///
/// To add one, conform a class to this and name it in `EngineName`. Offsets count from 1. Reads are asked of one thread at a
/// time; appenders may be used by as many threads as there are appenders.
package protocol Engine: AnyObject, Sendable {
  /// Makes an empty store at a path where nothing is. `byteCount` is about what will be stored, for those that reserve it.
  init(creating path: String, _ policy: Policy, byteCount: Int) throws

  /// Opens what was stored. This is what "reopen" times, with the first read or append behind it.
  init(opening path: String, _ access: Access) throws

  /// One thread's way of appending. The first one may share what the store has; each further one stands alone.
  func appender() throws -> any Appender

  func close() throws

  /// Every event after an offset, in order, `limit` of them at most.
  func scan(after offset: UInt64, limit: Int, _ body: RowBody) throws

  /// The event of an id, all of it read; false if there is none.
  func find(id: String, _ body: RowBody) throws -> Bool

  /// All events of a run, in order.
  func read(run: String, _ body: RowBody) throws

  /// All events of a kind or an actor, in order, by an index or by reading everything.
  func filter(_ field: Field, _ value: String, _ body: RowBody) throws

  /// A copy of the store as it is, durable when this returns.
  func snapshot(to path: String) throws

  /// Drops events through an offset, or as many of them as the store drops at once; returns how many.
  func drop(through offset: UInt64) throws -> Int

  /// Files of the store as far as they are used, of one that is not open.
  static func usedBytes(_ path: String) throws -> Int

  /// What else the engine knows about itself.
  var facts: [(name: String, value: Double)] { get }
}

extension Engine {
  package static func usedBytes(_ path: String) throws -> Int { SystemCall.lengths(path) }
  package var facts: [(name: String, value: Double)] { [] }
}

/// How one thread appends.
package protocol Appender: AnyObject, Sendable {
  /// Takes the events to be committed next. Not timed: whatever an engine should not be charged for belongs here.
  func stage(_ events: [Event]) throws

  /// Commits staged events in order, as one commit; returns how many were not stored before. Timed.
  @discardableResult
  func commit(_ range: Range<Int>) throws -> Int

  /// Before the store is closed.
  func finish() throws
}

extension Appender {
  package func finish() throws {}
}

/// An appender for tasks, which keeps no thread waiting.
package protocol AsyncAppender: Appender {
  func commit(_ index: Int) async throws
}

/// When an append counts as done.
package enum Policy: String, CaseIterable, Sendable {
  /// Once the operating system has it; it survives the end of the process.
  case never
  /// As `never`, and on the disk a while later.
  case interval
  /// Once it is on the disk.
  case always
}

package enum Access: Sendable {
  case reading
  case writing(Policy)
}

package enum Field: Sendable {
  case kind, actor
}

package enum EngineName: String, CaseIterable, Sendable {
  case disk, ledger, sqlite, lmdb, leveldb, rocksdb

  package var type: any Engine.Type {
    switch self {
    case .disk: DiskEngine.self
    case .ledger: LedgerEngine.self
    case .sqlite: SQLiteEngine.self
    case .lmdb: LMDBEngine.self
    case .leveldb: LevelDBEngine.self
    case .rocksdb: RocksDBEngine.self
    }
  }

  package var title: String {
    switch self {
    case .disk: "raw disk"
    case .ledger: "RunLedger"
    case .sqlite: "SQLite"
    case .lmdb: "LMDB"
    case .leveldb: "LevelDB"
    case .rocksdb: "RocksDB"
    }
  }
}

/// Why a measurement could not be made; one sentence.
package struct BenchmarkError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
