import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Bytes that no writer wrote, under checksums that hold.
@Suite struct HostileBytesTests {
  @Test(arguments: [1, 256, 1 << 24, UInt32.max])
  func `an index beyond what can stand before it is not believed`(
    index: UInt32
  ) throws {
    var image = try RecoveryTests.twoSegments()
    image.rewriteFrame(RecoveryTests.first, at: RecoveryTests.frame(5)) { header in
      for byte in 0..<4 { header[24 + byte] = UInt8(truncatingIfNeeded: index >> UInt32(8 * byte)) }
    }
    image.flip(RecoveryTests.first, byte: RecoveryTests.frame(4) + 40, bit: 0)
    let log = try TestLog.open(try image.disk()) { $0.access = .readOnly }
    #expect(log.latestOffset == 40)
    // The records with an honest header can be read, whatever that one says.
    #expect(try log.withRecord(at: 1) { TestLog.text($0) } == RecoveryTests.record(0))
    #expect(try log.withRecord(at: 8) { TestLog.text($0) } == RecoveryTests.record(7))
    #expect(try log.withRecord(at: 40) { TestLog.text($0) } == RecoveryTests.record(39))
  }

  @Test func `an impossible index in the last segment is no more than a bad frame`() throws {
    var image = try RecoveryTests.killed(durable: 0, buffered: 4)
    image.rewriteFrame(RecoveryTests.first, at: RecoveryTests.frame(3)) { header in
      for byte in 24..<28 { header[byte] = 0xFF }
    }
    image.flip(RecoveryTests.first, byte: RecoveryTests.frame(2) + 40, bit: 0)
    let (log, _) = try RecoveryTests.opened(image)
    #expect(try TestLog.records(log) == [RecoveryTests.record(0), RecoveryTests.record(1)])
  }

  @Test func `segments whose offsets overlap are refused, and show no record twice`() throws {
    var image = try RecoveryTests.twoSegments()
    image.rewriteHeaders(RecoveryTests.second) { $0[112] -= 3 }
    #expect(try RecoveryTests.refusal(image).code == .missingSegment)
    var seen: [Offset] = []
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk()
    ) { offset, _ in
      seen.append(offset)
      return true
    }
    #expect(!found.isSound)
    #expect(seen == seen.sorted() && Set(seen).count == seen.count)
  }

  @Test func `a segment file longer than positions reach is read as far as they do`() throws {
    let place = TemporaryDirectory()
    var options = LogOptions()
    options.creation = .createIfMissing
    options.segmentSize = 16 << 10
    let log = try SegmentedLog.open(at: place.path + "/log", options: options)
    try TestLog.append(log, ["one"])
    try log.close()
    let file = try DiskFileSystem.shared.open(place.path + "/log/00000001.seg", .readWrite)
    try file.setLength(1 << 40)
    let again = try SegmentedLog.open(at: place.path + "/log", options: options)
    try TestLog.append(again, ["two"])
    try again.close()
    #expect(
      try TestLog.records(SegmentedLog.open(at: place.path + "/log", options: options)) == ["one", "two"])
  }

  @Test func `another log's segment on top of a log removes nothing`() throws {
    // Its first batch did not fit into its first segment, so its second says that a log starts at offset 1 with it.
    let other = MemoryFileSystem()
    let log = try TestLog.open(other, environment: SeededEnvironment(seed: 77))
    try TestLog.append(log, [String(repeating: "x", count: 20_000)])
    let stray = try DiskImage(of: other)
    for damage in ["none", "headers"] {
      var image = try RecoveryTests.killed(durable: 3)
      image.files[RecoveryTests.second] = stray.files[RecoveryTests.second]
      if damage == "headers" {
        image.overwrite(RecoveryTests.first, at: 0, with: [UInt8](repeating: 0, count: 8192))
      }
      #expect(try RecoveryTests.refusal(image).code == .foreignSegment)
      #expect(try verify(image).damage.map(\.kind) == [.foreign])
    }
  }

  @Test func `a segment copied over the next number is foreign, and no record is met twice`() throws {
    var image = try RecoveryTests.twoSegments()
    image.files["00000003.seg"] = image.files[RecoveryTests.second]
    #expect(try RecoveryTests.refusal(image).code == .foreignSegment)
    #expect(try verify(image).damage.contains { $0.kind == .foreign && $0.file == "00000003.seg" })
  }

  @Test func `a durable batch without an end is damage`() throws {
    // What a sync frame calls durable is complete; here its last record says that more follows.
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    try TestLog.append(log, [RecoveryTests.record(0), RecoveryTests.record(1)])
    try log.close()
    var image = try DiskImage(of: disk)
    image.rewriteFrame(RecoveryTests.first, at: RecoveryTests.frame(1)) { $0[29] = 1 }
    #expect(try RecoveryTests.refusal(image).code == .damaged)
    #expect(try verify(image).damage.map(\.kind) == [.frame])
  }

  @Test func `a record under an offset of the next segment is no trap`() throws {
    // A sealed segment's last sync frame made a record: its offset is the first one of the successor.
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    try TestLog.append(log, [RecoveryTests.record(0)])
    try log.close()
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 2))
    try TestLog.append(again, [String(repeating: "x", count: 20_000)])
    var image = try DiskImage(of: disk)
    image.rewriteFrame(RecoveryTests.first, at: 12288) { $0[28] = 1 }
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk()
    ) { _, _ in false }
    #expect(!found.isSound)
  }

  @Test func `a header of another block length is not valid`() throws {
    var image = try RecoveryTests.killed(durable: 1)
    let sound = try #require(image.files[RecoveryTests.first])
    image.rewriteHeaders(RecoveryTests.first) { $0[13] = 0x20 }
    image.overwrite(RecoveryTests.first, at: 0, with: Array(sound[0..<4096]))
    let found = try verify(image)
    #expect(found.records == 1)
    #expect(found.damage.map(\.bytes) == [4096..<8192])
  }

  private func verify(_ image: DiskImage) throws -> SegmentedLog.Verification {
    try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in true })
  }

  @Test func `a frame cannot speak for bytes behind itself`() throws {
    var image = try RecoveryTests.killed(durable: 3)
    image.rewriteFrame(RecoveryTests.first, at: RecoveryTests.frame(1)) { $0[18] = 0xFF }
    let (log, _) = try RecoveryTests.opened(image)
    #expect(log.recovery.outcome == .clean)
    #expect(try TestLog.records(log).count == 3)
  }

  @Test(.timeLimit(.minutes(1))) func `a search that costs too much is given up, and the end is suspect`()
    throws
  {
    var image = try RecoveryTests.killed(durable: 2, segmentSize: 64 << 10)
    // Headers that hold, each in front of a body that reaches almost to the end of the file and does not.
    var position = RecoveryTests.frame(2)
    while position + 64 < 64 << 10 {
      image.rewriteFrame(RecoveryTests.first, at: position) { header in
        header = [UInt8](repeating: 0, count: 32)
        let length = UInt32((64 << 10) - position - 40)
        for byte in 0..<4 { header[4 + byte] = UInt8(truncatingIfNeeded: length >> UInt32(8 * byte)) }
        header[8] = 1
        header[28] = 1
      }
      position += 32
    }
    #expect(try RecoveryTests.refusal(image).code == .suspectTail)
  }
}
