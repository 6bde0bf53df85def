internal import Glibc

extension SystemCall {
  package static func read(_ path: String) throws -> String {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw failure("open", path) }
    defer { _ = close(file) }
    return try readAll(file, path)
  }

  static func readAll(_ file: Int32, _ path: String) throws -> String {
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(file, $0.baseAddress, $0.count) }
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      guard count > 0 else { throw failure("read", path) }
      text += buffer[..<count]
    }
  }

  package static func write(_ text: String, to path: String) throws {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw failure("open", path) }
    defer { _ = close(file) }
    let bytes = Array(text.utf8)
    let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
    guard count == bytes.count else { throw failure("write", path) }
  }

  /// Bytes of a file or of all files in a directory, as allocated on the disk.
  package static func allocatedBytes(_ path: String) -> Int {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return 0 }
    guard status.st_mode & S_IFMT == S_IFDIR else { return Int(status.st_blocks) * 512 }
    return entries(path).reduce(0) { $0 + allocatedBytes("\(path)/\($1)") }
  }

  /// The length of a file or of all files in a directory.
  package static func lengths(_ path: String) -> Int {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return 0 }
    guard status.st_mode & S_IFMT == S_IFDIR else { return Int(status.st_size) }
    return entries(path).reduce(0) { $0 + lengths("\(path)/\($1)") }
  }

  /// Makes a file durable.
  package static func sync(_ path: String) throws {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw failure("open", path) }
    defer { _ = close(file) }
    guard fsync(file) == 0 else { throw failure("fsync", path) }
  }

  package static func move(_ path: String, to other: String) throws {
    guard unsafe rename(path, other) == 0 else { throw failure("rename", path) }
  }

  package static func makeDirectory(_ path: String) throws {
    guard unsafe mkdir(path, 0o700) == 0 else { throw failure("mkdir", path) }
  }

  /// Removes whatever is at a path; nothing there is fine.
  package static func removeTree(_ path: String) {
    for entry in entries(path) { removeTree("\(path)/\(entry)") }
    _ = unsafe remove(path)
  }

  package static func entries(_ path: String) -> [String] {
    guard let directory = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Writes out everything that earlier measurements left in memory, and waits, at most some seconds, until small syncs
  /// are quick again, so that the next does not pay for it: where the disk is told of freed blocks, that goes on long
  /// after `sync`.
  package static func settle(in directory: String) throws {
    Glibc.sync()
    let path = "\(directory)/settle"
    let file = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw failure("open", path) }
    defer { _ = close(file) }
    let block = [UInt8](repeating: 1, count: 4096)
    let start = nanoseconds()
    var quick = 0
    while quick < 64, nanoseconds() - start < 4_000_000_000 {
      let before = nanoseconds()
      guard unsafe pwrite(file, block, block.count, 0) == block.count, fdatasync(file) == 0 else {
        throw failure("fdatasync", path)
      }
      quick = nanoseconds() - before < 1_000_000 ? quick + 1 : 0
    }
  }

  private static let dropper = "/proc/sys/vm/drop_caches"

  /// Writes out everything and empties the page cache of the whole machine.
  package static func dropCaches() throws {
    Glibc.sync()
    try write("3\n", to: dropper)
  }

  package static func mayDropCaches() -> Bool { unsafe access(dropper, W_OK) == 0 }
}
