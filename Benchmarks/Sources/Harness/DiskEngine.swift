internal import Glibc
internal import RunLedger
internal import Synchronization

/// The bare disk: the same bytes, laid out before the clock starts, with nothing but `pwrite` into one preallocated file,
/// and `fdatasync`. What no store can beat while it keeps to system calls. Several appenders at once share their writes and
/// syncs in a bare loop of leader and followers.
package final class DiskEngine: Engine {
  fileprivate let file: Int32
  fileprivate let path: String
  fileprivate let policy: Policy
  fileprivate let group = GroupCommit()
  fileprivate let appenderCount = Atomic<Int>(0)

  /// What the ledger writes before each record; the file's bytes are those of a frame and a row.
  fileprivate static let frameByteCount = 32

  package init(creating path: String, _ policy: Policy, byteCount: Int) throws {
    self.path = path
    self.policy = policy
    file = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw SystemCall.failure("open", path) }
    let code = posix_fallocate(file, 0, byteCount)
    guard code == 0 else { throw SystemCall.failure("posix_fallocate", path, code) }
    guard fsync(file) == 0 else { throw SystemCall.failure("fsync", path) }
  }

  package init(opening path: String, _ access: Access) throws {
    self.path = path
    policy = .never
    file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw SystemCall.failure("open", path) }
  }

  deinit { _ = Glibc.close(file) }

  package func appender() -> any Appender {
    appenderCount.add(1, ordering: .relaxed)
    return DiskAppender(self)
  }

  package func close() throws {}

  /// Writes bytes and, if the policy says so, syncs them.
  fileprivate func write(_ bytes: UnsafeRawBufferPointer, at position: Int) throws {
    guard unsafe pwrite(file, bytes.baseAddress, bytes.count, position) == bytes.count else {
      throw SystemCall.failure("pwrite", path)
    }
    if policy == .always, fdatasync(file) != 0 { throw SystemCall.failure("fdatasync", path) }
  }

  /// For comparing what was written; this is no measurement.
  package func scan(after offset: UInt64, limit: Int, _ body: RowBody) throws {
    var buffer = [UInt8](repeating: 0, count: 8 << 20)
    var position = 0
    var rest = limit
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe pread(file, $0.baseAddress, $0.count, position)
      }
      guard count >= 0 else { throw SystemCall.failure("pread", path) }
      var start = 0
      let bytes = unsafe buffer.span.bytes
      while rest > 0, start + Self.frameByteCount < count {
        let row = bytes.extracting(start + Self.frameByteCount..<count)
        guard let length = EventRow.byteCount(at: row) else { break }
        // Beyond the last row there are zeros.
        if length == EventRow.fixedByteCount { return }
        EventRow.read(row, body)
        start += (Self.frameByteCount + length + 7) & ~7
        rest -= 1
      }
      if start == 0 || rest == 0 { return }
      position += start
    }
  }

  private static let findsNothing = BenchmarkError("the bare disk only appends")

  package func find(id: String, _ body: RowBody) throws -> Bool { throw Self.findsNothing }
  package func read(run: String, _ body: RowBody) throws { throw Self.findsNothing }
  package func filter(_ field: Field, _ value: String, _ body: RowBody) throws { throw Self.findsNothing }
  package func snapshot(to path: String) throws { throw Self.findsNothing }
  package func drop(through offset: UInt64) throws -> Int { throw Self.findsNothing }
}

/// `@unchecked Sendable`: used by one thread; what appenders share is in `GroupCommit`, behind its lock.
private final class DiskAppender: Appender, @unchecked Sendable {
  private let disk: DiskEngine
  private var rows = EncodedRows()
  /// Where it writes next, while it is the only one.
  private var position = 0

  init(_ disk: DiskEngine) { self.disk = disk }

  func stage(_ events: [Event]) { rows = EncodedRows(events, headerByteCount: DiskEngine.frameByteCount) }

  func commit(_ range: Range<Int>) throws -> Int {
    let place = rows.place(of: range)
    try unsafe rows.bytes.withUnsafeBytes { bytes in
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: bytes[place])
      if disk.appenderCount.load(ordering: .relaxed) == 1 {
        try unsafe disk.write(bytes, at: position)
        position += bytes.count
        return
      }
      try unsafe disk.group.commit(bytes) { group, position in try unsafe disk.write(group, at: position) }
    }
    return range.count
  }
}
