import LogEngine
import PlatformIO
import StorageTesting
import Testing

/// Snapshots: what they hold, what they cost, and what they refuse.
@Suite struct SnapshotTests {
  static let path = "copy"

  static func opened(
    _ disk: any FileSystem, at path: String = path, seed: UInt64 = 99,
    _ change: (inout LogOptions) -> Void = { _ in }
  ) throws -> SegmentedLog {
    try TestLog.open(disk, environment: SeededEnvironment(seed: seed), at: path) {
      $0.creation = .mustExist
      change(&$0)
    }
  }

  /// A log of some segments.
  static func filled(_ disk: any FileSystem, count: Int = 100) throws -> (SegmentedLog, [String]) {
    let log = try TestLog.open(disk)
    let records = (0..<count).map { RecoveryTests.record($0) }
    for record in records { try TestLog.append(log, [record]) }
    return (log, records)
  }

  static func names(_ disk: any FileSystem, _ path: String = path) throws -> [String] {
    try disk.entries(of: path).filter { $0 != "LOCK" && $0 != "reserve" }.sorted()
  }

  @Test(arguments: [0, 1, 39, 100])
  func `a snapshot opened for reading holds the same records at the same offsets`(count: Int) throws {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk, count: count)
    let copy = try log.snapshot(to: Self.path)
    #expect(copy.latestOffset == Offset(UInt64(count)))
    #expect(copy.copiedBytes == 0)
    #expect(try Self.names(disk).contains("SNAPSHOT"))
    for _ in 0..<2 {
      let snapshot = try Self.opened(disk) { $0.access = .readOnly }
      #expect(try TestLog.records(snapshot) == records)
      #expect(snapshot.epoch == log.epoch)
      #expect(snapshot.latestOffset == log.latestOffset)
      #expect(snapshot.recovery.damage.isEmpty)
    }
    #expect(
      try SegmentedLog.verify(at: Self.path, application: .init(id: 0), fileSystem: disk) { _, _ in true }
        .isSound)
    // The source goes on as if nothing had been.
    try TestLog.append(log, ["later"])
    try log.close()
    #expect(try TestLog.records(try TestLog.open(disk)) == records + ["later"])
    #expect(try TestLog.records(try Self.opened(disk) { $0.access = .readOnly }) == records)
  }

  @Test func `a snapshot that is written to becomes a log of its own with a new epoch, and the source stays`()
    throws
  {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk)
    try log.snapshot(to: Self.path)
    let before = try DiskImage(of: disk)
    let copy = try Self.opened(disk)
    #expect(copy.id == log.id)
    #expect(copy.epoch.id != log.epoch.id)
    #expect(copy.epoch.parent == log.epoch.id)
    #expect(copy.epoch.parentEnd == 100)
    #expect(copy.epoch.start == 101)
    #expect(try !Self.names(disk).contains("SNAPSHOT"))
    try TestLog.append(copy, ["elsewhere"])
    try TestLog.append(log, ["here"])
    try copy.close()
    try log.close()
    #expect(try TestLog.records(try Self.opened(disk)) == records + ["elsewhere"])
    #expect(try TestLog.records(try TestLog.open(disk)) == records + ["here"])
    for (name, bytes) in before.files where name != "00000004.seg" {
      #expect(try DiskImage(of: disk).files[name] == bytes)
    }
  }

  @Test func `the source reopens right after a snapshot, its last segment sealed and linked, and appends`()
    throws
  {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk)
    let copy = try log.snapshot(to: Self.path)
    try log.close()
    let last = "log/" + segmentName(copy.segments)
    #expect(try disk.status(of: last)?.linkCount == 2)
    let bytes = try DiskImage(of: disk)
    let recorder = CallRecorder()
    let again = try TestLog.open(ObservedFileSystem(disk, recorder.observer))
    #expect(again.recovery.outcome == .sealed)
    #expect(!recorder.mutations.contains { $0.hasPrefix("write 0000") || $0.hasPrefix("truncate") })
    #expect(try DiskImage(of: disk) == bytes)
    try TestLog.append(again, ["later"])
    #expect(try TestLog.records(again) == records + ["later"])
  }

  @Test func `a snapshot costs a link a segment, and one file sync that appends wait for`() throws {
    let recorder = CallRecorder()
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base, recorder.observer)
    let (log, _) = try Self.filled(disk)
    let segments = log.size.segments
    recorder.clear()
    try log.snapshot(to: Self.path)
    let calls = recorder.mutations.map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
    let last = segmentName(segments)
    #expect(
      calls == ["createDirectory copy.tmp", "write \(last)", "sync \(last)", "truncate \(last)"]
        + (1...segments).map { "link \(segmentName($0))" }
        + ["write SNAPSHOT", "sync SNAPSHOT", "syncDirectory copy.tmp", "rename copy.tmp", "syncDirectory ."])
    // Nothing was appended since: the next one has nothing to seal.
    recorder.clear()
    try log.snapshot(to: "again")
    #expect(!recorder.mutations.contains { $0.hasPrefix("write 0000") })
  }

  @Test func `an empty segment that says nothing new stays out of a snapshot, and one that does is sealed`()
    throws
  {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    try log.snapshot(to: "empty")
    #expect(try Self.names(disk, "empty") == ["00000001.seg", "SNAPSHOT"])
    try TestLog.append(log, ["one"])
    try log.snapshot(to: "one")
    // The first segment, sealed empty, is no part of the log.
    #expect(try Self.names(disk, "one") == ["00000002.seg", "SNAPSHOT"])
    try log.reset()
    try log.snapshot(to: "reset")
    let reset = try Self.opened(disk, at: "reset")
    #expect(reset.firstOffset == 2)
    #expect(reset.epoch.parent == log.epoch.id)
    #expect(reset.epoch.parentEnd == 1)
    try reset.close()
    for path in ["empty", "one", "reset"] {
      let copy = try Self.opened(disk, at: path)
      try TestLog.append(copy, ["more"])
      try copy.close()
      #expect(try TestLog.records(try Self.opened(disk, at: path)).last == "more")
    }
  }

  @Test func `a snapshot of a snapshot holds the same, and each has its own epoch once written to`() throws {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk)
    try log.snapshot(to: "first")
    let first = try Self.opened(disk, at: "first", seed: 5)
    try TestLog.append(first, ["first"])
    try first.snapshot(to: "second")
    let second = try Self.opened(disk, at: "second", seed: 6)
    #expect(try TestLog.records(second) == records + ["first"])
    #expect(second.epoch.parent == first.epoch.id)
    #expect(first.epoch.parent == log.epoch.id)
    #expect(Set([log.epoch.id, first.epoch.id, second.epoch.id]).count == 3)
    #expect(Set([log.id, first.id, second.id]).count == 1)
  }

  @Test func `a snapshot under appends is an exact prefix with everything acknowledged before`() throws {
    let place = TemporaryDirectory()
    var options = LogOptions()
    options.creation = .createIfMissing
    options.segmentSize = 64 << 10
    options.syncPolicy = .never
    let log = try SegmentedLog.open(at: place.path + "/log", options: options)
    let stops = Locked(false)
    let worker = Worker()
    let ended = Monitor(false)
    _ = worker.perform {
      var number = 0
      // On a busy machine the snapshots may be done before this thread has done anything.
      while number <= 100 || !stops.withLock({ $0 }) {
        do throws(LogError) { try TestLog.append(log, [RecoveryTests.record(number)]) } catch {
          Issue.record(error)
          break
        }
        number += 1
      }
      ended.update { $0 = true }
    }
    for round in 0..<8 {
      let known = log.latestOffset
      let copy = try log.snapshot(to: place.path + "/copy-\(round)")
      #expect(copy.latestOffset >= known)
    }
    stops.withLock { $0 = true }
    _ = ended.wait { $0 ? true : nil }
    #expect(log.latestOffset > 100)
    options.access = .readOnly
    for round in 0..<8 {
      let copy = try SegmentedLog.open(at: place.path + "/copy-\(round)", options: options)
      let records = try TestLog.records(copy)
      #expect(records == (0..<records.count).map { RecoveryTests.record($0) })
      #expect(copy.recovery.damage.isEmpty)
    }
  }

  @Test(arguments: [
    FileSystemError.Code.crossDevice, .notSupported, .tooManyLinks, .permissionDenied,
  ])
  func `where links are refused the bytes are copied and synced`(code: FileSystemError.Code) throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, records) = try Self.filled(disk)
    let recorder = CallRecorder()
    disk.observe { call in
      _ = recorder.observer(call)
      return call.operation == .link ? code : nil
    }
    let copy = try log.snapshot(to: Self.path)
    #expect(copy.copiedBytes == copy.bytes)
    #expect(recorder.mutations.count { $0.hasPrefix("sync 0000") } == copy.segments + 1)
    #expect(try base.status(of: "copy/00000001.seg")?.linkCount == 1)
    disk.observe { _ in nil }
    #expect(try TestLog.records(try Self.opened(disk)) == records)
  }

  @Test func `a segment that is shorter than its seal says is not taken into a snapshot`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, _) = try Self.filled(disk)
    try base.open("log/00000001.seg", .readWrite).setLength(9000)
    for refuses in [false, true] {
      disk.observe { refuses && $0.operation == .link ? .crossDevice : nil }
      let error = try #require(throws: LogError.self) { try log.snapshot(to: Self.path) }
      #expect(error.code == .damaged)
      #expect(error.path.hasSuffix("00000001.seg"))
      #expect(try base.status(of: Self.path) == nil)
      #expect(try base.status(of: "copy.tmp") == nil)
    }
  }

  @Test func `appends go on while segments are linked`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem())
    let (log, records) = try Self.filled(disk)
    let appended = Locked(false)
    disk.observe { call in
      guard call.operation == .link, call.name == "00000001.seg" else { return nil }
      // On this very thread: were the writer's lock held, this would never end.
      do throws(LogError) {
        try TestLog.append(log, ["meanwhile"])
        appended.withLock { $0 = true }
      } catch {
        Issue.record(error)
      }
      return nil
    }
    try log.snapshot(to: Self.path)
    #expect(appended.withLock { $0 })
    #expect(try TestLog.records(log) == records + ["meanwhile"])
    #expect(try TestLog.records(try Self.opened(disk) { $0.access = .readOnly }) == records)
  }
}

/// A segment's file name.
func segmentName(_ number: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: 8 - digits.count) + digits + ".seg"
}
