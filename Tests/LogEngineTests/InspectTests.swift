import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// What stands in the files, told without judging.
@Suite struct InspectTests {
  private static func parts(
    _ disk: any FileSystem, segment: SegmentNumber? = nil, headersOnly: Bool = false, limit: Int = .max
  ) throws -> [SegmentedLog.Part] {
    var parts: [SegmentedLog.Part] = []
    try SegmentedLog.inspect(
      at: TestLog.path, segment: segment, headersOnly: headersOnly, fileSystem: disk, rescue: nil
    ) { part in
      parts.append(part)
      return parts.count < limit
    }
    return parts
  }

  /// A sealed segment with a bad record, and one with a sync frame, a batch without its end and bytes that are no frame.
  private static func damaged() throws -> DiskImage {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: 1)
    let log = try TestLog.open(disk, environment: environment, segmentSize: 32 << 10)
    while log.size.segments < 2 { try TestLog.append(log, [RecoveryTests.record(1)]) }
    environment.advance(by: .seconds(3))
    try TestLog.append(log, [RecoveryTests.record(2), RecoveryTests.record(3)])
    var image = try DiskImage(of: disk)
    image.flip(RecoveryTests.first, byte: RecoveryTests.frame(3) + 40, bit: 0)
    // Behind the sync frame, in the next block.
    let batch = 12288 + 32
    image.flip(RecoveryTests.second, byte: batch + 152 + 40, bit: 0)
    return image
  }

  @Test func `every part is told in order, until no more is asked for`() throws {
    let disk = try Self.damaged().disk()
    let all = try Self.parts(disk)
    var kinds: [String] = []
    var unsound: [String] = []
    for part in all {
      switch part {
      case .segment(let segment): kinds.append("segment \(segment.number)")
      case .frame(let frame): kinds.append(frame.kind)
      case .unsound(let file, let bytes):
        kinds.append("unsound")
        unsound.append(file)
        #expect(!bytes.isEmpty)
      }
    }
    #expect(kinds.first == "segment 1")
    #expect(kinds.filter { $0 == "seal" }.count == 1)
    #expect(kinds.filter { $0 == "sync" }.count == 1)
    #expect(unsound == [RecoveryTests.first, RecoveryTests.second])
    let second = try #require(kinds.firstIndex(of: "segment 2"))
    #expect(kinds[second - 1] == "seal")
    // The first frame of the batch without an end is told of, too.
    #expect(Array(kinds[second...]) == ["segment 2", "record", "sync", "record", "unsound"])
    for limit in 1...all.count {
      #expect(try Self.parts(disk, limit: limit) == Array(all[..<limit]), "limit \(limit)")
    }
    let headers = try Self.parts(disk, headersOnly: true)
    #expect(headers.count == 2)
    #expect(try Self.parts(disk, headersOnly: true, limit: 1) == Array(headers[..<1]))
    #expect(try Self.parts(disk, segment: SegmentNumber(2)) == Array(all[second...]))
  }

  @Test func `of a segment whose header cannot be read only that is told`() throws {
    var image = try RecoveryTests.twoSegments()
    image.overwrite(RecoveryTests.first, at: 0, with: [UInt8](repeating: 0, count: 8192))
    let parts = try Self.parts(try image.disk())
    #expect(parts.first == .unsound(file: RecoveryTests.first, bytes: 0..<8192))
    #expect(try Self.parts(try image.disk(), limit: 1).count == 1)
  }

  @Test func `what is no log is not looked into`() throws {
    #expect(
      try #require(throws: LogError.self) { try Self.parts(MemoryFileSystem()) }.code == .noSuchLog)
  }

  // MARK: Verifying

  @Test func `verifying on the disk tells of a sound log, with one thread and with several`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/log"
    #expect(try #require(throws: LogError.self) { try SegmentedLog.verify(at: path) }.code == .noSuchLog)
    #expect(
      try #require(throws: LogError.self) { try SegmentedLog.verify(at: path, progress: { _, _ in }) }.code
        == .noSuchLog)
    let log = try TestLog.open(DiskFileSystem.shared, at: path)
    for number in 0..<100 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    try log.close()
    let found = try SegmentedLog.verify(at: path)
    #expect(found.isSound && found.records == 100)
    let told = try SegmentedLog.verify(at: path, progress: { _, _ in })
    #expect(told.isSound && told.records == 100)
  }

  @Test func `a record that a check finds fault with is named, also by several threads`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for number in 0..<100 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, threads: 3,
      progress: { _, _ in }, check: { offset, _ in offset != 3 && offset != 90 })
    #expect(found.damage.map(\.kind) == [.record, .record])
    #expect(found.damage.map(\.offsets) == [3..<4, 90..<91])
    #expect(found.damage.first?.bytes.lowerBound == UInt64(RecoveryTests.frame(2)))
  }

  @Test func `a faulty record is found in the segment that has it, where another lost its offset`() throws {
    // Two segments that overlap; of what both have, the first has lost one.
    var image = try RecoveryTests.twoSegments()
    let header = try #require(image.files[RecoveryTests.second])
    let first = header.span.rawBytes.loadUInt64(at: 112)
    image.rewriteHeaders(RecoveryTests.second) { $0[112] -= 3 }
    let lost = Int(first) - 3
    image.flip(RecoveryTests.first, byte: RecoveryTests.frame(lost - 1) + 40, bit: 0)
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in false })
    // Nothing told twice, and each told where it stands.
    let faulty = found.damage.filter { $0.kind == .record }
    #expect(Set(faulty.map(\.offsets)).count == faulty.count)
    #expect(faulty.count == Int(found.records))
  }

  @Test func `of a snapshot without any segment it is said what is missing`() throws {
    let disk = MemoryFileSystem()
    try SnapshotTests.filled(disk).0.snapshot(to: "copy")
    var image = try DiskImage(of: disk, directory: "copy")
    for name in image.segments { image.files[name] = nil }
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(), threads: 2,
      progress: { _, _ in }, check: { _, _ in true })
    #expect(found.records == 0)
    #expect(found.damage.count == 4 && found.damage.allSatisfy { $0.kind == .missing })
    // And if the list is no list, nothing can be read at all.
    image.flip("SNAPSHOT", byte: 20, bit: 0)
    let error = try #require(throws: LogError.self) {
      try TestLog.open(try image.disk()) { $0.access = .readOnly }
    }
    #expect(error.code == .damaged)
  }
}
