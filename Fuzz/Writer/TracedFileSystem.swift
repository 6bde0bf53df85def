internal import LogEngine
internal import PlatformIO

/// A file system that writes down every operation that changes or reads the disk, with its bytes and times, so that what a
/// real disk made of them can be held against what a simulated one may make of them.
///
/// JSON lines, each by one write: `{"n":7,"op":"write","path":…,"file":5,"position":…,"bytes":"hex","start":ns}` before an
/// operation and `{"n":7,"end":ns,"error":null}` after it, so that one without an end was under way. The operations are
/// FileSystem's and LogFile's, by their names; `open` has the mode, `write` the bytes, `read` and `map` only how many. `file` is
/// the number of the `open` that gave the file, which may have another name since. What only asks (`status`, `entries`,
/// `nextData`) is left out.
final class TracedFileSystem: FileSystem {
  private struct Log {
    var file: any LogFile
    var end: UInt64 = 0
    var count = 0

    mutating func append(_ line: String) throws(FileSystemError) {
      let bytes = Array(line.utf8)
      try file.write(bytes.span.rawBytes, at: end)
      end += UInt64(bytes.count)
    }
  }

  private let base: any FileSystem
  private let log: Monitor<Log>

  init(_ base: any FileSystem, to path: String) {
    self.base = base
    do throws(FileSystemError) {
      let file = try DiskFileSystem.shared.open(path, .createIfMissing)
      log = Monitor(Log(file: file, end: try file.status().length))
    } catch {
      fatalError("\(error)")
    }
  }

  private func write(_ line: String, _ log: inout Log) {
    do throws(FileSystemError) {
      try log.append(line)
    } catch {
      fatalError("\(error)")
    }
  }

  fileprivate func trace<R>(
    _ operation: String, _ path: String, _ more: String = "", _ body: (Int) throws(FileSystemError) -> R
  ) throws(FileSystemError) -> R {
    let number = log.update { log in
      log.count += 1
      let start = SystemEnvironment.monotonicNanoseconds()
      write(
        "{\"n\":\(log.count),\"op\":\"\(operation)\",\"path\":\(Self.quoted(path))\(more),\"start\":\(start)}\n",
        &log)
      return log.count
    }
    do throws(FileSystemError) {
      let result = try body(number)
      finish(number, "null")
      return result
    } catch {
      finish(number, "\"\(error.code)\"")
      throw error
    }
  }

  private func finish(_ number: Int, _ error: String) {
    let end = SystemEnvironment.monotonicNanoseconds()
    log.update { log in write("{\"n\":\(number),\"end\":\(end),\"error\":\(error)}\n", &log) }
  }

  /// Paths here are the harness's own, without control characters.
  fileprivate static func quoted(_ text: String) -> String {
    "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
  }

  fileprivate static func hex(_ bytes: RawSpan) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(2 * bytes.byteCount)
    for position in 0..<bytes.byteCount {
      let byte = bytes.loadUInt8(at: position)
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  func absolutePath(_ path: String) throws(FileSystemError) -> String { try base.absolutePath(path) }

  func resolvedPath(_ path: String) throws(FileSystemError) -> String { try base.resolvedPath(path) }

  func isRemote(_ path: String) throws(FileSystemError) -> Bool { try base.isRemote(path) }

  func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    try trace("createDirectory", path) { _ throws(FileSystemError) in try base.createDirectory(path) }
  }

  func entries(of directory: String) throws(FileSystemError) -> [String] { try base.entries(of: directory) }

  func status(of path: String) throws(FileSystemError) -> FileStatus? { try base.status(of: path) }

  func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile {
    try trace("open", path, ",\"mode\":\"\(mode)\"") { number throws(FileSystemError) in
      TracedFile(try base.open(path, mode), number, self)
    }
  }

  func link(_ path: String, as newPath: String) throws(FileSystemError) {
    try trace("link", path, ",\"to\":\(Self.quoted(newPath))") { _ throws(FileSystemError) in
      try base.link(path, as: newPath)
    }
  }

  func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try trace("rename", path, ",\"to\":\(Self.quoted(newPath))") { _ throws(FileSystemError) in
      try base.rename(path, to: newPath)
    }
  }

  func renameNew(_ path: String, to newPath: String) throws(FileSystemError) {
    try trace("renameNew", path, ",\"to\":\(Self.quoted(newPath))") { _ throws(FileSystemError) in
      try base.renameNew(path, to: newPath)
    }
  }

  func exchange(_ path: String, with otherPath: String) throws(FileSystemError) {
    try trace("exchange", path, ",\"to\":\(Self.quoted(otherPath))") { _ throws(FileSystemError) in
      try base.exchange(path, with: otherPath)
    }
  }

  func unlink(_ path: String) throws(FileSystemError) {
    try trace("unlink", path) { _ throws(FileSystemError) in try base.unlink(path) }
  }

  func removeDirectory(_ path: String) throws(FileSystemError) {
    try trace("removeDirectory", path) { _ throws(FileSystemError) in try base.removeDirectory(path) }
  }

  func syncDirectory(_ path: String) throws(FileSystemError) {
    try trace("syncDirectory", path) { _ throws(FileSystemError) in try base.syncDirectory(path) }
  }
}

private final class TracedFile: LogFile {
  private let base: any LogFile
  private let number: Int
  private let owner: TracedFileSystem

  init(_ base: any LogFile, _ number: Int, _ owner: TracedFileSystem) {
    self.base = base
    self.number = number
    self.owner = owner
  }

  var path: String { base.path }

  private func trace<R>(
    _ operation: String, _ more: String = "", _ body: () throws(FileSystemError) -> R
  ) throws(FileSystemError) -> R {
    try owner.trace(operation, path, ",\"file\":\(number)\(more)") { _ throws(FileSystemError) in try body() }
  }

  func status() throws(FileSystemError) -> FileStatus { try base.status() }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int {
    // A closure may not keep the borrowed buffer, so the call stands outside of one.
    try trace("read", ",\"position\":\(position),\"count\":\(buffer.byteCount)") {
      () throws(FileSystemError) in
    }
    return try base.read(into: &buffer, at: position)
  }

  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError) {
    try trace(
      "write", ",\"position\":\(position),\"bytes\":\"\(TracedFileSystem.hex(bytes))\""
    ) { () throws(FileSystemError) in try base.write(bytes, at: position) }
  }

  func preallocate(_ length: UInt64) throws(FileSystemError) {
    try trace("preallocate", ",\"length\":\(length)") { () throws(FileSystemError) in
      try base.preallocate(length)
    }
  }

  func setLength(_ length: UInt64) throws(FileSystemError) {
    try trace("setLength", ",\"length\":\(length)") { () throws(FileSystemError) in
      try base.setLength(length)
    }
  }

  func sync() throws(FileSystemError) {
    try trace("sync") { () throws(FileSystemError) in try base.sync() }
  }

  func startWriteback(from start: UInt64, to end: UInt64) { base.startWriteback(from: start, to: end) }

  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64? {
    try base.nextData(from: position)
  }

  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion {
    try trace("map", ",\"length\":\(length)") { () throws(FileSystemError) in
      try base.map(length)
    }
  }

  func tryLock() throws(FileSystemError) -> Bool { try base.tryLock() }

  func unlock() { base.unlock() }
}
