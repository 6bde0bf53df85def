internal import CSQLite

// Every call of SQLite's C interface and every pointer it gives lives in this file.

/// An open database.
@safe final class Connection {
  fileprivate var handle: OpaquePointer?

  init(_ path: String, _ flags: Int32) throws {
    let code = unsafe sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK else { throw failure(code) }
  }

  func run(_ sql: String) throws {
    let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw failure(code) }
  }

  func close() throws {
    let code = unsafe sqlite3_close_v2(handle)
    guard code == SQLITE_OK else { throw failure(code) }
    unsafe handle = nil
  }

  var changeCount: Int { Int(unsafe sqlite3_changes(handle)) }

  func backUp(to path: String) throws {
    let copy = try Connection(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)
    guard let backup = unsafe sqlite3_backup_init(copy.handle, "main", handle, "main") else {
      throw copy.failure(1)
    }
    let code = unsafe sqlite3_backup_step(backup, -1)
    unsafe sqlite3_backup_finish(backup)
    guard code == SQLITE_DONE else { throw copy.failure(code) }
    try copy.close()
  }

  fileprivate func failure(_ code: Int32) -> BenchmarkError {
    BenchmarkError("SQLite error \(code): \(unsafe String(cString: sqlite3_errmsg(handle)))")
  }
}

/// A prepared statement.
@safe final class Statement {
  private let connection: Connection
  private var handle: OpaquePointer?

  /// "Copy it": the statement outlives the text.
  private static let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)

  init(_ connection: Connection, _ sql: String) throws {
    self.connection = connection
    let code = unsafe sqlite3_prepare_v3(
      connection.handle,
      sql,
      -1,
      UInt32(SQLITE_PREPARE_PERSISTENT),
      &handle,
      nil
    )
    guard code == SQLITE_OK else { throw connection.failure(code) }
  }

  deinit { finalize() }

  func finalize() {
    unsafe sqlite3_finalize(handle)
    unsafe handle = nil
  }

  // A binding can fail only for want of memory or by a wrong index; the step after it then fails too.

  func bind(_ index: Int32, _ text: String) {
    unsafe text.utf8Span.span.withUnsafeBytes { text in
      _ = unsafe sqlite3_bind_text(
        handle,
        index,
        text.baseAddress?.assumingMemoryBound(to: CChar.self),
        Int32(text.count),
        Self.transient
      )
    }
  }

  func bind(_ index: Int32, _ text: String?) {
    if let text { bind(index, text) } else { unsafe sqlite3_bind_null(handle, index) }
  }

  func bind(_ index: Int32, _ value: Int64) { unsafe sqlite3_bind_int64(handle, index, value) }

  /// Runs an insert with one more text, which is not copied; false if it breaks a constraint.
  func run(binding text: [UInt8], at index: Int32) throws -> Bool {
    try unsafe text.withUnsafeBytes { text in
      unsafe sqlite3_bind_text(
        handle,
        index,
        text.baseAddress?.assumingMemoryBound(to: CChar.self),
        Int32(text.count),
        nil
      )
      let code = unsafe sqlite3_step(handle)
      unsafe sqlite3_reset(handle)
      if code == SQLITE_CONSTRAINT { return false }
      guard code == SQLITE_DONE else { throw connection.failure(code) }
      return true
    }
  }

  /// True if there is another row.
  func step() throws -> Bool {
    switch unsafe sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    case let code: throw connection.failure(code)
    }
  }

  func reset() { unsafe sqlite3_reset(handle) }

  /// With `isWhole` it reads every column, as a caller who makes an event of the row does.
  func withRow(id: Int32, run: Int32, payload: Int32, isWhole: Bool = true, _ body: RowBody) {
    if isWhole {
      let columnCount = unsafe sqlite3_column_count(handle)
      for index in 0..<columnCount {
        if unsafe sqlite3_column_type(handle, index) == SQLITE_INTEGER {
          _ = unsafe sqlite3_column_int64(handle, index)
        } else {
          _ = unsafe column(index)
        }
      }
    }
    body(
      unsafe RawSpan(_unsafeBytes: column(id)),
      unsafe RawSpan(_unsafeBytes: column(run)),
      unsafe RawSpan(_unsafeBytes: column(payload))
    )
  }

  private func column(_ index: Int32) -> UnsafeRawBufferPointer {
    let text = unsafe UnsafeRawPointer(sqlite3_column_text(handle, index))
    return unsafe UnsafeRawBufferPointer(start: text, count: Int(sqlite3_column_bytes(handle, index)))
  }
}
