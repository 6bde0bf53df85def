internal import Glibc

/// What the harness asks of the system. Every pointer for it lives in this file.
enum SystemCall {
  static func failure(_ call: String, _ path: String, _ code: Int32 = errno) -> BenchmarkError {
    BenchmarkError("\(call) \(path): \(unsafe String(cString: strerror(code)))")
  }

  /// Nanoseconds of a clock that only goes forward.
  static func nanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// The process's anonymous resident memory, in bytes: heap and stacks, not the page cache.
  static func anonymousMemory() throws -> Int {
    for line in try read("/proc/self/status").split(separator: "\n") where line.hasPrefix("RssAnon:") {
      let words = line.split { $0 == " " || $0 == "\t" }
      if words.count > 1, let kibibytes = Int(words[1]) { return kibibytes << 10 }
    }
    throw BenchmarkError("/proc/self/status has no RssAnon")
  }

  static func read(_ path: String) throws -> String {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw failure("open", path) }
    defer { _ = close(file) }
    return try readAll(file, path)
  }

  private static func readAll(_ file: Int32, _ path: String) throws -> String {
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(file, $0.baseAddress, $0.count) }
      if count == 0 { return String(decoding: text, as: UTF8.self) }
      guard count > 0 else { throw failure("read", path) }
      text += buffer[..<count]
    }
  }

  static func write(_ text: String, to path: String) throws {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw failure("open", path) }
    defer { _ = close(file) }
    let bytes = Array(text.utf8)
    let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
    guard count == bytes.count else { throw failure("write", path) }
  }

  /// Bytes of a file or of all files in a directory, as allocated on the disk.
  static func allocatedBytes(_ path: String) -> Int {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return 0 }
    guard status.st_mode & S_IFMT == S_IFDIR else { return Int(status.st_blocks) * 512 }
    return entries(path).reduce(0) { $0 + allocatedBytes("\(path)/\($1)") }
  }

  static func makeDirectory(_ path: String) throws {
    guard unsafe mkdir(path, 0o700) == 0 else { throw failure("mkdir", path) }
  }

  /// Removes whatever is at a path; nothing there is fine.
  static func removeTree(_ path: String) {
    for entry in entries(path) { removeTree("\(path)/\(entry)") }
    _ = unsafe remove(path)
  }

  private static func entries(_ path: String) -> [String] {
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
  static func settle(in directory: String) throws {
    sync()
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

  /// A line for whoever watches.
  static func report(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
  }

  static func killSelf() -> Never {
    kill(getpid(), SIGKILL)
    exit(70)
  }

  /// Runs a program and waits. Returns its standard output, and the signal that ended it, or 0.
  static func run(_ arguments: [String]) throws -> (output: String, status: Int32, signal: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw failure("pipe", arguments[0]) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    var strings = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { unsafe strings.forEach { unsafe free($0) } }
    var child: pid_t = 0
    let code = unsafe posix_spawnp(&child, arguments[0], &actions, nil, &strings, environ)
    _ = close(ends[1])
    defer { _ = close(ends[0]) }
    guard code == 0 else { throw failure("spawn", arguments[0], code) }
    let output = try readAll(ends[0], "a pipe")
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0 {
      guard errno == EINTR else { throw failure("waitpid", arguments[0]) }
    }
    return (output, status >> 8 & 0xFF, status & 0x7F)
  }

  /// System name, release and architecture.
  static func systemName() -> String {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return "unknown" }
    func text<T>(_ field: T) -> String {
      unsafe withUnsafeBytes(of: field) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    return "\(text(name.sysname)) \(text(name.release)) \(text(name.machine))"
  }

  static func coreCount() -> Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }
}
