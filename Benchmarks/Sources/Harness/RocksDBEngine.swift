internal import CRocksDB

// Every call of RocksDB's C interface and every pointer it gives lives in this file.

/// RocksDB: one column family, without compression, since no other engine here compresses; files mapped, filters of ten
/// bits a key, write buffers of 64 MiB, as many background jobs as there are cores.
///
/// `@unchecked Sendable`: reads are asked of one thread at a time; the handle itself is for all of them.
@safe package final class RocksDBEngine: KeyValueEngine, @unchecked Sendable {
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
    defer { unsafe rocksdb_options_destroy(options) }
    let handle: OpaquePointer?
    switch access {
    case .reading:
      isSynced = false
      unsafe handle = try unsafe failing { unsafe rocksdb_open_for_read_only(options, path, 0, &$0) }
    case .writing(let policy):
      isSynced = policy == .always
      unsafe handle = try unsafe failing { unsafe rocksdb_open(options, path, &$0) }
    }
    guard let handle = unsafe handle, let readOptions = unsafe rocksdb_readoptions_create() else {
      throw BenchmarkError("RocksDB does not open \(path)")
    }
    unsafe rocksdb_readoptions_set_verify_checksums(readOptions, 0)
    unsafe self.handle = unsafe handle
    unsafe self.readOptions = unsafe readOptions
    offsets = IDsInFlight(lastOffset: try unsafe Self.lastOffset(handle, readOptions))
  }

  private static func options(isNew: Bool) -> OpaquePointer? {
    let options = unsafe rocksdb_options_create()
    unsafe rocksdb_options_set_create_if_missing(options, isNew ? 1 : 0)
    unsafe rocksdb_options_set_error_if_exists(options, isNew ? 1 : 0)
    unsafe rocksdb_options_set_compression(options, Int32(rocksdb_no_compression))
    unsafe rocksdb_options_set_write_buffer_size(options, EngineSettings.writeBufferByteCount)
    unsafe rocksdb_options_set_max_write_buffer_number(options, 4)
    unsafe rocksdb_options_set_max_background_jobs(options, Int32(SystemCall.coreCount()))
    unsafe rocksdb_options_set_allow_mmap_reads(options, 1)
    unsafe rocksdb_options_set_max_open_files(options, -1)
    // Most looks for an id find nothing, also in memory.
    unsafe rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.1)
    unsafe rocksdb_options_set_memtable_whole_key_filtering(options, 1)
    let table = unsafe rocksdb_block_based_options_create()
    defer { unsafe rocksdb_block_based_options_destroy(table) }
    // The table takes the filter over.
    unsafe rocksdb_block_based_options_set_filter_policy(
      table, rocksdb_filterpolicy_create_bloom_full(Double(EngineSettings.filterBits)))
    let cache = unsafe rocksdb_cache_create_lru(EngineSettings.cacheByteCount)
    defer { unsafe rocksdb_cache_destroy(cache) }
    unsafe rocksdb_block_based_options_set_block_cache(table, cache)
    unsafe rocksdb_options_set_block_based_table_factory(options, table)
    return unsafe options
  }

  private static func lastOffset(_ handle: OpaquePointer, _ options: OpaquePointer) throws -> UInt64 {
    let iterator = unsafe rocksdb_create_iterator(handle, options)
    defer { unsafe rocksdb_iter_destroy(iterator) }
    // No event's key lies behind this one.
    let end = CChar(bitPattern: Key.events + 1)
    unsafe withUnsafePointer(to: end) { unsafe rocksdb_iter_seek_for_prev(iterator, $0, 1) }
    try unsafe failing { unsafe rocksdb_iter_get_error(iterator, &$0) }
    guard unsafe rocksdb_iter_valid(iterator) != 0 else { return 0 }
    var length = 0
    let key = unsafe rocksdb_iter_key(iterator, &length)
    return unsafe RawSpan(_unsafeStart: UnsafeRawPointer(key)!, byteCount: length).trailingOffset
  }

  func keyedAppender() throws -> RocksDBAppender { try RocksDBAppender(self) }

  package func close() throws {
    unsafe rocksdb_readoptions_destroy(readOptions)
    unsafe rocksdb_close(handle)
  }

  // MARK: Reading

  /// An iterator reads what was there when it was made.
  func beginReading() {}
  func endReading() {}

  func get(_ key: [UInt8], _ body: (RawSpan) -> Void) throws -> Bool {
    try unsafe withText(key) { name, length in
      let slice = try unsafe failing { unsafe rocksdb_get_pinned(handle, readOptions, name, length, &$0) }
      guard let slice = unsafe slice else { return false }
      defer { unsafe rocksdb_pinnableslice_destroy(slice) }
      var count = 0
      let value = unsafe rocksdb_pinnableslice_value(slice, &count)
      body(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: value, count: count)))
      return true
    }
  }

  func iterate(from key: [UInt8], _ body: (RawSpan, RawSpan) throws -> Bool) throws {
    let iterator = unsafe rocksdb_create_iterator(handle, readOptions)
    defer { unsafe rocksdb_iter_destroy(iterator) }
    unsafe withText(key) { unsafe rocksdb_iter_seek(iterator, $0, $1) }
    while unsafe rocksdb_iter_valid(iterator) != 0 {
      var (nameLength, valueLength) = (0, 0)
      let name = unsafe rocksdb_iter_key(iterator, &nameLength)
      let value = unsafe rocksdb_iter_value(iterator, &valueLength)
      let found = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: name, count: nameLength))
      guard found.load(0, as: UInt8.self) == key[0],
        try body(
          found.extracting(1...),
          unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: value, count: valueLength)))
      else { return }
      unsafe rocksdb_iter_next(iterator)
    }
    try unsafe failing { unsafe rocksdb_iter_get_error(iterator, &$0) }
  }

  // MARK: Copies

  /// A checkpoint: files linked, what is in memory written to one before.
  package func snapshot(to path: String) throws {
    let checkpoint = try unsafe failing { unsafe rocksdb_checkpoint_object_create(handle, &$0) }
    defer { unsafe rocksdb_checkpoint_object_destroy(checkpoint) }
    try unsafe failing { unsafe rocksdb_checkpoint_create(checkpoint, path, 0, &$0) }
  }
}

