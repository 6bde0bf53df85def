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

  @Test func `a directory or a link with a temporary file's name is left alone`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/log"
    try SegmentedLog.open(at: path, options: options()).close()
    try FileManager.default.createDirectory(atPath: path + "/x.tmp", withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(atPath: path + "/y.tmp", withDestinationPath: "/")
    try Data("half".utf8).write(to: URL(fileURLWithPath: path + "/00000002.seg.tmp"))
    try SegmentedLog.open(at: path, options: options()).close()
    let names = try Set(FileManager.default.contentsOfDirectory(atPath: path))
    #expect(names == ["00000001.seg", "LOCK", "x.tmp", "y.tmp"])
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
      // Swift hides fork, and embedders written in other languages do not.
      typealias Fork = @convention(c) () -> Int32
      let symbol = unsafe try #require(dlsym(nil, "fork"))
      let fork = unsafe unsafeBitCast(symbol, to: Fork.self)
      let child = fork()
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
}
