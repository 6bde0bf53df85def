internal import Glibc

extension SystemCall {
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
}
