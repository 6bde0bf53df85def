import LogEngine
import PlatformIO
import StorageTesting
import Testing

/// One test for each row of DESIGN.md's recovery table, and what belongs to it.
@Suite struct RecoveryTests {
  static let first = "00000001.seg"
  static let second = "00000002.seg"

  /// A log whose writer was killed: `durable` single records, synced one by one, then `buffered` ones, not synced.
  static func killed(
    durable: Int, buffered: Int = 0, segmentSize: UInt64 = 16 << 10, size: Int = 100
  ) throws -> DiskImage {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk, segmentSize: segmentSize) { $0.syncPolicy = .never }
    for number in 0..<durable + buffered {
      try TestLog.append(log, [record(number, size)], durably: number < durable)
    }
    return try DiskImage(of: disk)
  }

  static func record(_ number: Int, _ size: Int = 100) -> String {
    "record \(number) " + String(repeating: "x", count: size)
  }

  /// A log of one sealed segment and one that was being written.
  static func twoSegments() throws -> DiskImage {
    let image = try killed(durable: 40)
    try #require(image.segments == [first, second])
    return image
  }

  /// Where the frame of a record starts in a segment.
  static func frame(_ record: Int, size: Int = 100) -> Int {
    // One digit more from record 10 on does not change the padded length here.
    8192
      + (0..<record).reduce(0) { sum, number in sum + 32 + (Self.record(number, size).utf8.count + 7) / 8 * 8
      }
  }

  /// What opening for writing throws, which must leave the disk as it was.
  static func refusal(
    _ image: DiskImage, _ change: @escaping (inout LogOptions) -> Void = { _ in }
  ) throws -> LogError {
    var image = image
    image.files["00000009.seg.tmp"] = [1]
    let disk = try image.disk()
    let error = try #require(throws: LogError.self) {
      try TestLog.open(disk) {
        $0.creation = .mustExist
        change(&$0)
      }
    }
    #expect(try DiskImage(of: disk) == image, "a refused opening changes nothing")
    return error
  }

  static func opened(
    _ image: DiskImage, _ change: @escaping (inout LogOptions) -> Void = { _ in }
  ) throws -> (log: SegmentedLog, disk: MemoryFileSystem) {
    let disk = try image.disk()
    let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 2)) {
      $0.creation = .mustExist
      change(&$0)
    }
    return (log, disk)
  }

  // MARK: Anywhere

  @Test func `a read error fails the opening, typed, and changes nothing`() throws {
    let image = try Self.twoSegments()
    for (name, position) in [(Self.first, 0), (Self.first, 8192), (Self.second, 0), (Self.second, 8192)] {
      let disk = try image.disk()
      let faulty = ObservedFileSystem(disk) { call in
        call.operation == .read && call.name == name && call.position == UInt64(position) ? .io : nil
      }
      let error = try #require(throws: LogError.self) {
        try TestLog.open(faulty) { $0.creation = .mustExist }
      }
      #expect(error.code == .fileSystem)
      #expect(error.cause?.code == .io)
      #expect(error.path.hasSuffix(name))
      #expect(try DiskImage(of: disk) == image)
    }
  }

  @Test func `an unknown format version is refused by number`() throws {
    var image = try Self.twoSegments()
    image.rewriteHeaders(Self.second) { $0[8] = 2 }
    let error = try Self.refusal(image)
    #expect(error.code == .newerFormat)
    #expect(error.detail.contains("version 2"))
  }

  @Test func `an unknown incompatible feature is refused by name, also for reading`() throws {
    var image = try Self.twoSegments()
    image.rewriteHeaders(Self.second) { $0[16] = 4 }
    #expect(try Self.refusal(image).detail.contains("incompatible feature bit 2"))
    #expect(try Self.refusal(image) { $0.access = .readOnly }.code == .newerFormat)
  }

  @Test func `an unknown read-only feature allows reading and refuses writing`() throws {
    var image = try Self.twoSegments()
    image.rewriteHeaders(Self.second) { $0[24] = 1 }
    #expect(try Self.refusal(image).code == .newerFormat)
    let (log, _) = try Self.opened(image) { $0.access = .readOnly }
    #expect(log.latestOffset == 40)
  }

  @Test func `a frame of an unknown type with a good check is refused as newer`() throws {
    var image = try Self.killed(durable: 3)
    image.rewriteFrame(Self.first, at: Self.frame(2)) { $0[28] = 9 }
    let error = try Self.refusal(image)
    #expect(error.code == .newerFormat)
    #expect(error.bytes?.lowerBound == UInt64(Self.frame(2)))
  }

  @Test func `a segment under another number's name is foreign`() throws {
    var image = try Self.twoSegments()
    image.files["00000003.seg"] = image.files[Self.second]
    #expect(try Self.refusal(image).code == .foreignSegment)
  }

  @Test func `a segment of another log is foreign`() throws {
    var image = try Self.twoSegments()
    image.rewriteHeaders(Self.first) { $0[40] ^= 1 }
    let error = try Self.refusal(image)
    #expect(error.code == .foreignSegment)
    #expect(error.path.hasSuffix(Self.first))
  }

  @Test func `a segment of an epoch that the next does not continue is foreign`() throws {
    var image = try Self.twoSegments()
    image.rewriteHeaders(Self.first) { $0[56] ^= 1 }
    #expect(try Self.refusal(image).code == .foreignSegment)
  }

  @Test func `a segment with both headers bad is damage`() throws {
    for name in [Self.first, Self.second] {
      var image = try Self.twoSegments()
      image.flip(name, byte: 50, bit: 0)
      image.flip(name, byte: 4096 + 50, bit: 0)
      let error = try Self.refusal(image)
      #expect(error.code == .damaged)
      #expect(error.path.hasSuffix(name))
    }
  }

  @Test func `one good header copy is enough`() throws {
    for copy in [0, 4096] {
      var image = try Self.twoSegments()
      image.flip(Self.first, byte: copy + 50, bit: 0)
      image.flip(Self.second, byte: copy + 50, bit: 0)
      #expect(try Self.opened(image).log.latestOffset == 40)
      let disk = try image.disk()
      let found = try SegmentedLog.verify(
        at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, check: { _, _ in true })
      #expect(found.damage.map(\.kind) == [.header, .header])
    }
  }

  // MARK: Sealed segments

  @Test func `any mismatch in a sealed segment is refused and named, and nothing is cut`() throws {
    let image = try Self.twoSegments()
    let sealed = try #require(image.files[Self.first]).count
    for byte in [Self.frame(3) + 10, Self.frame(20) + 60, sealed - 90, sealed - 60] {
      var damaged = image
      damaged.flip(Self.first, byte: byte, bit: 5)
      let error = try Self.refusal(damaged)
      #expect(error.code == .damaged)
      #expect(error.path.hasSuffix(Self.first))
      #expect(try #require(error.bytes).contains(UInt64(byte)))
    }
  }

  @Test func `a damaged record of a sealed segment loses only itself for reading`() throws {
    var image = try Self.twoSegments()
    image.flip(Self.first, byte: Self.frame(3) + 50, bit: 5)
    let (log, _) = try Self.opened(image) { $0.access = .readOnly }
    #expect(log.latestOffset == 40)
    for number in 0..<40 {
      let offset = Offset(UInt64(number + 1))
      if number == 3 {
        let error = try #require(throws: LogError.self) { try log.withRecord(at: offset) { _ in } }
        #expect(error.code == .damaged)
        #expect(error.offsets == offset..<Offset(offset.rawValue + 1))
      } else {
        #expect(try log.withRecord(at: offset) { TestLog.text($0) } == Self.record(number))
      }
    }
    let disk = try image.disk()
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, check: { _, _ in true })
    #expect(found.records == 39)
    #expect(
      found.damage == [
        Damage(
          kind: .frame, file: Self.first, bytes: UInt64(Self.frame(3))..<UInt64(Self.frame(4)), offsets: 4..<5
        )
      ])
  }

  @Test func `a sealed segment that was cut is damage`() throws {
    var image = try Self.twoSegments()
    image.truncate(Self.first, to: 12_000)
    #expect(try Self.refusal(image).code == .damaged)
  }

  @Test func `zeros where only a write can have made the file so long are told of, once`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    // Nothing is reserved for the segment that a reset begins, and one that is sealed is cut behind its seal.
    try log.reset()
    try TestLog.append(log, ["lost"])
    try log.snapshot(to: "copy")
    var image = try DiskImage(of: disk)
    let length = try #require(image.files[Self.second]?.count)
    image.overwrite(Self.second, at: 8192, with: [UInt8](repeating: 0, count: length - 8192))
    let damaged = try image.disk()
    let reader = try TestLog.open(damaged) { $0.access = .readOnly }
    #expect(reader.recovery.outcome == .torn && reader.recovery.tornBytes == 8192..<UInt64(length))
    let opened = try TestLog.open(damaged)
    #expect(opened.recovery.outcome == .torn && opened.recovery.tornBytes == 8192..<UInt64(length))
    #expect(opened.recovery.keptAs == nil && opened.latestOffset == 0)
    try opened.close()
    let again = try TestLog.open(damaged)
    #expect(again.recovery.outcome == .clean)
    try TestLog.append(again, ["new"])
    try again.close()
    let last = try TestLog.open(damaged)
    #expect(last.recovery.outcome == .clean)
    #expect(try TestLog.records(last) == ["new"])
  }

  // MARK: Between segments

  @Test func `a missing segment is refused and named`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for number in 0..<300 { try TestLog.append(log, [Self.record(number)]) }
    let image = try DiskImage(of: disk)
    try #require(image.segments.count >= 4)
    for name in image.segments.dropLast() {
      var broken = image
      broken.files[name] = nil
      let error = try Self.refusal(broken)
      #expect(error.code == .missingSegment, "\(name)")
      #expect(try Self.refusal(broken) { $0.access = .readOnly }.code == .missingSegment)
    }
  }

  @Test func `a segment that does not continue its predecessor's digest is refused`() throws {
    var image = try Self.twoSegments()
    image.rewriteHeaders(Self.second) { $0[152] ^= 1 }
    #expect(try Self.refusal(image).code == .missingSegment)
  }

  @Test func `segments below the log's start are garbage: never read, and removed`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for number in 0..<40 { try TestLog.append(log, [Self.record(number)]) }
    let before = try DiskImage(of: disk)
    try log.reset()
    try TestLog.append(log, ["after"])
    var image = try DiskImage(of: disk)
    #expect(image.segments == ["00000003.seg"])
    // As if the crash had come before the old segments were removed; and one of them has rotted.
    image.files.merge(before.files) { new, _ in new }
    image.flip(Self.first, byte: 9000, bit: 0)
    let (reopened, opened) = try Self.opened(image)
    #expect(try TestLog.records(reopened) == ["after"])
    #expect(reopened.latestOffset == 41)
    #expect(try DiskImage(of: opened).segments == ["00000003.seg"])
  }
}
