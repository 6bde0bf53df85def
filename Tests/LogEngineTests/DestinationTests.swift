import Dispatch
import Foundation
import LogEngine
import PlatformIO
import StorageTesting
import Testing

/// A destination whose names change meanwhile, or cannot be changed.
@Suite struct DestinationTests {
  private static let application = ApplicationTag(id: 0)

  private static func restore(
    _ disk: any FileSystem, application: ApplicationTag = application
  ) throws(LogError) -> LogCopy {
    try SegmentedLog.restore(
      from: "copy", to: "new", replacing: false, application: application, fileSystem: disk,
      environment: SeededEnvironment(seed: 21))
  }

  @Test func `the root is no destination`() throws {
    let (log, _) = try SnapshotTests.filled(MemoryFileSystem())
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: "/") }.code == .badDestination)
  }

  @Test func `a log whose directory is gone is not copied`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    for name in try disk.entries(of: "log") { try disk.unlink("log/" + name) }
    try disk.removeDirectory("log")
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: "copy") }.code == .noSuchLog)
    #expect(try disk.status(of: "copy") == nil)
    #expect(try disk.status(of: "copy.tmp") == nil)
  }

  @Test func `files that come and go in a log that is to be replaced are a writer's`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    let isOver = Locked(false)
    let writer = DispatchGroup()
    Thread.detachNewThread {
      writer.enter()
      while !isOver.withLock({ $0 }) {
        // As a writer prepares a segment and sweeps it. The directory may be exchanged in between.
        do {
          _ = try disk.open("copy/00000099.seg.tmp", .createNew)
          try disk.unlink("copy/00000099.seg.tmp")
        } catch {}
      }
      writer.leave()
    }
    for _ in 0..<2000 { try log.snapshot(to: "copy", replacing: true, in: disk) }
    isOver.withLock { $0 = true }
    writer.wait()
  }

  @Test func `a copy that cannot be given its name leaves nothing`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, records) = try SnapshotTests.filled(disk)
    disk.observe { $0.operation == .rename ? .io : nil }
    let error = try #require(throws: LogError.self) { try log.snapshot(to: "copy") }
    #expect(error.cause?.operation == .rename)
    #expect(try base.status(of: "copy") == nil)
    #expect(try base.status(of: "copy.tmp") == nil)
    disk.observe { _ in nil }
    try log.snapshot(to: "copy")
    #expect(try TestLog.records(try SnapshotTests.opened(base) { $0.access = .readOnly }) == records)
  }

  @Test func `what comes to the destination meanwhile stays`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, _) = try SnapshotTests.filled(disk)
    disk.observe { call in
      guard call.operation == .rename else { return nil }
      do throws(FileSystemError) {
        _ = try base.open("copy", .createNew)
        return nil
      } catch {
        return .other
      }
    }
    let error = try #require(throws: LogError.self) { try log.snapshot(to: "copy") }
    #expect(error.code == .alreadyExists)
    #expect(error.detail.contains("something has come there meanwhile"))
    #expect(try base.status(of: "copy")?.kind == .regular)
    #expect(try base.status(of: "copy.tmp") == nil)
  }

  @Test func `an old copy whose place cannot be taken is moved back`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, records) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    try TestLog.append(log, ["later"])
    disk.observe { call in
      switch (call.operation, call.name) {
      case (.exchange, _): .notSupported
      case (.rename, "copy.tmp"): .io
      default: nil
      }
    }
    #expect(throws: LogError.self) { try log.snapshot(to: "copy", replacing: true) }
    #expect(try base.status(of: "copy.replaced") == nil)
    #expect(try base.status(of: "copy.tmp") == nil)
    #expect(try TestLog.records(try SnapshotTests.opened(base) { $0.access = .readOnly }) == records)
  }

  @Test func `an old copy that cannot be moved back stays aside until the next copy`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, records) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    try TestLog.append(log, ["later"])
    disk.observe { call in
      switch (call.operation, call.name) {
      case (.exchange, _): .notSupported
      case (.rename, "copy.tmp"), (.rename, "copy.replaced"): .io
      default: nil
      }
    }
    #expect(throws: LogError.self) { try log.snapshot(to: "copy", replacing: true) }
    #expect(try base.status(of: "copy") == nil)
    #expect(
      try TestLog.records(try SnapshotTests.opened(base, at: "copy.replaced") { $0.access = .readOnly })
        == records)
    disk.observe { _ in nil }
    // It has its place again, so that it is not replaced unasked.
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: "copy") }.code == .alreadyExists)
    #expect(try TestLog.records(try SnapshotTests.opened(base) { $0.access = .readOnly }) == records)
    try log.snapshot(to: "copy", replacing: true)
    #expect(
      try TestLog.records(try SnapshotTests.opened(base) { $0.access = .readOnly }) == records + ["later"])
    #expect(try base.status(of: "copy.replaced") == nil)
  }

  @Test func `what was replaced goes only when replacing is asked for again`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    try log.snapshot(to: "copy.replaced")
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: "copy") }.code == .alreadyExists)
    #expect(try disk.status(of: "copy.replaced") != nil)
    try log.snapshot(to: "copy", replacing: true)
    #expect(try disk.status(of: "copy.replaced") == nil)
  }

  @Test(arguments: [true, false]) func `a segment that is cut while it is taken over is damage`(
    isLinked: Bool
  ) throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, _) = try SnapshotTests.filled(disk)
    disk.observe { call in
      guard call.operation == .link, call.name == "00000001.seg" else { return nil }
      do throws(FileSystemError) {
        try base.open("log/00000001.seg", .readWrite).setLength(9000)
        return isLinked ? nil : .crossDevice
      } catch {
        return .other
      }
    }
    let error = try #require(throws: LogError.self) { try log.snapshot(to: "copy") }
    #expect(error.code == .damaged)
    #expect(error.description.contains("shorter than its seal says"))
    #expect(try base.status(of: "copy") == nil)
    #expect(try base.status(of: "copy.tmp") == nil)
  }

  // MARK: Restoring

  @Test func `a snapshot on the disk is restored there`() throws {
    let place = TemporaryDirectory()
    let log = try TestLog.open(DiskFileSystem.shared, at: place.path + "/log")
    try TestLog.append(log, ["one"])
    try log.snapshot(to: place.path + "/copy")
    let made = try SegmentedLog.restore(from: place.path + "/copy", to: place.path + "/new")
    #expect(made.latestOffset == 1)
    let restored = try SegmentedLog.open(at: place.path + "/new")
    #expect(try TestLog.records(restored) == ["one"])
    #expect(restored.epoch.parent == log.epoch.id)
  }

  @Test func `another application's snapshot is not restored`() throws {
    let disk = MemoryFileSystem()
    try SnapshotTests.filled(disk).0.snapshot(to: "copy")
    let error = try #require(throws: LogError.self) {
      try Self.restore(disk, application: ApplicationTag(id: 7))
    }
    #expect(error.code == .wrongApplication)
    #expect(try disk.status(of: "new") == nil)
  }

  @Test func `a directory that cannot be listed, or a copy that cannot be read back, is not restored`() throws
  {
    let base = MemoryFileSystem()
    try SnapshotTests.filled(base).0.snapshot(to: "copy")
    let unlisted = ObservedFileSystem(base) { $0.operation == .list ? .io : nil }
    #expect(try #require(throws: LogError.self) { try Self.restore(unlisted) }.code == .fileSystem)
    let isLinked = Locked(false)
    let unread = ObservedFileSystem(base) { call in
      if call.operation == .link { isLinked.withLock { $0 = true } }
      return call.operation == .read && isLinked.withLock { $0 } ? .io : nil
    }
    #expect(try #require(throws: LogError.self) { try Self.restore(unread) }.code == .fileSystem)
    #expect(try base.status(of: "new") == nil)
    #expect(try base.status(of: "new.tmp") == nil)
    #expect(try Self.restore(base).latestOffset == 100)
  }

  @Test(arguments: [("00000002.seg", 40), ("00000004.seg", 56)])
  func `a listed segment of another log or another epoch is not restored`(name: String, place: Int) throws {
    let disk = MemoryFileSystem()
    try SnapshotTests.filled(disk).0.snapshot(to: "copy")
    var image = try DiskImage(of: disk, directory: "copy")
    try #require(image.segments.last == "00000004.seg")
    // The seal, which the list repeats, does not cover the header's identities.
    image.rewriteHeaders(name) { $0[place] ^= 1 }
    let changed = try image.disk(directory: "copy")
    let error = try #require(throws: LogError.self) { try Self.restore(changed) }
    #expect(error.code == .damaged)
    #expect(error.path.hasSuffix(name))
    #expect(try changed.status(of: "new") == nil)
  }
}
