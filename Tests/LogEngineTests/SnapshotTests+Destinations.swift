import LogEngine
import PlatformIO
import StorageTesting
import Testing

extension SnapshotTests {
  // MARK: Destinations

  @Test func `what is at the destination stays unless it is to be replaced`() throws {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk)
    try log.snapshot(to: Self.path)
    try TestLog.append(log, ["later"])
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: Self.path) }.code == .alreadyExists)
    #expect(try TestLog.records(try Self.opened(disk) { $0.access = .readOnly }) == records)
    try log.snapshot(to: Self.path, replacing: true)
    #expect(try TestLog.records(try Self.opened(disk) { $0.access = .readOnly }) == records + ["later"])
    #expect(try disk.status(of: "copy.tmp") == nil)
    // A writer has it open.
    let copy = try Self.opened(disk)
    #expect(
      try #require(throws: LogError.self) { try log.snapshot(to: Self.path, replacing: true) }.code == .locked
    )
    try copy.close()
    try log.snapshot(to: Self.path, replacing: true)
  }

  @Test func `only a log is replaced, and only by what is not in or around it`() throws {
    let place = TemporaryDirectory()
    let disk = DiskFileSystem()
    func path(_ name: String) -> String { place.path + "/" + name }
    let log = try TestLog.open(disk, at: path("log"))
    try TestLog.append(log, ["one"])
    _ = try disk.createDirectory(path("mine"))
    _ = try disk.open(path("mine/notes"), .createNew)
    _ = try disk.createDirectory(path("empty"))
    _ = try disk.open(path("file"), .createNew)
    for name in ["mine", "empty", "file", "log", "log/copy", "log/../log", "log/deep/copy", "."] {
      let error = try #require(throws: LogError.self) { try log.snapshot(to: path(name), replacing: true) }
      let expected: LogError.Code = name == "log/deep/copy" ? .fileSystem : .badDestination
      #expect(error.code == expected, "\(name): \(error)")
    }
    for name in ["mine", "empty", "file"] {
      #expect(try #require(throws: LogError.self) { try log.snapshot(to: path(name)) }.code == .alreadyExists)
    }
    #expect(try disk.entries(of: path("mine")) == ["notes"])
    #expect(try TestLog.records(log) == ["one"])
    // A log inside the log's directory is a strange thing, and not to be replaced from within.
    _ = try disk.createDirectory(path("outer"))
    let outer = try TestLog.open(disk, at: path("outer"))
    try outer.close()
    _ = try disk.createDirectory(path("outer/inner"))
    let inner = try TestLog.open(disk, at: path("outer/inner"))
    #expect(
      try #require(throws: LogError.self) { try inner.snapshot(to: path("outer"), replacing: true) }.code
        == .badDestination)
    #expect(try disk.entries(of: place.path).sorted() == ["empty", "file", "log", "mine", "outer"])
  }

  @Test func `what an interrupted copy left is removed, and what somebody else put there is not`() throws {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk)
    _ = try disk.createDirectory("copy.tmp")
    _ = try disk.open("copy.tmp/00000001.seg", .createNew)
    _ = try disk.open("copy.tmp/SNAPSHOT", .createNew)
    try log.snapshot(to: Self.path)
    #expect(try TestLog.records(try Self.opened(disk)) == records)
    _ = try disk.createDirectory("other.tmp")
    _ = try disk.open("other.tmp/notes", .createNew)
    let error = try #require(throws: LogError.self) { try log.snapshot(to: "other") }
    #expect(error.code == .badDestination)
    #expect(error.path == "other.tmp")
    #expect(try disk.entries(of: "other.tmp") == ["notes"])
  }

  @Test func `two copies to one destination cannot mix`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try Self.filled(disk)
    _ = try disk.createDirectory("copy.tmp")
    let other = try disk.open("copy.tmp/LOCK", .createNew)
    #expect(try other.tryLock())
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: Self.path) }.code == .locked)
    #expect(try disk.entries(of: "copy.tmp") == ["LOCK"])
  }

  @Test func `sidecars of sealed segments are linked, and missing ones are not missed`() throws {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk)
    _ = try disk.open("log/00000001.idx", .createNew)
    try log.snapshot(to: Self.path)
    #expect(try disk.status(of: "copy/00000001.idx")?.linkCount == 2)
    #expect(try disk.status(of: "copy/00000002.idx") == nil)
    #expect(try TestLog.records(try Self.opened(disk)) == records)
  }

  @Test func `a log in memory can be copied to a disk`() throws {
    let place = TemporaryDirectory()
    let (log, records) = try Self.filled(MemoryFileSystem())
    let copy = try log.snapshot(
      to: place.path + "/copy", replacing: false, in: DiskFileSystem.shared)
    #expect(copy.copiedBytes == copy.bytes)
    #expect(try TestLog.records(try Self.opened(DiskFileSystem.shared, at: place.path + "/copy")) == records)
  }

  @Test func `a log opened for reading makes no snapshot`() throws {
    let disk = MemoryFileSystem()
    try Self.filled(disk).0.close()
    let log = try TestLog.open(disk) { $0.access = .readOnly }
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: Self.path) }.code == .readOnly)
    #expect(try disk.status(of: "copy.tmp") == nil)
  }
}
