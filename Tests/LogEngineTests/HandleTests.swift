import Foundation
import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// What becomes of a log's handle when the process, the directory or the system calls around it change.
@Suite struct HandleTests {
  private func options() -> LogOptions {
    var options = LogOptions()
    options.creation = .createIfMissing
    options.segmentSize = 16 << 10
    return options
  }

  @Test func `closing after a failed append does not claim that all is durable`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem())
    let log = try TestLog.open(disk) { $0.syncPolicy = .never }
    try TestLog.append(log, ["buffered"])
    disk.observe { $0.operation == .write ? .io : nil }
    #expect(throws: LogError.self) { try TestLog.append(log, ["fails"]) }
    #expect(log.durableOffset == 0)
    #expect(try #require(throws: LogError.self) { try log.close() }.code == .outcomeUnknown)
    // It is closed all the same, and the lock is free.
    try log.close()
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["x"]) }.code == .closed)
  }

  @Test(arguments: ["reset", "roll"])
  func `a segment that was published is written on, even if it cannot be opened anew`(
    cause: String
  ) throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    disk.observe { $0.operation == .open && $0.name == "00000002.seg" ? .tooManyOpenFiles : nil }
    try TestLog.append(log, ["one"])
    if cause == "reset" {
      try log.reset()
    } else {
      try TestLog.append(log, [String(repeating: "x", count: 20_000)])
    }
    try TestLog.append(log, ["acknowledged"])
    try log.close()
    let again = try TestLog.open(base, environment: SeededEnvironment(seed: 9))
    #expect(try TestLog.records(again).last == "acknowledged")
  }

  @Test func `opening a log neither reads nor writes the space that it has reserved`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/log"
    var options = options()
    options.segmentSize = 64 << 20
    let log = try SegmentedLog.open(at: path, options: options)
    let file = try DiskFileSystem.shared.open(path + "/" + RecoveryTests.first, .readOnly)
    // Not every file system knows what was never written.
    guard try file.nextData(from: 32 << 20) == nil else { return }
    for number in 0..<100 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    try log.close()
    for _ in 0..<3 {
      let counts = Locked<[FileSystemError.Operation: Int]>([:])
      let disk = ObservedFileSystem(DiskFileSystem.shared) { call in
        counts.withLock { $0[call.operation, default: 0] += call.count ?? 0 }
        return nil
      }
      let again = try SegmentedLog.open(
        at: path, options: options, fileSystem: disk, environment: SystemEnvironment())
      #expect(again.latestOffset == 100)
      try again.close()
      #expect(counts.withLock { $0[.read] ?? 0 } < 8 << 20)
      #expect(counts.withLock { $0[.write] ?? 0 } < 1 << 20)
    }
  }

  @Test func `a directory or a link with a temporary file's name is left alone`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/log"
    try SegmentedLog.open(at: path, options: options()).close()
    try FileManager.default.createDirectory(atPath: path + "/x.tmp", withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(atPath: path + "/y.tmp", withDestinationPath: "/")
    try Data("half".utf8).write(to: URL(fileURLWithPath: path + "/00000002.seg.tmp"))
    try SegmentedLog.open(at: path, options: options()).close()
    let names = try Set(FileManager.default.contentsOfDirectory(atPath: path))
    #expect(names == ["00000001.seg", "LOCK", "reserve", "x.tmp", "y.tmp"])
  }

  @Test func `a change of the working directory does not move the log`() async {
    // In a process of its own, since others of this one's tests have a working directory too.
    await #expect(processExitsWith: .success) {
      let place = TemporaryDirectory()
      let manager = FileManager.default
      var options = LogOptions()
      options.creation = .createIfMissing
      for name in ["a", "b"] {
        try manager.createDirectory(atPath: place.path + "/" + name, withIntermediateDirectories: false)
      }
      let other = try SegmentedLog.open(at: place.path + "/b/log", options: options)
      try TestLog.append(other, ["precious"])
      try other.close()
      try #require(manager.changeCurrentDirectoryPath(place.path + "/a"))
      let log = try SegmentedLog.open(at: "log", options: options)
      try TestLog.append(log, ["mine"])
      try #require(manager.changeCurrentDirectoryPath(place.path + "/b"))
      try log.reset()
      try TestLog.append(log, ["mine again"])
      try log.close()
      try #require(manager.changeCurrentDirectoryPath("/"))
      #expect(
        try TestLog.records(SegmentedLog.open(at: place.path + "/b/log", options: options)) == ["precious"])
      #expect(
        try TestLog.records(SegmentedLog.open(at: place.path + "/a/log", options: options)) == ["mine again"])
    }
  }

  @Test func `closing lets the next writer in, even while a forked child holds the files`() async {
    await #expect(processExitsWith: .success) {
      let place = TemporaryDirectory()
      var options = LogOptions()
      options.creation = .createIfMissing
      let log = try SegmentedLog.open(at: place.path + "/log", options: options)
      let child = try HandleTests.fork()
      if child == 0 {
        alarm(20)
        while true { pause() }
      }
      try log.close()
      let again = Result { try SegmentedLog.open(at: place.path + "/log", options: options) }
      kill(child, SIGKILL)
      var status: Int32 = 0
      unsafe waitpid(child, &status, 0)
      #expect(throws: Never.self) { try again.get().close() }
    }
  }

  /// Swift hides fork, and embedders written in other languages do not.
  private static func fork() throws -> Int32 {
    typealias Fork = @convention(c) () -> Int32
    let symbol = unsafe try #require(dlsym(nil, "fork"))
    return unsafe unsafeBitCast(symbol, to: Fork.self)()
  }

  private static func isRefused(_ use: () throws(LogError) -> Void) -> Bool {
    do throws(LogError) {
      try use()
      return false
    } catch {
      return error.code == .forked
    }
  }

  @Test func `a forked child is refused before it waits for a lock`() async {
    await #expect(processExitsWith: .success) {
      let place = TemporaryDirectory()
      var options = LogOptions()
      options.creation = .createIfMissing
      let log = try SegmentedLog.open(at: place.path + "/log", options: options)
      try TestLog.append(log, ["first"])
      let child = try HandleTests.fork()
      if child == 0 {
        alarm(20)
        let isRefused =
          HandleTests.isRefused { () throws(LogError) in try TestLog.append(log, ["by the child"]) }
          && HandleTests.isRefused { () throws(LogError) in try log.sync() }
          && HandleTests.isRefused { () throws(LogError) in try log.reset() }
          && HandleTests.isRefused { () throws(LogError) in try log.close() }
          && HandleTests.isRefused { () throws(LogError) in _ = try TestLog.records(log) }
        _exit(isRefused ? 0 : 1)
      }
      var status: Int32 = -1
      unsafe waitpid(child, &status, 0)
      #expect(status == 0)
      try TestLog.append(log, ["by the parent"])
      try log.close()
      let again = try SegmentedLog.open(at: place.path + "/log", options: options)
      #expect(try TestLog.records(again) == ["first", "by the parent"])
    }
  }

  @Test func `a second writer is told which process has the log`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    let error = try #require(throws: LogError.self) { try TestLog.open(disk) }
    #expect(error.code == .locked)
    #expect(error.detail.contains("(process \(ProcessInfo.processInfo.processIdentifier))"))
    try log.close()
  }

  @Test func `a forked child that lets go of the log leaves its parent the lock`() async {
    await #expect(processExitsWith: .success) {
      let place = TemporaryDirectory()
      var options = LogOptions()
      options.creation = .createIfMissing
      var log: SegmentedLog? = try SegmentedLog.open(at: place.path + "/log", options: options)
      let child = try HandleTests.fork()
      if child == 0 {
        alarm(20)
        log = nil
        _exit(0)
      }
      var status: Int32 = -1
      unsafe waitpid(child, &status, 0)
      #expect(status == 0)
      let error = #expect(throws: LogError.self) {
        try SegmentedLog.open(at: place.path + "/log", options: options)
      }
      #expect(error?.code == .locked)
      try log?.close()
    }
  }

  @Test func `a LOCK that is replaced between its opening and its locking lets nobody in`() throws {
    let base = MemoryFileSystem()
    try TestLog.open(base).close()
    let holder = Locked<SegmentedLog?>(nil)
    let disk = ObservedFileSystem(base) { call in
      guard call.operation == .lock, holder.withLock({ $0 == nil }) else { return nil }
      do {
        try base.unlink(TestLog.path + "/LOCK")
        let log = try TestLog.open(base, environment: SeededEnvironment(seed: 4))
        holder.withLock { $0 = log }
        return nil
      } catch {
        return .other
      }
    }
    #expect(try #require(throws: LogError.self) { try TestLog.open(disk) }.code == .locked)
    #expect(holder.withLock { $0 != nil })
  }

  @Test func `another application's log is refused`() throws {
    let disk = MemoryFileSystem()
    try TestLog.open(disk).close()
    for access in [LogOptions.Access.readOnly, .readWrite] {
      let error = try #require(throws: LogError.self) {
        try TestLog.open(disk) {
          $0.access = access
          $0.application = ApplicationTag(id: 9)
        }
      }
      #expect(error.code == .wrongApplication)
    }
  }

  @Test func `a reader calls durable only what the log says is`() throws {
    let image = try RecoveryTests.killed(durable: 3, buffered: 4)
    let log = try TestLog.open(try image.disk()) { $0.access = .readOnly }
    #expect(log.latestOffset == 7)
    #expect(log.durableOffset == 3)
  }

  @Test func `after a reset nothing is left that is not durable`() throws {
    let log = try TestLog.open(MemoryFileSystem()) { $0.syncPolicy = .never }
    try TestLog.append(log, ["buffered"])
    #expect(log.durableOffset == 0)
    try log.reset()
    #expect(log.durableOffset == log.latestOffset)
  }

  @Test(arguments: [true, false]) func `bytes that rot while the log is open are an error and no record`(
    isSealed: Bool
  ) throws {
    let place = TemporaryDirectory()
    let log = try SegmentedLog.open(at: place.path + "/log", options: options())
    for number in 0..<40 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    try #require(log.size.segments == 2)
    let name = isSealed ? RecoveryTests.first : RecoveryTests.second
    let (offset, position): (Offset, Int) = isSealed ? (3, RecoveryTests.frame(2)) : (log.latestOffset, 0)
    let file = try DiskFileSystem.shared.open(place.path + "/log/" + name, .readWrite)
    let bytes = try file.allBytes()
    // The last byte of the record's text.
    let end =
      isSealed ? position + 32 + RecoveryTests.record(2).utf8.count : (bytes.lastIndex { $0 != 0 } ?? 0) + 1
    try file.write([bytes[end - 1] ^ 4].span.rawBytes, at: UInt64(end - 1))
    #expect(try #require(throws: LogError.self) { try log.withRecord(at: offset) { _ in } }.code == .damaged)
    let error = try #require(throws: LogError.self) { _ = try TestLog.records(log) }
    #expect(error.code == .damaged)
    #expect(error.offsets == offset..<offset.next)
    #expect(try log.withRecord(at: 2) { TestLog.text($0) } == RecoveryTests.record(1))
  }

  @Test func `a frame of another record is no record`() throws {
    let image = try RecoveryTests.killed(durable: 4)
    let disk = try image.disk()
    let log = try TestLog.open(disk) { $0.access = .readOnly }
    var changed = image
    changed.rewriteFrame(RecoveryTests.first, at: RecoveryTests.frame(2)) { $0[24] = 1 }
    let bytes = try #require(changed.files[RecoveryTests.first])
    try disk.open(TestLog.path + "/" + RecoveryTests.first, .readWrite).write(bytes.span.rawBytes, at: 0)
    #expect(try #require(throws: LogError.self) { try log.withRecord(at: 3) { _ in } }.code == .damaged)
  }

  @Test func `a network file system is refused for writing unless allowed`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem(), isOnNetwork: true)
    _ = try disk.createDirectory(TestLog.path)
    #expect(try #require(throws: LogError.self) { try TestLog.open(disk) }.code == .networkFileSystem)
    #expect(try disk.entries(of: TestLog.path).isEmpty)
    let log = try TestLog.open(disk) { $0.allowsNetworkFileSystem = true }
    try TestLog.append(log, ["one"])
    try log.close()
    // A reader takes no lock and promises nothing.
    #expect(try TestLog.records(try TestLog.open(disk) { $0.access = .readOnly }) == ["one"])
    #expect(try !DiskFileSystem.shared.isRemote(FileManager.default.temporaryDirectory.path))
  }

  @Test func `a log never uses more than its quota, and takes appends again when there is room`() throws {
    let disk = MemoryFileSystem()
    let quota: UInt64 = 60_000
    let log = try TestLog.open(disk) { $0.byteQuota = quota }
    var stored = 0
    let error = try #require(throws: LogError.self) {
      while true {
        try TestLog.append(log, [String(repeating: "x", count: 500 + stored % 7 * 100)])
        stored += 1
        #expect(log.size.bytes <= quota)
      }
    }
    #expect(error.code == .quotaExceeded)
    #expect(stored > 10)
    #expect(try TestLog.records(log).count == stored)
    // A smaller one may still fit; one that does not changes nothing.
    #expect(throws: LogError.self) { try TestLog.append(log, [String(repeating: "y", count: 30_000)]) }
    #expect(try TestLog.records(log).count == stored)
    try log.sync()
    try log.reset()
    try TestLog.append(log, ["room again"])
    try log.close()
    var used: UInt64 = 0
    for (_, bytes) in try DiskImage(of: disk).files { used += UInt64(bytes.lastIndex { $0 != 0 } ?? 0) }
    #expect(used <= quota)
  }
}
