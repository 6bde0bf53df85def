import Foundation
import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Rules of FORMAT.md on copies that planted bugs (Fuzz/mutants.toml) showed to be held by no other test.
@Suite struct CopyRuleTests {
  private static let path = SnapshotTests.path

  // MARK: Snapshots

  /// Two snapshots of one log, which went on differently in two places: all numbers are the same, and no digest is.
  /// They differ in the last segment, or in the first of two, and so in the header of the second.
  private static func twoHistories(differInFirst: Bool = false) throws -> (one: DiskImage, other: DiskImage) {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk, segmentSize: 32 << 10)
    try TestLog.append(log, ["start"])
    try log.close()
    let start = try DiskImage(of: disk)
    func snapshot(_ letter: String) throws -> DiskImage {
      let (log, disk) = try RecoveryTests.opened(start)
      try TestLog.append(log, [letter])
      if differInFirst { try TestLog.append(log, [String(repeating: "x", count: 20_000)]) }
      try log.snapshot(to: path)
      return try DiskImage(of: disk, directory: path)
    }
    return (try snapshot("a"), try snapshot("b"))
  }

  private static func refusal(_ image: DiskImage) throws -> LogError {
    let disk = try image.disk(directory: path)
    let error = try #require(throws: LogError.self) { try SnapshotTests.opened(disk) }
    #expect(try DiskImage(of: disk, directory: path) == image)
    let found = try SegmentedLog.verify(
      at: path, application: .init(id: 0), fileSystem: disk, check: { _, _ in true })
    #expect(!found.isSound)
    return error
  }

  @Test func `a sound segment of another snapshot of the log is not the one that is listed`() throws {
    var (one, other) = try Self.twoHistories()
    let name = RecoveryTests.first
    try #require(one.files[name]?.count == other.files[name]?.count)
    one.files[name] = other.files[name]
    #expect(try Self.refusal(one).code == .damaged)
    try Self.checkNotRestored(one)
  }

  private static func checkNotRestored(_ image: DiskImage) throws {
    let disk = try image.disk(directory: path)
    let error = try #require(throws: LogError.self) {
      try SegmentedLog.restore(
        from: path, to: "restored", replacing: false, fileSystem: disk,
        environment: SeededEnvironment(seed: 3))
    }
    #expect(error.code == .damaged)
    #expect(try disk.status(of: "restored") == nil)
  }

  @Test func `segments that do not follow on each other are not restored, whatever is listed`() throws {
    var (one, other) = try Self.twoHistories(differInFirst: true)
    try #require(one.segments == [RecoveryTests.first, RecoveryTests.second])
    one.files[RecoveryTests.second] = other.files[RecoveryTests.second]
    var manifest = try Self.manifest(one)
    manifest.segments[1] = try Self.manifest(other).segments[1]
    one.files["SNAPSHOT"] = manifest.encode()
    try Self.checkNotRestored(one)
  }

  private static func manifest(_ image: DiskImage) throws -> SnapshotManifest {
    let bytes = try #require(image.files["SNAPSHOT"])
    guard case .manifest(let manifest) = SnapshotManifest.decode(bytes.span.rawBytes) else {
      throw LogError(.damaged, path: path, "the list cannot be read")
    }
    return manifest
  }

  @Test func `a fork and a restored log have epochs of their own`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    try log.snapshot(to: Self.path)
    let restored = try SegmentedLog.restore(
      from: Self.path, to: "restored", replacing: false, fileSystem: disk,
      environment: SeededEnvironment(seed: 3))
    let epochs = [log.epoch.id, try log.fork(to: "fork").epoch, restored.epoch]
    #expect(Set(epochs).count == 3)
  }

  @Test func `the segment that follows a snapshot in its log is no part of the snapshot`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    try log.snapshot(to: Self.path)
    try TestLog.append(log, ["later"])
    var image = try DiskImage(of: disk, directory: Self.path)
    let source = try DiskImage(of: disk)
    let next = try #require(source.segments.first { image.files[$0] == nil })
    image.files[next] = source.files[next]
    #expect(try Self.refusal(image).code == .foreignSegment)
  }

  @Test func `a snapshot without its last segment is not whole`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    try log.snapshot(to: Self.path)
    var image = try DiskImage(of: disk, directory: Self.path)
    let last = try #require(image.segments.last)
    image.files[last] = nil
    let error = try Self.refusal(image)
    #expect(error.code == .missingSegment)
    #expect(error.path.hasSuffix(last))
  }

  @Test func `a list of another epoch is not that of the log`() throws {
    let disk = MemoryFileSystem()
    try SnapshotTests.filled(disk).0.snapshot(to: Self.path)
    var image = try DiskImage(of: disk, directory: Self.path)
    var manifest = try Self.manifest(image)
    manifest.epoch = UniqueID(high: 1, low: 2)
    image.files["SNAPSHOT"] = manifest.encode()
    #expect(try Self.refusal(image).code == .damaged)
  }

  @Test func `nothing is dropped while a snapshot links it`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, records) = try SnapshotTests.filled(disk)
    let group = DispatchGroup()
    let isTrimmed = Locked(false)
    let hasStarted = Locked(false)
    disk.observe { call in
      guard call.operation == .link, call.name == RecoveryTests.first, !hasStarted.withLock({ $0 }) else {
        return nil
      }
      hasStarted.withLock { $0 = true }
      group.enter()
      Thread.detachNewThread {
        do { try log.trim(before: .max) } catch { Issue.record(error) }
        isTrimmed.withLock { $0 = true }
        group.leave()
      }
      Thread.sleep(forTimeInterval: 0.1)
      #expect(!isTrimmed.withLock { $0 }, "a trim waits for the copy")
      return nil
    }
    try log.snapshot(to: Self.path)
    group.wait()
    #expect(isTrimmed.withLock { $0 })
    #expect(log.firstOffset == 101)
    #expect(try TestLog.records(SnapshotTests.opened(base) { $0.access = .readOnly }) == records)
  }

  // MARK: Destinations

  /// On a real disk, where a rename takes the place of an empty directory.
  @Test func `what comes to the destination while a copy is made stays`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/copy"
    let disk = ObservedFileSystem(DiskFileSystem.shared)
    let log = try TestLog.open(disk, at: place.path + "/log")
    try TestLog.append(log, ["one"])
    disk.observe { call in
      guard call.name == "SNAPSHOT", call.operation == .sync else { return nil }
      do { try #require(try DiskFileSystem.shared.createDirectory(path)) } catch { Issue.record(error) }
      return nil
    }
    #expect(try #require(throws: LogError.self) { try log.snapshot(to: path) }.code == .alreadyExists)
    #expect(try DiskFileSystem.shared.entries(of: path) == [])
  }

  @Test func `what a replacement put aside goes once the new name is durable`() throws {
    let base = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(base)
    // As a crash behind the second of two renames leaves it.
    for path in [Self.path, Self.path + ".replaced"] { try log.snapshot(to: path) }
    try log.close()
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(base, recorder.observer)
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 3))
    recorder.clear()
    try again.snapshot(to: Self.path, replacing: true)
    let calls = recorder.mutations
    let removed = try #require(calls.firstIndex { $0.hasPrefix("unlink") })
    #expect(calls[..<removed].contains("syncDirectory ."))
    #expect(try base.status(of: Self.path + ".replaced") == nil)
  }

  @Test func `what an exchange left under the temporary name goes once the new name is durable`() throws {
    let base = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(base)
    // As a crash right behind an exchange leaves it: the old one under the temporary name.
    for path in [Self.path, Self.path + ".tmp"] { try log.snapshot(to: path) }
    try log.close()
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(base, recorder.observer)
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 3))
    recorder.clear()
    try again.snapshot(to: Self.path, replacing: true)
    let calls = recorder.mutations
    let removed = try #require(calls.firstIndex { $0.hasPrefix("unlink") })
    #expect(calls[..<removed].contains("syncDirectory ."))
  }

  // MARK: Forks

  @Test func `what a fork says that both share is durable in the log, and its own part in it`() throws {
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(MemoryFileSystem(), recorder.observer)
    let log = try TestLog.open(disk) { $0.syncPolicy = .never }
    for number in 0..<3 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    #expect(log.durableOffset == 0)
    recorder.clear()
    try log.fork(to: Self.path, through: 2)
    #expect(log.durableOffset == 3)
    // The log's own first segment, then the part of it that was written into the fork, before the fork's next.
    let calls = recorder.mutations
    let link = try #require(calls.firstIndex(of: "link 00000002.seg"))
    #expect(calls[..<link].count { $0 == "sync 00000001.seg" } == 2)
  }
}
