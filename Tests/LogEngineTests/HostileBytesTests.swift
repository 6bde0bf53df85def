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
}
