internal import CLevelDB

// Every call of LevelDB's C interface and every pointer it gives lives in this file.

/// LevelDB without compression, since no other engine here compresses; filters of ten bits a key, a write buffer of 64 MiB,
/// files of 32 MiB, which it maps.
///
/// `@unchecked Sendable`: reads are asked of one thread at a time; the handle itself is for all of them.
@safe package final class LevelDBEngine: KeyValueEngine, @unchecked Sendable {
  fileprivate let handle: OpaquePointer
  private let readOptions: OpaquePointer
  fileprivate let isSynced: Bool
  fileprivate let offsets: IDsInFlight

  package convenience init(creating path: String, _ policy: Policy, byteCount: Int) throws {
    try self.init(path, .writing(policy), isNew: true)
  }

  package convenience init(opening path: String, _ access: Access) throws {
    try self.init(path, access, isNew: false)
  }

  private init(_ path: String, _ access: Access, isNew: Bool) throws {
    let options = unsafe Self.options(isNew: isNew)
    // It has no way to open without writing.
    if case .writing(.always) = access { isSynced = true } else { isSynced = false }
    let handle = try unsafe failing { unsafe leveldb_open(options, path, &$0) }
    guard let handle = unsafe handle, let readOptions = unsafe leveldb_readoptions_create() else {
      throw BenchmarkError("LevelDB does not open \(path)")
    }
    unsafe leveldb_readoptions_set_verify_checksums(readOptions, 0)
    unsafe self.handle = unsafe handle
    unsafe self.readOptions = unsafe readOptions
    offsets = IDsInFlight(lastOffset: try unsafe Self.lastOffset(handle, readOptions))
  }

  /// They, the cache and the filter have to outlive the database, and last as long as the process.
  private static func options(isNew: Bool) -> OpaquePointer? {
    let options = unsafe leveldb_options_create()
    unsafe leveldb_options_set_create_if_missing(options, isNew ? 1 : 0)
    unsafe leveldb_options_set_error_if_exists(options, isNew ? 1 : 0)
    unsafe leveldb_options_set_compression(options, Int32(leveldb_no_compression))
    unsafe leveldb_options_set_write_buffer_size(options, EngineSettings.writeBufferByteCount)
    unsafe leveldb_options_set_max_file_size(options, 32 << 20)
    unsafe leveldb_options_set_filter_policy(
      options, leveldb_filterpolicy_create_bloom(Int32(EngineSettings.filterBits)))
    unsafe leveldb_options_set_cache(options, leveldb_cache_create_lru(EngineSettings.cacheByteCount))
    return unsafe options
  }

  private static func lastOffset(_ handle: OpaquePointer, _ options: OpaquePointer) throws -> UInt64 {
    let iterator = unsafe leveldb_create_iterator(handle, options)
    defer { unsafe leveldb_iter_destroy(iterator) }
    // No event's key lies behind this one.
    let end = CChar(bitPattern: Key.events + 1)
    unsafe withUnsafePointer(to: end) { unsafe leveldb_iter_seek(iterator, $0, 1) }
    if unsafe leveldb_iter_valid(iterator) != 0 {
      unsafe leveldb_iter_prev(iterator)
    } else {
      unsafe leveldb_iter_seek_to_last(iterator)
    }
    try unsafe failing { unsafe leveldb_iter_get_error(iterator, &$0) }
    guard unsafe leveldb_iter_valid(iterator) != 0 else { return 0 }
    var length = 0
    let key = unsafe leveldb_iter_key(iterator, &length)
    return unsafe RawSpan(_unsafeStart: UnsafeRawPointer(key)!, byteCount: length).trailingOffset
  }

  func keyedAppender() throws -> LevelDBAppender { try LevelDBAppender(self) }

  package func close() throws {
    unsafe leveldb_readoptions_destroy(readOptions)
    unsafe leveldb_close(handle)
  }

  // MARK: Reading

  /// An iterator reads what was there when it was made.
  func beginReading() {}
  func endReading() {}

  func get(_ key: [UInt8], _ body: (RawSpan) -> Void) throws -> Bool {
    try unsafe withText(key) { name, length in
      var count = 0
      let value = try unsafe failing { unsafe leveldb_get(handle, readOptions, name, length, &count, &$0) }
      guard let value = unsafe value else { return false }
      defer { unsafe leveldb_free(value) }
      body(unsafe RawSpan(_unsafeStart: UnsafeRawPointer(value), byteCount: count))
      return true
    }
  }

  func iterate(from key: [UInt8], _ body: (RawSpan, RawSpan) throws -> Bool) throws {
    let iterator = unsafe leveldb_create_iterator(handle, readOptions)
    defer { unsafe leveldb_iter_destroy(iterator) }
    unsafe withText(key) { unsafe leveldb_iter_seek(iterator, $0, $1) }
    while unsafe leveldb_iter_valid(iterator) != 0 {
      var (nameLength, valueLength) = (0, 0)
      let name = unsafe leveldb_iter_key(iterator, &nameLength)
      let value = unsafe leveldb_iter_value(iterator, &valueLength)
      let found = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: name, count: nameLength))
      guard found.load(0, as: UInt8.self) == key[0],
        try body(
          found.extracting(1...),
          unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: value, count: valueLength)))
      else { return }
      unsafe leveldb_iter_next(iterator)
    }
    try unsafe failing { unsafe leveldb_iter_get_error(iterator, &$0) }
  }

  // MARK: Copies

  package func snapshot(to path: String) throws { throw BenchmarkError("LevelDB copies nothing") }
}

