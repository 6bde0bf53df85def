internal import CSQLite
package import RunLedger

/// SQLite as the ledger that ours replaces used it: its table, its unique id and five further indexes, its insert, WAL;
/// but through the C interface with prepared statements, which is the best it can do.
package final class SQLiteEngine: Engine {
  private let connection: Connection
  private let insert: Statement
  private var staged: [(event: Event, createdAt: String)] = []

  private static let schema = """
    CREATE TABLE IF NOT EXISTS events (
        offset          INTEGER PRIMARY KEY AUTOINCREMENT,
        id              TEXT    UNIQUE NOT NULL,
        run_id          TEXT    NOT NULL,
        turn            INTEGER NOT NULL,
        kind            TEXT    NOT NULL,
        actor           TEXT    NOT NULL,
        payload         TEXT    NOT NULL,
        created_at      TEXT    NOT NULL,
        schema_version  INTEGER NOT NULL DEFAULT 1,
        session_id      TEXT,
        model_profile   TEXT,
        model_id        TEXT
    );
    CREATE INDEX IF NOT EXISTS idx_run_offset ON events(run_id, offset);
    CREATE INDEX IF NOT EXISTS idx_kind       ON events(kind);
    CREATE INDEX IF NOT EXISTS idx_actor      ON events(actor);
    CREATE INDEX IF NOT EXISTS idx_session_id ON events(session_id);
    CREATE INDEX IF NOT EXISTS idx_model_id   ON events(model_id);
    """
  private static let columns =
    "id, run_id, turn, kind, actor, payload, created_at, schema_version, session_id, model_profile, model_id"

  private lazy var byID = Result { [connection] in
    try Statement(connection, "SELECT \(Self.columns) FROM events WHERE id = ?")
  }
  private lazy var byRun = Result { [connection] in
    try Statement(connection, "SELECT \(Self.columns) FROM events WHERE run_id = ? ORDER BY offset")
  }

  package init(creating path: String, _ durability: Durability, byteCount: Int) throws {
    let synchronous =
      switch durability {
      case .unsynced: "OFF"
      case .checkpointed: "NORMAL"
      case .synced: "FULL"
      }
    connection = try Connection(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)
    try connection.run("PRAGMA journal_mode=WAL")
    try connection.run("PRAGMA synchronous=\(synchronous)")
    try connection.run(Self.schema)
    insert = try Self.insert(connection)
  }

  package init(opening path: String, forWriting: Bool) throws {
    connection = try Connection(path, forWriting ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY)
    if forWriting { try connection.run("PRAGMA synchronous=FULL") }
    insert = try Self.insert(connection)
    let last = try Statement(connection, "SELECT offset, payload FROM events ORDER BY offset DESC LIMIT 1")
    guard try last.step() else { throw BenchmarkError("\(path) holds no event") }
  }

  /// One more connection to a database that was created, for another thread; it waits its turn.
  package init(joining path: String) throws {
    connection = try Connection(path, SQLITE_OPEN_READWRITE)
    try connection.run("PRAGMA busy_timeout=60000")
    try connection.run("PRAGMA synchronous=FULL")
    insert = try Self.insert(connection)
  }

  private static func insert(_ connection: Connection) throws -> Statement {
    try Statement(
      connection,
      "INSERT INTO events (\(Self.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
  }

  /// Making the text of the time is the caller's work, not the database's.
  package func stage(_ events: [Event]) { staged = events.map { ($0, $0.createdAt.description) } }

  package func commit(batchSize: Int) throws {
    for start in stride(from: 0, to: staged.count, by: batchSize) {
      if batchSize > 1 { try connection.run("BEGIN") }
      for (event, createdAt) in staged[start..<min(start + batchSize, staged.count)] {
        try insert(event, createdAt: createdAt)
      }
      if batchSize > 1 { try connection.run("COMMIT") }
    }
  }

  /// Inserts one event, with its time as text; outside of a transaction it is one of its own.
  package func insert(_ event: Event, createdAt: String) throws {
    insert.bind(1, event.id)
    insert.bind(2, event.runID)
    insert.bind(3, event.turn)
    insert.bind(4, event.kind)
    insert.bind(5, event.actor)
    insert.bind(7, createdAt)
    insert.bind(8, event.schemaVersion)
    insert.bind(9, event.sessionID)
    insert.bind(10, event.modelProfile)
    insert.bind(11, event.modelID)
    try insert.step(binding: event.payload, at: 6)
  }

  /// Moves everything from the write-ahead log into the main file.
  package func checkpoint() throws { try connection.run("PRAGMA wal_checkpoint(TRUNCATE)") }

  /// Copies the database to a new file by SQLite's backup interface: all pages in one step, the copy synced by its default.
  package func backUp(to path: String) throws { try connection.backUp(to: path) }

  package func close() throws {
    insert.finalize()
    if case .success(let statement) = byID { statement.finalize() }
    if case .success(let statement) = byRun { statement.finalize() }
    try connection.close()
  }

  package func scan(_ body: (RawSpan, RawSpan, RawSpan) -> Void) throws {
    let statement = try Statement(connection, "SELECT \(Self.columns) FROM events ORDER BY offset")
    defer { statement.finalize() }
    while try statement.step() { statement.withColumns(0, 1, 5, body) }
  }

  package func find(id: String) throws -> Int? {
    let statement = try byID.get()
    statement.bind(1, id)
    defer { statement.reset() }
    return try statement.step() ? statement.readRow(payload: 5) : nil
  }

  package func read(run: String) throws -> (events: Int, payloadBytes: Int) {
    let statement = try byRun.get()
    statement.bind(1, run)
    defer { statement.reset() }
    var (events, payloadBytes) = (0, 0)
    while try statement.step() {
      events += 1
      payloadBytes += statement.readRow(payload: 5)
    }
    return (events, payloadBytes)
  }

  package var facts: [(name: String, value: Double)] { [] }
}
