internal import Glibc

/// What the harness asks of the system. Every pointer for it lives in this file and those beside it that extend it.
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
    /// With pages of mapped files.
    package var resident = 0

    package init() {}
  }

  package static func memory() throws -> Memory {
    var memory = Memory()
    for line in try read("/proc/self/status").split(separator: "\n") {
      let words = line.split { $0 == " " || $0 == "\t" }
      guard words.count > 1, let kibibytes = Int(words[1]) else { continue }
      switch words[0] {
      case "RssAnon:": memory.anonymous = kibibytes << 10
      case "VmRSS:": memory.resident = kibibytes << 10
      default: break
      }
    }
    guard memory.anonymous > 0 else { throw BenchmarkError("/proc/self/status has no RssAnon") }
    return memory
  }

  /// Bytes that this process caused to be written to a device so far: each page that it made dirty, once for each time that
  /// it was clean before. The file system's own are not in it.
  package static func writtenBytes() throws -> Int {
    for line in try read("/proc/self/io").split(separator: "\n") where line.hasPrefix("write_bytes: ") {
      if let count = Int(line.dropFirst("write_bytes: ".count)) { return count }
    }
    throw BenchmarkError("/proc/self/io has no write_bytes")
  }

  /// Seconds of processor time that this process took, all threads together.
  package static func processorSeconds() -> Double {
    var usage = rusage()
    // RUSAGE_SELF, which is of another type.
    unsafe getrusage(0, &usage)
    return [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
  }

  /// A line for whoever watches.
  package static func report(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
  }

  package static func sleep(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }

  /// Lets other threads go first.
  package static func yield() { sched_yield() }

  /// A sync of no file, which fails and does nothing: a mark that a tracer sees.
  package static func markTrace() { fsync(-1) }

  /// What happened to the calling thread so far.
  package struct ThreadUsage: Sendable {
    package static let none = ThreadUsage()

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