/// `@unchecked Sendable`: used by one thread.
@safe final class LevelDBAppender: KeyValueAppender, @unchecked Sendable {
  let store: LevelDBEngine
  var staging = KeyValueStaging()
  private let batch: OpaquePointer?
  private let options: OpaquePointer?
  private var offset = Key()

  fileprivate init(_ store: LevelDBEngine) throws {
    self.store = store
    unsafe batch = unsafe leveldb_writebatch_create()
    unsafe options = unsafe leveldb_writeoptions_create()
    unsafe leveldb_writeoptions_set_sync(options, store.isSynced ? 1 : 0)
    store.offsets.join()
  }

  var ids: IDsInFlight? { store.offsets }

  func begin() { unsafe leveldb_writebatch_clear(batch) }

  func claim(_ id: [UInt8]) throws -> (offset: UInt64, isNew: Bool) {
    var existing: UInt64?
    if try store.get(id, { existing = $0.trailingOffset }), let existing { return (existing, false) }
    let next = store.offsets.nextOffset()
    offset.setOffset(next)
    let value = offset.bytes
    try put(id, unsafe value.span.bytes)
    return (next, true)
  }

  func put(_ key: [UInt8], _ value: RawSpan) throws {
    unsafe withText(key) { name, length in
      unsafe value.withUnsafeBytes { value in
        unsafe leveldb_writebatch_put(
          batch, name, length, value.baseAddress?.assumingMemoryBound(to: CChar.self), value.count)
      }
    }
  }

  func delete(_ key: [UInt8]) throws {
    unsafe withText(key) { unsafe leveldb_writebatch_delete(batch, $0, $1) }
  }

  func commitChanges() throws {
    try unsafe failing { unsafe leveldb_write(store.handle, options, batch, &$0) }
  }

  func abandonChanges() {}

  func finish() throws {
    unsafe leveldb_writebatch_destroy(batch)
    unsafe leveldb_writeoptions_destroy(options)
  }
}

private func withText<R>(_ key: [UInt8], _ body: (UnsafePointer<CChar>?, Int) throws -> R) rethrows -> R {
  try unsafe key.withUnsafeBytes { bytes in
    try unsafe body(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
  }
}

/// Calls what tells its error by a text.
private func failing<R>(_ call: (inout UnsafeMutablePointer<CChar>?) -> R) throws -> R {
  var text: UnsafeMutablePointer<CChar>?
  let result = unsafe call(&text)
  guard let text = unsafe text else { return result }
  defer { unsafe leveldb_free(text) }
  throw BenchmarkError("LevelDB: \(unsafe String(cString: text))")
}
