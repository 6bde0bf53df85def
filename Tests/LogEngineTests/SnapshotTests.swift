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
      while !stops.withLock({ $0 }) {
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

  // MARK: What the list is for

  /// A snapshot's files, changed.
  private func changed(_ change: (inout DiskImage) -> Void) throws -> MemoryFileSystem {
    let disk = MemoryFileSystem()
    try Self.filled(disk).0.snapshot(to: Self.path)
    var image = try DiskImage(of: disk, directory: Self.path)
    change(&image)
    return try image.disk(directory: Self.path)
  }

  @Test func `a listed segment that is missing, changed or foreign keeps writers out and is named`() throws {
    let other = MemoryFileSystem()
    let log = try TestLog.open(other)
    for number in 0..<100 { try TestLog.append(log, [RecoveryTests.record(number + 7)]) }
    let foreign = try DiskImage(of: other)
    let changes: [(String, (inout DiskImage) -> Void)] = [
      ("00000003.seg", { $0.files["00000003.seg"] = nil }),
      ("00000002.seg", { $0.files["00000002.seg"] = nil }),
      ("00000001.seg", { $0.files["00000001.seg"] = nil }),
      ("00000001.seg", { $0.flip("00000001.seg", byte: 9000, bit: 3) }),
      ("00000003.seg", { $0.truncate("00000003.seg", to: 9000) }),
      ("00000001.seg", { $0.files["00000001.seg"] = foreign.files["00000001.seg"] }),
      ("00000003.seg", { $0.rewriteHeaders("00000003.seg") { $0[176] ^= 1 } }),
    ]
    for (name, change) in changes {
      let disk = try changed(change)
      let before = try DiskImage(of: disk, directory: Self.path)
      let error = try #require(throws: LogError.self) { try Self.opened(disk) }
      #expect([.damaged, .missingSegment, .foreignSegment].contains(error.code), "\(name): \(error)")
      #expect(error.path.contains("seg") || error.code == .missingSegment, "\(name): \(error)")
      #expect(try DiskImage(of: disk, directory: Self.path) == before)
      #expect(
        try !SegmentedLog.verify(at: Self.path, application: .init(id: 0), fileSystem: disk) { _, _ in true }
          .isSound)
    }
  }

  @Test func `every flipped bit and every cut of SNAPSHOT is refused for writing, and reading goes on`()
    throws
  {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk, count: 60)
    try log.snapshot(to: Self.path)
    let image = try DiskImage(of: disk, directory: Self.path)
    let bytes = try #require(image.files["SNAPSHOT"])
    #expect(bytes.count == 80 + 3 * 32 + 8)
    for bit in 0..<bytes.count * 8 {
      var flipped = bytes
      flipped[bit / 8] ^= 1 << (bit % 8)
      #expect(SnapshotManifest.decode(flipped.span.rawBytes) == .invalid)
    }
    for length in 0..<bytes.count {
      #expect(SnapshotManifest.decode(Array(bytes[..<length]).span.rawBytes) == .invalid)
    }
    for place in [0, 9, 40, 90, 150] {
      var damaged = image
      damaged.flip("SNAPSHOT", byte: place, bit: 1)
      let disk = try damaged.disk(directory: Self.path)
      let error = try #require(throws: LogError.self) { try Self.opened(disk) }
      #expect(error.code == .damaged)
      #expect(error.path.hasSuffix("SNAPSHOT"))
      #expect(try DiskImage(of: disk, directory: Self.path) == damaged)
      let reader = try Self.opened(disk) { $0.access = .readOnly }
      #expect(try TestLog.records(reader) == records)
      #expect(reader.recovery.damage.map(\.kind) == [.snapshot])
    }
  }

  @Test func `hostile lists under a right checksum never trap`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try Self.filled(disk, count: 60)
    try log.snapshot(to: Self.path)
    let bytes = try #require(try DiskImage(of: disk, directory: Self.path).files["SNAPSHOT"])
    var generator = SeededGenerator(seed: 4)
    var refused = 0
    for _ in 0..<3000 {
      var hostile = bytes
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let place = Int.random(in: 8..<hostile.count - 8, using: &generator)
        hostile[place] =
          [0, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &generator)][
            Int.random(in: 0..<5, using: &generator)]
      }
      Self.resum(&hostile)
      if SnapshotManifest.decode(hostile.span.rawBytes) == .invalid { refused += 1 }
      // Whatever it says, opening says no or yes, and does not trap.
      var image = try DiskImage(of: disk, directory: Self.path)
      image.files["SNAPSHOT"] = hostile
      do { _ = try Self.opened(try image.disk(directory: Self.path)) } catch is LogError {}
    }
    #expect(refused > 500)
  }

  static func resum(_ bytes: inout [UInt8]) {
    let sum = XXH3.hash64(bytes.span.rawBytes.extracting(0..<bytes.count - 8))
    for index in 0..<8 {
      bytes[bytes.count - 8 + index] = UInt8(truncatingIfNeeded: sum >> UInt64(8 * index))
    }
  }

  @Test func `a list of a later version is refused by its number`() throws {
    let disk = try changed { image in
      image.files["SNAPSHOT"]?[8] = 2
      Self.resum(&image.files["SNAPSHOT"]!)
    }
    let error = try #require(throws: LogError.self) { try Self.opened(disk) }
    #expect(error.code == .newerFormat)
    #expect(error.detail.contains("version 2"))
  }

  @Test func `SNAPSHOT alone is no empty directory to create a log in`() throws {
    let disk = try changed { image in image.files = image.files.filter { $0.key == "SNAPSHOT" } }
    for access in [LogOptions.Access.readOnly, .readWrite] {
      #expect(throws: LogError.self) {
        try TestLog.open(disk, at: Self.path) { $0.access = access }
      }
    }
    #expect(try Self.names(disk) == ["SNAPSHOT"])
  }
}

/// A segment's file name.
func segmentName(_ number: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: 8 - digits.count) + digits + ".seg"
}
