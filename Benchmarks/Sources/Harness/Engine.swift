internal import AgentEvents
package import RunLedger

/// What is measured: a store of events, created once, written by one thread, closed or killed, and opened again.
///
/// To add one, conform a class to this and give it a row in `EngineName`, and rows in `Plan`.
package protocol Engine: AnyObject {
  /// Makes an empty store at a path where nothing is. `byteCount` is about what will be stored, for those that reserve it.
  init(creating path: String, _ durability: Durability, byteCount: Int) throws

  /// Opens what was stored; afterwards the last event can be read. This is what "reopen" times.
  init(opening path: String, forWriting: Bool) throws

  /// Takes the events to be committed next. Not timed: whatever an engine should not be charged for belongs here.
  func stage(_ events: [Event]) throws

  /// Commits the staged events in order, `batchSize` events a commit. Timed.
  func commit(batchSize: Int) throws

  func close() throws

  /// Calls `body` with id, run and payload of every event, in order.
  func scan(_ body: (RawSpan, RawSpan, RawSpan) -> Void) throws

  /// The payload's length of the event of an id, whole event read; nil if there is none.
  func find(id: String) throws -> Int?

  /// Reads all events of a run, in order; returns how many and their payload bytes.
  func read(run: String) throws -> (events: Int, payloadBytes: Int)

  /// What else the engine knows about itself.
  var facts: [(name: String, value: Double)] { get }
}

/// What a commit means.
package enum Durability: String {
  /// Nothing is synced: `.never`; SQLite: OFF.
  case unsynced
  /// SQLite's NORMAL: no power cut corrupts, but it may take back the last commits.
  case checkpointed
  /// Every commit is on the disk before it returns: `.always`; SQLite: FULL.
  case synced
}

package enum EngineName: String, CaseIterable {
  case disk, ledger, sqlite

  package var type: any Engine.Type {
    switch self {
    case .disk: DiskEngine.self
    case .ledger: LedgerEngine.self
    case .sqlite: SQLiteEngine.self
    }
  }

  /// Makes and closes a small store of another seed's events beside `path`, so that code, clocks and the disk are awake.
  /// The parent process removes it: freeing a file's blocks keeps the disk busy for a while.
  package func warmUp(
    beside path: String, _ durability: Durability, byteCount: Int, events count: Int, batchSize: Int,
    seed: UInt64
  ) throws {
    let engine = try type.init(creating: path + ".warm", durability, byteCount: byteCount)
    var events = EventGenerator(seed: seed &+ 1)
    try engine.stage(events.take(count))
    try engine.commit(batchSize: batchSize)
    try engine.close()
  }

  /// How the table calls the engine under a durability.
  package func title(_ durability: Durability) -> String {
    switch (self, durability) {
    case (.disk, .unsynced): "disk: pwrite"
    case (.disk, _): "disk: pwrite, fdatasync"
    case (.ledger, .unsynced): "RunLedger .never"
    case (.ledger, _): "RunLedger .always"
    case (.sqlite, .unsynced): "SQLite WAL, OFF"
    case (.sqlite, .checkpointed): "SQLite WAL, NORMAL"
    case (.sqlite, .synced): "SQLite WAL, FULL"
    }
  }
}

/// Why a measurement could not be made; one sentence.
package struct BenchmarkError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
