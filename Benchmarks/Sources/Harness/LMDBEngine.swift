internal import CLMDB
internal import Synchronization

// Every call of LMDB's interface and every pointer it gives lives in this file.

/// LMDB: a tree each for events, ids and runs in one environment. Synced as it is unless told otherwise; unsynced with
/// NOSYNC and WRITEMAP, its quickest, with which a power cut may cost more than the last commits.
///
/// `@unchecked Sendable`: reads are asked of one thread at a time, and so is the transaction for them; the last offset changes under LMDB's own lock
/// for writers.
@safe package final class LMDBEngine: KeyValueEngine, @unchecked Sendable {
  fileprivate var environment: OpaquePointer?
  private var readTransaction: OpaquePointer?
  private var isReading = false
  fileprivate var tables: (events: MDB_dbi, ids: MDB_dbi, runs: MDB_dbi) = (0, 0, 0)
  fileprivate var lastOffset: UInt64 = 0
  private let isReadOnly: Bool

  package convenience init(creating path: String, _ policy: Policy, byteCount: Int) throws {
    try SystemCall.makeDirectory(path)
    try self.init(path, flags: Self.flags(policy))
  }

  package convenience init(opening path: String, _ access: Access) throws {
    switch access {
    case .reading: try self.init(path, flags: UInt32(MDB_RDONLY))
    case .writing(let policy): try self.init(path, flags: Self.flags(policy))
    }
  }

  /// It has nothing between a sync with each commit and none.
  private static func flags(_ policy: Policy) -> UInt32 {
    policy == .always ? 0 : UInt32(MDB_NOSYNC) | UInt32(MDB_WRITEMAP)
  }

  private init(_ path: String, flags: UInt32) throws {
    isReadOnly = flags & UInt32(MDB_RDONLY) != 0
    try check(unsafe mdb_env_create(&environment))
    try check(unsafe mdb_env_set_maxdbs(environment, 3))
    try check(unsafe mdb_env_set_mapsize(environment, EngineSettings.mapByteCount))
    // NOTLS: a transaction belongs to who made it and not to a thread. NOMEMINIT: no page is cleared before it is filled.
    try check(
      unsafe mdb_env_open(environment, path, flags | UInt32(MDB_NOTLS) | UInt32(MDB_NOMEMINIT), 0o600))
    var transaction: OpaquePointer?
    try check(unsafe mdb_txn_begin(environment, nil, isReadOnly ? UInt32(MDB_RDONLY) : 0, &transaction))
    let create = isReadOnly ? 0 : UInt32(MDB_CREATE)
    try check(unsafe mdb_dbi_open(transaction, "events", create, &tables.events))
    try check(unsafe mdb_dbi_open(transaction, "ids", create, &tables.ids))
    try check(unsafe mdb_dbi_open(transaction, "runs", create, &tables.runs))
    try check(unsafe mdb_txn_commit(transaction))
    lastOffset = try readLastOffset()
  }

  private func readLastOffset() throws -> UInt64 {
    try beginReading()
    defer { endReading() }
    var (key, value) = unsafe (MDB_val(), MDB_val())
    return try unsafe withCursor(tables.events) { cursor in
      let code = unsafe mdb_cursor_get(cursor, &key, &value, MDB_LAST)
      if code == MDB_NOTFOUND { return 0 }
      try check(code)
      return unsafe RawSpan(_unsafeBytes: key.bytes).trailingOffset
    }
  }

  func keyedAppender() -> LMDBAppender { LMDBAppender(self) }

  package func close() throws {
    unsafe mdb_txn_abort(readTransaction)
    unsafe readTransaction = nil
    unsafe mdb_env_close(environment)
    unsafe environment = nil
  }

  // MARK: Reading

  func beginReading() throws {
    precondition(!isReading)
    if unsafe readTransaction == nil {
      try check(unsafe mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &readTransaction))
    } else {
      try check(unsafe mdb_txn_renew(readTransaction))
    }
    isReading = true
  }

  func endReading() {
    unsafe mdb_txn_reset(readTransaction)
    isReading = false
  }

  fileprivate func table(_ key: [UInt8]) -> MDB_dbi {
    switch key[0] {
    case Key.events: tables.events
    case Key.ids: tables.ids
    default: tables.runs
    }
  }

  func get(_ key: [UInt8], _ body: (RawSpan) -> Void) throws -> Bool {
    try unsafe withKey(key) { name in
      var (name, value) = unsafe (name, MDB_val())
      let code = unsafe mdb_get(readTransaction, table(key), &name, &value)
      if code == MDB_NOTFOUND { return false }
      try check(code)
      body(unsafe RawSpan(_unsafeBytes: value.bytes))
      return true
    }
  }

  func iterate(from key: [UInt8], _ body: (RawSpan, RawSpan) throws -> Bool) throws {
    try unsafe withCursor(table(key)) { cursor in
      try unsafe withKey(key) { first in
        var (key, value) = unsafe (first, MDB_val())
        var code = unsafe mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
        while code != MDB_NOTFOUND {
          try check(code)
          guard
            try body(
              unsafe RawSpan(_unsafeBytes: key.bytes), unsafe RawSpan(_unsafeBytes: value.bytes))
          else { return }
          code = unsafe mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
        }
      }
    }
  }

  private func withCursor<R>(_ table: MDB_dbi, _ body: (OpaquePointer?) throws -> R) throws -> R {
    var cursor: OpaquePointer?
    try check(unsafe mdb_cursor_open(readTransaction, table, &cursor))
    defer { unsafe mdb_cursor_close(cursor) }
    return try unsafe body(cursor)
  }

  // MARK: Copies

  /// Its own copy, synced, which it does not do itself.
  package func snapshot(to path: String) throws {
    try SystemCall.makeDirectory(path)
    try check(unsafe mdb_env_copy(environment, path))
    try SystemCall.sync("\(path)/data.mdb")
  }

  /// The map is as long as it may ever become, and full of holes.
  package static func usedBytes(_ path: String) -> Int { SystemCall.allocatedBytes(path) }
}

