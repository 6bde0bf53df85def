internal import CSQLite
internal import RunLedger
internal import Synchronization

/// SQLite as the ledger that ours replaces used it: its table, its unique id and five further indexes, its insert, WAL;
/// but through the C interface with prepared statements, a page cache of 1 GiB and mapped reads, which is the best it can do.
///
/// `@unchecked Sendable`: reads are asked of one thread at a time; appenders beyond the first have connections of their own.
package final class SQLiteEngine: Engine, @unchecked Sendable {
  private let file: String
  private let policy: Policy
  private let connection: Connection
  private let appenderCount = Atomic<Int>(0)
  private lazy var byID = Result { try Self.select("WHERE id = ?", connection) }
  private lazy var byRun = Result { try Self.select("WHERE run_id = ? ORDER BY offset", connection) }
  private lazy var byKind = Result { try Self.select("WHERE kind = ? ORDER BY offset", connection) }
  private lazy var byActor = Result { try Self.select("WHERE actor = ? ORDER BY offset", connection) }
  private lazy var behind = Result { try Self.select("WHERE offset > ? ORDER BY offset LIMIT ?", connection) }

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
  fileprivate static let columns =
    "id, run_id, turn, kind, actor, payload, created_at, schema_version, session_id, model_profile, model_id"

  package init(creating path: String, _ policy: Policy, byteCount: Int) throws {
    try SystemCall.makeDirectory(path)
    file = Self.file(in: path)
    self.policy = policy
    connection = try Connection(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)
    try connection.run("PRAGMA journal_mode=WAL")
    try Self.configure(connection, policy)
    try connection.run(Self.schema)
  }

  package init(opening path: String, _ access: Access) throws {
    file = Self.file(in: path)
    switch access {
    case .reading:
      policy = .never
      connection = try Connection(file, SQLITE_OPEN_READONLY)
    case .writing(let policy):
      self.policy = policy
      connection = try Connection(file, SQLITE_OPEN_READWRITE)
    }
    try Self.configure(connection, policy)
  }

  private static func file(in path: String) -> String { "\(path)/events.db" }

  private static func configure(_ connection: Connection, _ policy: Policy) throws {
    let synchronous =
      switch policy {
      case .never: "OFF"
      case .interval: "NORMAL"
      case .always: "FULL"
      }
    try connection.run("PRAGMA synchronous=\(synchronous)")
    try connection.run("PRAGMA busy_timeout=60000")
    // In pages; the default of 1,000 moves a page into the main file again and again.
    try connection.run("PRAGMA wal_autocheckpoint=20000")
    try connection.run("PRAGMA cache_size=-\(EngineSettings.cacheByteCount >> 10)")
    try connection.run("PRAGMA mmap_size=\(EngineSettings.mapByteCount)")
  }

  /// The first shares the connection, so that reads between appends find its page cache as it is.
  package func appender() throws -> any Appender {
    if appenderCount.add(1, ordering: .relaxed).newValue == 1 {
      return try SQLiteAppender(connection, isOwner: false)
    }
    let own = try Connection(file, SQLITE_OPEN_READWRITE)
    try Self.configure(own, policy)
    return try SQLiteAppender(own, isOwner: true)
  }

  package func close() throws {
    for case .success(let statement) in [byID, byRun, byKind, byActor, behind] { statement.finalize() }
    try connection.close()
  }

  // MARK: Reading

  fileprivate static func select(_ condition: String, _ connection: Connection) throws -> Statement {
    try Statement(connection, "SELECT \(columns) FROM events \(condition)")
  }

  private func each(_ statement: Statement, isWhole: Bool = true, _ body: RowBody) throws {
    defer { statement.reset() }
    while try statement.step() { statement.withRow(id: 0, run: 1, payload: 5, isWhole: isWhole, body) }
  }

  package func scan(after offset: UInt64, limit: Int, _ body: RowBody) throws {
    let statement = try behind.get()
    statement.bind(1, Int64(offset))
    statement.bind(2, Int64(limit))
    // No more of a row than what is asked for.
    try each(statement, isWhole: false, body)
  }

  package func find(id: String, _ body: RowBody) throws -> Bool {
    let statement = try byID.get()
    statement.bind(1, id)
    defer { statement.reset() }
    guard try statement.step() else { return false }
    statement.withRow(id: 0, run: 1, payload: 5, body)
    return true
  }

  package func read(run: String, _ body: RowBody) throws {
    let statement = try byRun.get()
    statement.bind(1, run)
    try each(statement, body)
  }

  package func filter(_ field: Field, _ value: String, _ body: RowBody) throws {
    let statement = try (field == .kind ? byKind : byActor).get()
    statement.bind(1, value)
    try each(statement, body)
  }

  // MARK: Copies and retention

  /// By SQLite's backup interface: all pages in one step, the copy synced by its default.
  package func snapshot(to path: String) throws {
    try SystemCall.makeDirectory(path)
    try connection.backUp(to: Self.file(in: path))
  }

  package func drop(through offset: UInt64) throws -> Int {
    try connection.run("DELETE FROM events WHERE offset <= \(offset)")
    return connection.changeCount
  }
}

/// `@unchecked Sendable`: used by one thread; it has a connection to itself, or the engine's while nobody reads.
private final class SQLiteAppender: Appender, @unchecked Sendable {
  private let connection: Connection
  private let isOwner: Bool
  private let insert: Statement
  private lazy var byID = Result { try SQLiteEngine.select("WHERE id = ?", connection) }
  private var staged: [(event: Event, createdAt: String)] = []

  init(_ connection: Connection, isOwner: Bool) throws {
    self.connection = connection
    self.isOwner = isOwner
    insert = try Statement(
      connection,
      "INSERT INTO events (\(SQLiteEngine.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
  }

  /// Making the text of the time is the caller's work, not the database's.
  func stage(_ events: [Event]) { staged = events.map { ($0, $0.createdAt.description) } }

  /// Outside of a transaction an insert is one of its own.
  func commit(_ range: Range<Int>) throws -> Int {
    if range.count > 1 { try connection.run("BEGIN") }
    var stored = 0
    for (event, createdAt) in staged[range] where try store(event, createdAt) { stored += 1 }
    if range.count > 1 { try connection.run("COMMIT") }
    return stored
  }

  private func store(_ event: Event, _ createdAt: String) throws -> Bool {
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
    if try insert.run(binding: event.payload, at: 6) { return true }
    try requireSame(event)
    return false
  }

  /// An id that is taken must be taken by the same event.
  private func requireSame(_ event: Event) throws {
    let statement = try byID.get()
    statement.bind(1, event.id)
    defer { statement.reset() }
    var isSame = false
    if try statement.step() {
      statement.withRow(id: 0, run: 1, payload: 5) { _, run, payload in
        let other = unsafe event.payload.span.bytes
        isSame = run.equals(event.runID) && payload.equals(other)
      }
    }
    guard isSame else { throw BenchmarkError("another event has the id \(event.id)") }
  }

  func finish() throws {
    insert.finalize()
    if case .success(let statement) = byID { statement.finalize() }
    if isOwner { try connection.close() }
  }
}

/// What engines are given alike.
enum EngineSettings {
  /// For pages or blocks, where an engine has a cache of its own.
  static let cacheByteCount = 1 << 30
  /// How much may be mapped; address space only.
  static let mapByteCount = 256 << 30
  /// Of each id's filter, where an engine has one.
  static let filterBits = 10
  /// What is gathered in memory before a file is made of it.
  static let writeBufferByteCount = 64 << 20
}
