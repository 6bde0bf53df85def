internal import Glibc

/// What the harness asks of the system. Every pointer for it lives in this file.
package enum SystemCall {
  package static func failure(_ call: String, _ path: String, _ code: Int32 = errno) -> BenchmarkError {
    BenchmarkError("\(call) \(path): \(unsafe String(cString: strerror(code)))")
  }

  /// Nanoseconds of a clock that only goes forward.
  package static func nanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  package static func seconds(since start: UInt64) -> Double { Double(nanoseconds() - start) / 1e9 }

  /// The process's resident memory, in bytes.
  package struct Memory: Sendable {
    /// Heap and stacks.
    package var anonymous = 0
    /// Pages of mapped files.
    package var file = 0
    /// The most that was ever resident at once, of both.
    package var peak = 0

    package init() {}
  }

  package static func memory() throws -> Memory {
    var memory = Memory()
    for line in try read("/proc/self/status").split(separator: "\n") {
      let words = line.split { $0 == " " || $0 == "\t" }
      guard words.count > 1, let kibibytes = Int(words[1]) else { continue }
      switch words[0] {
      case "RssAnon:": memory.anonymous = kibibytes << 10
      case "RssFile:": memory.file = kibibytes << 10
      case "VmHWM:": memory.peak = kibibytes << 10
      default: break
      }
    }
    guard memory.anonymous > 0 else { throw BenchmarkError("/proc/self/status has no RssAnon") }
    return memory
  }

  /// Heap and stacks, not the page cache.
  package static func anonymousMemory() throws -> Int { try memory().anonymous }

  package static func read(_ path: String) throws -> String {
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

  /// A file's length; nil if there is none.
  package static func length(_ path: String) -> Int? {
    var status = stat()
    return unsafe lstat(path, &status) == 0 ? Int(status.st_size) : nil
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
  package static func report(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
  }

  /// The path of this program, also where a tracer stands between.
  package static func ownPath() throws -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe buffer.withUnsafeMutableBytes { buffer in
      unsafe buffer.withMemoryRebound(to: CChar.self) { buffer in
        guard let start = buffer.baseAddress else { return -1 }
        return unsafe readlink("/proc/self/exe", start, buffer.count)
      }
    }
    guard count > 0 else { throw failure("readlink", "/proc/self/exe") }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }

  package static func sleep(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }

  /// Lets other threads go first.
  package static func yield() { sched_yield() }

  /// Writes out everything and empties the page cache of the whole machine. False: it may not.
  package static func dropCaches() -> Bool {
    sync()
    do {
      try write("3\n", to: "/proc/sys/vm/drop_caches")
      return true
    } catch {
      return false
    }
  }

  /// A sync of no file, which fails and does nothing: a mark that a tracer sees.
  package static func markTrace() { fsync(-1) }

  /// What happened to the calling thread so far.
  package struct ThreadUsage: Sendable {
    /// Pages that it touched first.
    package var pageFaults = 0
    /// How often it waited: for a lock or the disk.
    package var waits = 0
    /// How often another took its processor.
    package var preemptions = 0

    package static func - (later: ThreadUsage, earlier: ThreadUsage) -> ThreadUsage {
      ThreadUsage(
        pageFaults: later.pageFaults - earlier.pageFaults, waits: later.waits - earlier.waits,
        preemptions: later.preemptions - earlier.preemptions)
    }
  }

  package static func threadUsage() -> ThreadUsage {
    var usage = rusage()
    // RUSAGE_THREAD, which Swift's Glibc does not have.
    unsafe getrusage(1, &usage)
    return ThreadUsage(
      pageFaults: usage.ru_minflt + usage.ru_majflt, waits: usage.ru_nvcsw, preemptions: usage.ru_nivcsw)
  }

  private final class ThreadStart: Sendable {
    let number: Int
    let body: @Sendable (Int) -> Void

    init(_ number: Int, _ body: @escaping @Sendable (Int) -> Void) {
      self.number = number
      self.body = body
    }
  }

  /// Calls `body` in so many threads at once, each with its number, and waits for all of them.
  package static func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
    var threads: [pthread_t] = []
    var code: Int32 = 0
    for number in 0..<count where code == 0 {
      var thread = pthread_t()
      let start = unsafe Unmanaged.passRetained(ThreadStart(number, body))
      code = unsafe pthread_create(
        &thread, nil,
        { argument in
          if let argument = unsafe argument {
            let start = unsafe Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
            start.body(start.number)
          }
          return nil
        }, start.toOpaque())
      if code == 0 { threads.append(thread) } else { unsafe start.release() }
    }
    for thread in threads { pthread_join(thread, nil) }
    if code != 0 { throw failure("pthread_create", "", code) }
  }

  package static func killSelf() -> Never {
    kill(getpid(), SIGKILL)
    exit(70)
  }

  /// Runs a program and waits. Returns its standard output, and the signal that ended it, or 0.
  package static func run(_ arguments: [String]) throws -> (output: String, status: Int32, signal: Int32) {
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
  package static func systemName() -> String {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return "unknown" }
    func text<T>(_ field: T) -> String {
      unsafe withUnsafeBytes(of: field) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    return "\(text(name.sysname)) \(text(name.release)) \(text(name.machine))"
  }

  package static func coreCount() -> Int { sysconf(Int32(_SC_NPROCESSORS_ONLN)) }
}