/// `@unchecked Sendable`: used by one thread.
@safe final class RocksDBAppender: KeyValueAppender, @unchecked Sendable {
  let store: RocksDBEngine
  var staging = KeyValueStaging()
  private let batch: OpaquePointer?
  private let options: OpaquePointer?
  private var offset = Key()

  fileprivate init(_ store: RocksDBEngine) throws {
    self.store = store
    unsafe batch = unsafe rocksdb_writebatch_create()
    unsafe options = unsafe rocksdb_writeoptions_create()
    unsafe rocksdb_writeoptions_set_sync(options, store.isSynced ? 1 : 0)
    store.offsets.join()
  }

  var ids: IDsInFlight? { store.offsets }

  func begin() { unsafe rocksdb_writebatch_clear(batch) }

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
        unsafe rocksdb_writebatch_put(
          batch, name, length, value.baseAddress?.assumingMemoryBound(to: CChar.self), value.count)
      }
    }
  }

  func delete(_ key: [UInt8]) throws {
    unsafe withText(key) { unsafe rocksdb_writebatch_delete(batch, $0, $1) }
  }

  func commitChanges() throws {
    try unsafe failing { unsafe rocksdb_write(store.handle, options, batch, &$0) }
  }

  func abandonChanges() {}

  func finish() throws {
    unsafe rocksdb_writebatch_destroy(batch)
    unsafe rocksdb_writeoptions_destroy(options)
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
  defer { unsafe rocksdb_free(text) }
  throw BenchmarkError("RocksDB: \(unsafe String(cString: text))")
}
