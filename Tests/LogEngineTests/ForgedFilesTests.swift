import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Files under checksums that hold, which say what no writer says, or stand where no writer puts them.
@Suite struct ForgedFilesTests {
  private static func verify(_ image: DiskImage) throws -> SegmentedLog.Verification {
    try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in true })
  }

  // MARK: Headers

  @Test func `of two sound header copies that differ the first counts, and the other is told of`() throws {
    var image = try RecoveryTests.killed(durable: 3)
    let sound = try #require(image.files[RecoveryTests.first])
    image.rewriteHeaders(RecoveryTests.first) { $0[176] ^= 1 }
    image.overwrite(RecoveryTests.first, at: 0, with: Array(sound[0..<4096]))
    let found = try Self.verify(image)
    #expect(found.records == 3)
    #expect(found.damage.map(\.kind) == [.header])
    #expect(found.damage.map(\.bytes) == [4096..<8192])
    #expect(try TestLog.records(RecoveryTests.opened(image).log).count == 3)
  }

  @Test func `a log that starts inside a segment is refused, and no record called lost`() throws {
    var image = try RecoveryTests.twoSegments()
    image.rewriteHeaders(RecoveryTests.second) { $0[120] += 1 }
    #expect(try RecoveryTests.refusal(image).code == .missingSegment)
    let found = try Self.verify(image)
    #expect(found.damage.map(\.kind) == [.missing])
    #expect(found.damage.map(\.offsets) == [0..<0])
  }

  @Test func `what a lost segment held is not concluded from another log's`() throws {
    var image = try RecoveryTests.killed(durable: 100)
    try #require(image.segments.count == 4)
    image.rewriteHeaders("00000001.seg") { $0[40] ^= 1 }
    image.overwrite("00000002.seg", at: 0, with: [UInt8](repeating: 0, count: 8192))
    let found = try Self.verify(image)
    #expect(found.damage.contains { $0.kind == .foreign && $0.file == "00000001.seg" })
    let lost = found.damage.filter { $0.kind == .header }
    #expect(lost.map(\.file) == ["00000002.seg"])
    #expect(lost.allSatisfy { $0.offsets.isEmpty })
    #expect(try RecoveryTests.refusal(image).path.hasSuffix(".seg"))
  }

  @Test func `the last offset is given out, and none behind it`() throws {
    var image = try RecoveryTests.killed(durable: 0)
    let last = Offset.max.rawValue
    // The log starts at the last but one.
    image.rewriteHeaders(RecoveryTests.first) { block in
      for place in [72, 112, 120] {
        for byte in 0..<8 { block[place + byte] = UInt8(truncatingIfNeeded: (last - 1) >> UInt64(8 * byte)) }
      }
    }
    let (log, disk) = try RecoveryTests.opened(image)
    try TestLog.append(log, ["last but one"])
    for records in [["a", "b"], ["a", "b", "c"]] {
      let error = try #require(throws: LogError.self) { try TestLog.append(log, records) }
      #expect(error.code == .outOfOffsets)
    }
    try TestLog.append(log, ["last"])
    #expect(log.latestOffset == .max)
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["x"]) }.code == .outOfOffsets)
    #expect(try log.withRecord(at: .max) { TestLog.text($0) } == "last")
    try log.close()
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 3))
    #expect(again.latestOffset == .max)
    #expect(try #require(throws: LogError.self) { try TestLog.append(again, ["x"]) }.code == .outOfOffsets)
  }

  @Test func `a header that rots in an open log is damage to a fork, and changes nothing`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    let file = try disk.open("log/00000001.seg", .readWrite)
    let sound = try file.allBytes()
    try file.write([UInt8](repeating: 0, count: 8192).span.rawBytes, at: 0)
    let error = try #require(throws: LogError.self) { try log.fork(to: "fork", through: 5) }
    #expect(error.code == .damaged && error.bytes == 0..<8192)
    #expect(try disk.status(of: "fork") == nil)
    try file.write(Array(sound[..<8192]).span.rawBytes, at: 0)
    try log.fork(to: "fork", through: 5)
  }

  // MARK: What a fork copies

  @Test func `a part of a segment is copied across sync frames`() throws {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: 1)
    let log = try TestLog.open(disk, environment: environment, segmentSize: 64 << 10)
    var records: [String] = []
    for number in 0..<3 {
      records.append(RecoveryTests.record(number))
      try TestLog.append(log, [records[number]])
      environment.advance(by: .seconds(1))
    }
    try log.fork(to: "fork", through: 2)
    #expect(log.size.segments == 1)
    let fork = try SnapshotTests.opened(disk, at: "fork")
    #expect(try TestLog.records(fork) == Array(records[..<2]))
  }

  @Test func `a part that is larger than what is written at once is copied whole`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk, segmentSize: 4 << 20)
    let records = (0..<6).map { RecoveryTests.record($0, 300 << 10) }
    for record in records { try TestLog.append(log, [record]) }
    let made = try log.fork(to: "fork", through: 5)
    #expect(made.copiedBytes > 1 << 20)
    let fork = try SnapshotTests.opened(disk, at: "fork")
    #expect(try TestLog.records(fork) == Array(records[..<5]))
    #expect(
      try SegmentedLog.verify(at: "fork", application: .init(id: 0), fileSystem: disk) { _, _ in true }
        .isSound)
  }

  // MARK: Names

  @Test func `a directory under the name of kept bytes is passed over`() throws {
    var image = try RecoveryTests.killed(durable: 1, buffered: 1)
    let end = RecoveryTests.frame(1)
    image.overwrite(RecoveryTests.first, at: end + 40, with: [UInt8](repeating: 0, count: 60))
    let disk = try image.disk()
    let taken = "00000001-\(end)-1.torn"
    _ = try disk.createDirectory(TestLog.path + "/" + taken)
    let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 2))
    #expect(log.recovery.outcome == .torn)
    #expect(log.recovery.keptAs == "00000001-\(end)-2.torn")
    #expect(try TestLog.records(log).count == 1)
  }

  @Test func `torn bytes that cannot be kept under a name are not cleared`() throws {
    var image = try RecoveryTests.killed(durable: 1, buffered: 1)
    image.overwrite(
      RecoveryTests.first, at: RecoveryTests.frame(1) + 40, with: [UInt8](repeating: 0, count: 60))
    let base = try image.disk()
    let disk = ObservedFileSystem(base) { $0.operation == .link && $0.name.hasSuffix(".torn") ? .io : nil }
    #expect(try #require(throws: LogError.self) { try TestLog.open(disk) }.cause?.operation == .link)
    #expect(try DiskImage(of: base).files[RecoveryTests.first] == image.files[RecoveryTests.first])
    #expect(try TestLog.open(base, environment: SeededEnvironment(seed: 2)).recovery.outcome == .torn)
  }

  @Test func `a segment that a snapshot of the same epoch does not list is foreign`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    let list = try #require(try DiskImage(of: disk, directory: "copy").files["SNAPSHOT"])
    try TestLog.append(log, ["later"])
    try log.close()
    var image = try DiskImage(of: disk)
    image.files["SNAPSHOT"] = list
    let error = try RecoveryTests.refusal(image)
    #expect(error.code == .foreignSegment)
    #expect(error.path.hasSuffix("00000005.seg"))
    #expect(try Self.verify(image).damage.map(\.kind) == [.foreign])
  }

  // MARK: Sidecars

  @Test func `bytes behind a seal are damage, whatever the sidecar says`() throws {
    let (sound, texts) = try SidecarTests.closed()
    var image = sound
    let name = try #require(image.segments.first)
    image.files[name]?.append(7)
    let disk = try image.disk()
    #expect(
      try #require(throws: LogError.self) { try TestLog.open(disk, index: TextIndex()) }.code == .damaged)
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index) { $0.access = .readOnly }
    #expect(log.recovery.damage.map(\.kind) == [.seal])
    #expect(try TestLog.records(log) == texts)
    #expect(index.texts.count == texts.count)
  }

  @Test func `a sidecar of no record is of no use`() throws {
    let disk = MemoryFileSystem()
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index)
    try TestLog.append(log, index, [RecoveryTests.record(0)])
    try log.close()
    var image = try DiskImage(of: disk)
    let header = try #require(
      try LogDirectory(TestLog.path, in: image.disk()).openSegment(SegmentNumber(1)).header)
    image.files["00000001.idx"] = nil
    let forged = try image.disk()
    let directory = try LogDirectory(TestLog.path, in: forged)
    let opened = try directory.openSegment(SegmentNumber(1))
    let draft = SidecarDraft(
      header, FilePosition(9000), SegmentTally(headerChecksum: opened.headerChecksum),
      positions: PositionTable())
    _ = try draft.write(StoredBytes(copying: RawSpan()), in: directory)
    try SidecarTests.check(try DiskImage(of: forged), [RecoveryTests.record(0)], "no record")
  }
}