/// `@unchecked Sendable`: used by one thread.
@safe final class LMDBAppender: KeyValueAppender, @unchecked Sendable {
  let store: LMDBEngine
  var staging = KeyValueStaging()
  private var transaction: OpaquePointer?
  private var claimed: UInt64 = 0

  fileprivate init(_ store: LMDBEngine) { self.store = store }

  /// One writer at a time is what LMDB has anyway.
  var ids: IDsInFlight? { nil }

  func begin() throws {
    try check(unsafe mdb_txn_begin(store.environment, nil, 0, &transaction))
    claimed = store.lastOffset
  }

  func claim(_ id: [UInt8]) throws -> (offset: UInt64, isNew: Bool) {
    var offset = Key()
    offset.setOffset(claimed + 1)
    let code = try put(id, unsafe offset.bytes.span.bytes, UInt32(MDB_NOOVERWRITE))
    if let existing = code { return (existing, false) }
    claimed += 1
    return (claimed, true)
  }

  /// Offsets rise, so that events go behind the last one.
  func put(_ key: [UInt8], _ value: RawSpan) throws {
    _ = try put(key, value, key[0] == Key.events ? UInt32(MDB_APPEND) : 0)
  }

  /// The offset that is there already, if the flags forbid to overwrite it.
  private func put(_ key: [UInt8], _ value: RawSpan, _ flags: UInt32) throws -> UInt64? {
    try unsafe withKey(key) { name in
      try unsafe value.withUnsafeBytes { value in
        var name = unsafe name
        var value = unsafe MDB_val(
          mv_size: value.count, mv_data: UnsafeMutableRawPointer(mutating: value.baseAddress))
        let code = unsafe mdb_put(transaction, store.table(key), &name, &value, flags)
        if code == MDB_KEYEXIST { return unsafe RawSpan(_unsafeBytes: value.bytes).trailingOffset }
        try check(code)
        return nil
      }
    }
  }

  func delete(_ key: [UInt8]) throws {
    try unsafe withKey(key) { name in
      var name = unsafe name
      try check(unsafe mdb_del(transaction, store.table(key), &name, nil))
    }
  }

  func commitChanges() throws {
    // Others wait for this transaction's end, so that they see it.
    store.lastOffset = claimed
    let ending = unsafe transaction
    unsafe transaction = nil
    try check(unsafe mdb_txn_commit(ending))
  }

  func abandonChanges() {
    unsafe mdb_txn_abort(transaction)
    unsafe transaction = nil
  }
}

/// A key without its first byte, which says no more than its table.
private func withKey<R>(_ key: [UInt8], _ body: (MDB_val) throws -> R) rethrows -> R {
  try unsafe key.withUnsafeBytes { bytes in
    try unsafe body(
      MDB_val(
        mv_size: bytes.count - 1,
        mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress.map { unsafe $0 + 1 })))
  }
}

extension MDB_val {
  fileprivate var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: mv_data, count: mv_size)
  }
}

private func check(_ code: Int32) throws {
  guard code != 0 else { return }
  throw BenchmarkError("LMDB error \(code): \(unsafe String(cString: mdb_strerror(code)))")
}
