import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Rules of FORMAT.md that planted bugs (Fuzz/mutants.toml) showed to be held by no other test.
@Suite struct FormatRuleTests {
  private static let first = RecoveryTests.first

  /// A number in the first segment's header: 128 is the nonce, 4088 the block's checksum.
  private static func number(in image: DiskImage, at place: Int) throws -> UInt64 {
    let bytes = try #require(image.files[first])
    return bytes.span.rawBytes.loadUInt64(at: place)
  }

  /// A log with one batch of two records, never closed.
  private static func oneBatch() throws -> DiskImage {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk) { $0.syncPolicy = .never }
    try TestLog.append(log, [RecoveryTests.record(0), RecoveryTests.record(1)])
    return try DiskImage(of: disk)
  }

  // MARK: Directory

  @Test(arguments: ["1.seg", "0000000000000001.seg", "+0000001.seg", "00000000.seg"])
  func `a name that is no segment's is ignored`(name: String) throws {
    var image = try RecoveryTests.killed(durable: 3)
    let bytes = try #require(image.files[Self.first])
    image.files[name] = bytes
    let (log, disk) = try RecoveryTests.opened(image)
    #expect(try TestLog.records(log).count == 3)
    try log.close()
    #expect(try DiskImage(of: disk).files[name] == bytes)
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 3)) { $0.creation = .mustExist }
    #expect(try TestLog.records(again).count == 3)
  }

  // MARK: Segment header

  /// Bytes 160–175 are lengths below 2^63, bytes 112–119 an offset up to 2^40.
  @Test(arguments: [167, 175, 112 + 5])
  func `a header with a number that no writer makes is not valid`(byte: Int) throws {
    var image = try RecoveryTests.killed(durable: 1)
    image.rewriteHeaders(Self.first) { $0[byte] = 0x80 }
    let error = try RecoveryTests.refusal(image)
    #expect(error.code == .damaged)
    #expect(error.bytes == 0..<8192)
  }

  @Test func `of two header copies that differ the second counts as damaged`() throws {
    var image = try RecoveryTests.killed(durable: 1)
    let before = try #require(image.files[Self.first])
    // Another creation time, under a checksum that holds.
    image.rewriteHeaders(Self.first) { $0[176] ^= 1 }
    image.overwrite(Self.first, at: 0, with: Array(before[0..<4096]))
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in true })
    #expect(found.records == 1)
    #expect(found.damage.map(\.bytes) == [4096..<8192])
  }

  // MARK: Frame

  @Test func `32 zeros are no frame, whatever a nonce makes of them`() throws {
    let zeros = [UInt8](repeating: 0, count: 32)
    // One in 2^32 nonces lets their check come out as zero.
    let nonce: UInt64 = 7_682_162_637
    try #require(
      UInt32(truncatingIfNeeded: XXH3.hash64(zeros.span.rawBytes.extracting(4..<32), seed: nonce)) == 0)
    guard case .invalid = FrameHeader.decode(zeros.span.rawBytes, at: FilePosition(0), nonce: nonce) else {
      Issue.record("zeros are taken for a frame")
      return
    }
  }

  @Test(arguments: [29, 30, 31]) func `a frame with an unknown flag is of a newer format`(byte: Int) throws {
    var image = try RecoveryTests.killed(durable: 3)
    image.rewriteFrame(Self.first, at: RecoveryTests.frame(1)) { $0[byte] |= 2 }
    #expect(try RecoveryTests.refusal(image).code == .newerFormat)
  }

  @Test func `where frames are searched for, one of a newer type counts only if its body holds`() throws {
    var image = try RecoveryTests.killed(durable: 1, buffered: 2)
    // The second record is torn; the third's header checks out by chance, and says nothing true of what follows.
    image.overwrite(Self.first, at: RecoveryTests.frame(1), with: [UInt8](repeating: 0, count: 64))
    image.rewriteFrame(Self.first, at: RecoveryTests.frame(2)) { header in
      header[8] ^= 1
      header[28] = 9
    }
    let (log, _) = try RecoveryTests.opened(image)
    #expect(log.recovery.outcome == .torn)
    #expect(try TestLog.records(log) == [RecoveryTests.record(0)])
  }

  @Test(arguments: [FrameHeader.Kind.sync, .seal])
  func `a mark inside a batch is out of its place`(kind: FrameHeader.Kind) throws {
    var image = try Self.oneBatch()
    let place = RecoveryTests.frame(1)
    let end = RecoveryTests.frame(2)
    let nonce = try Self.number(in: image, at: 128)
    // What a seal would say of the whole batches before it.
    let checksum = try Self.number(in: image, at: 4088)
    let seal = Seal(SegmentTally(headerChecksum: checksum), firstOffset: 1)
    let mark = ControlFrame(
      kind, body: kind == .seal ? seal.encode() : [], at: FilePosition(UInt64(place)), nonce: nonce,
      syncedThrough: SegmentHeader.dataStart, index: 1)
    image.overwrite(Self.first, at: place, with: [UInt8](repeating: 0, count: end - place))
    image.overwrite(Self.first, at: place, with: mark.bytes)
    let (log, disk) = try RecoveryTests.opened(image)
    #expect(log.recovery.outcome == .torn)
    #expect(log.latestOffset == 0)
    try TestLog.append(log, ["next"])
    try log.close()
    #expect(try TestLog.records(TestLog.open(disk, environment: SeededEnvironment(seed: 3))) == ["next"])
  }

  @Test func `a record whose index is not the next is out of its place`() throws {
    var image = try RecoveryTests.killed(durable: 0, buffered: 4)
    // As if the one with index 1 had never been there.
    image.rewriteFrame(Self.first, at: RecoveryTests.frame(1)) { $0[24] = 2 }
    let log = try TestLog.open(try image.disk()) { $0.access = .readOnly }
    #expect(try TestLog.records(log) == [RecoveryTests.record(0)])
    #expect(try RecoveryTests.refusal(image).code == .suspectTail)
  }

  @Test func `a sync frame behind anything but zeros is not the next`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    try TestLog.append(log, [RecoveryTests.record(0)])
    try log.close()
    var image = try DiskImage(of: disk)
    image.overwrite(Self.first, at: 12_288 - 1000, with: [1])
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in true })
    #expect(found.torn?.bytes.lowerBound == UInt64(RecoveryTests.frame(1)))
    let (again, _) = try RecoveryTests.opened(image)
    #expect(again.recovery.outcome == .torn)
    #expect(try TestLog.records(again) == [RecoveryTests.record(0)])
  }

  @Test func `a record that reads as zeros before a sync frame is missed`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for number in 0..<2 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    try log.close()
    var image = try DiskImage(of: disk)
    let (start, end) = (RecoveryTests.frame(1), RecoveryTests.frame(2))
    image.overwrite(Self.first, at: start, with: [UInt8](repeating: 0, count: end - start))
    let error = try RecoveryTests.refusal(image)
    #expect(error.code == .damaged)
    #expect(error.offsets == 2..<3)
  }

  // MARK: Publish

  @Test func `a segment for a large batch is not made of a file that was prepared for a usual one`() throws {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: 1)
    let log = try TestLog.open(disk, environment: environment)
    try TestLog.append(log, [RecoveryTests.record(0)])
    // The segment is more than half full, so the next one's file is prepared.
    environment.advance(by: .zero)
    try #require(try disk.entries(of: TestLog.path).contains { $0.hasSuffix(".tmp") })
    let large = String(repeating: "x", count: 20_000)
    try TestLog.append(log, [large])
    // Never closed. A file shorter than its header says would be damage.
    let (again, _) = try RecoveryTests.opened(try DiskImage(of: disk))
    #expect(again.recovery.outcome == .clean)
    #expect(try TestLog.records(again) == [RecoveryTests.record(0), large])
  }

  @Test func `the name of a directory that somebody else made is durable before a log is in it`() throws {
    let disk = MemoryFileSystem()
    for path in ["above", "above/log"] { try #require(try disk.createDirectory(path)) }
    let recorder = CallRecorder()
    let log = try TestLog.open(ObservedFileSystem(disk, recorder.observer), at: "above/log")
    let calls = recorder.mutations
    let sync = try #require(calls.firstIndex(of: "syncDirectory above"))
    let link = try #require(calls.firstIndex(of: "link 00000001.seg"))
    #expect(sync < link)
    try log.close()
  }

  // MARK: Trim, reserve

  @Test func `a trim right behind a trim seals the empty segment that the first one left`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    let texts = (0..<120).map { RecoveryTests.record($0, 400) }
    for text in texts { try TestLog.append(log, [text]) }
    let starts = try log.segmentSpans().map(\.offsets.lowerBound)
    try #require(starts.count > 3)
    for start in starts[1...2] {
      try log.trim(before: start)
      #expect(log.firstOffset == start)
    }
    try TestLog.append(log, ["next"])
    try log.close()
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 2))
    #expect(try TestLog.records(again) == texts[(Int(starts[2].rawValue) - 1)...] + ["next"])
  }

  @Test func `the segment behind a trim or a reset has its space`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for number in 0..<120 { try TestLog.append(log, [RecoveryTests.record(number, 400)]) }
    for change in [{ () throws -> Void in try log.trim(before: .max) }, { try log.reset() }] {
      try change()
      let newest = try #require(try DiskImage(of: disk).segments.last)
      #expect(try disk.status(of: TestLog.path + "/" + newest)?.length == 16 << 10)
    }
  }

  @Test func `whoever opens a log lays the reserve that it lacks`() throws {
    let disk = MemoryFileSystem()
    try TestLog.open(disk).close()
    try disk.unlink(TestLog.path + "/reserve")
    try TestLog.open(disk) { $0.access = .readOnly }.close()
    #expect(try disk.status(of: TestLog.path + "/reserve") == nil)
    try TestLog.open(disk, environment: SeededEnvironment(seed: 2)).close()
    #expect(try disk.status(of: TestLog.path + "/reserve")?.length == 64 << 10)
  }

  @Test func `a trim and a reset lay the reserve that they lack`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for change in [{ () throws -> Void in try log.trim(before: .max) }, { try log.reset() }] {
      try TestLog.append(log, ["one"])
      try disk.unlink(TestLog.path + "/reserve")
      try change()
      #expect(try disk.status(of: TestLog.path + "/reserve")?.length == 64 << 10)
    }
  }

  // MARK: Failed write

  @Test func `taking back a write that filled the disk needs no more of it`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base) { $0.operation == .preallocate ? .noSpace : nil }
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    // From here on files do not grow, but for what the first failing write finds room for.
    let rest = Locked(500)
    let path = TestLog.path + "/"
    disk.observe { call in
      if call.operation == .preallocate { return .noSpace }
      guard call.operation == .write, call.name == Self.first else { return nil }
      guard let place = call.position, let count = call.count else { return nil }
      do {
        let file = try base.open(path + call.name, .readWrite)
        guard place + UInt64(count) > (try file.status().length) else { return nil }
        let part = [UInt8](repeating: 0xEE, count: rest.withLock { $0 })
        rest.withLock { $0 = 0 }
        try file.write(part.span.rawBytes, at: place)
      } catch { Issue.record(error) }
      return .noSpace
    }
    let error = try #require(throws: LogError.self) {
      try TestLog.append(log, [String(repeating: "x", count: 2000)])
    }
    #expect(error.code == .fileSystem)
    #expect(error.cause?.code == .noSpace)
    try TestLog.append(log, ["two"])
    try log.close()
    let again = try TestLog.open(base, environment: SeededEnvironment(seed: 2))
    #expect(try TestLog.records(again) == ["one", "two"])
  }

  @Test func `a segment that alone says where the log starts stays, whatever fails in it`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    for number in 0..<3 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    try log.trim(before: .max)
    disk.observe { $0.operation == .write && $0.name == RecoveryTests.second ? .noSpace : nil }
    #expect(throws: LogError.self) { try TestLog.append(log, ["fails"]) }
    // Never closed.
    let (again, _) = try RecoveryTests.opened(try DiskImage(of: base))
    #expect(again.firstOffset == 4)
    #expect(again.latestOffset == 3)
    try TestLog.append(again, ["next"])
    #expect(try TestLog.records(again) == ["next"])
  }

  // MARK: Sidecar

  @Test func `a sealed segment's sidecar of another history is not believed`() throws {
    let (start, first) = try SidecarTests.closed(5, segmentSize: 32 << 10)
    func goOn(_ letter: String) throws -> (image: DiskImage, texts: [String]) {
      let disk = try start.disk()
      let index = TextIndex()
      let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 5))
      let more = (0..<60).map { "\(letter) " + RecoveryTests.record($0, 400) }
      for text in more { try TestLog.append(log, index, [text]) }
      try log.close()
      return (try DiskImage(of: disk), first + more)
    }
    var (one, texts) = try goOn("a")
    let (other, _) = try goOn("b")
    try #require(one.segments.count > 1)
    // All numbers that their seals state are the same; only the digests are not.
    try #require(one.files[Self.first]?.count == other.files[Self.first]?.count)
    one.files["00000001.idx"] = other.files["00000001.idx"]
    #expect(try SidecarTests.check(one, texts, "another history").recordsRead > 0)
  }

  @Test func `bytes behind the seal of a segment with a sidecar are refused`() throws {
    var (image, _) = try SidecarTests.closed()
    image.files[Self.first]? += [UInt8](repeating: 1, count: 8)
    let disk = try image.disk()
    let error = try #require(throws: LogError.self) {
      try TestLog.open(disk, index: TextIndex(), environment: SeededEnvironment(seed: 5))
    }
    #expect(error.code == .damaged)
    #expect(try DiskImage(of: disk) == image)
  }

  @Test func `a reader that believes a sidecar knows what is durable`() throws {
    let (image, texts) = try SidecarTests.closed(10)
    let log = try TestLog.open(try image.disk(), index: TextIndex()) { $0.access = .readOnly }
    #expect(log.recovery.records == 0)
    #expect(log.durableOffset == Offset(UInt64(texts.count)))
  }

  @Test func `a sidecar is durable before it has its name`() throws {
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(MemoryFileSystem(), recorder.observer)
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index)
    try TestLog.append(log, index, ["one"])
    try log.close()
    let calls = recorder.mutations.filter { $0.contains(".idx") }
    #expect(calls.suffix(2) == ["sync 00000001.idx.tmp", "rename 00000001.idx.tmp"])
  }

  // MARK: SNAPSHOT

  @Test func `a list that no writer makes is not valid`() throws {
    let sound = SnapshotManifest(
      log: UniqueID(high: 1, low: 2), epoch: UniqueID(high: 3, low: 4), logStart: 10, next: 30, created: 0,
      segments: [
        .init(number: SegmentNumber(1), length: 9000, digest: 1, firstOffset: 10),
        .init(number: SegmentNumber(2), length: 9000, digest: 2, firstOffset: 20),
      ])
    #expect(SnapshotManifest.decode(sound.encode().span.rawBytes) == .manifest(sound))
    func isInvalid(_ change: (inout SnapshotManifest) -> Void) -> Bool {
      var changed = sound
      change(&changed)
      return SnapshotManifest.decode(changed.encode().span.rawBytes) == .invalid
    }
    #expect(isInvalid { $0.segments[1].number = SegmentNumber(3) })
    #expect(isInvalid { $0.segments[1].firstOffset = 9 })
    #expect(isInvalid { $0.segments[0].firstOffset = 11 })
    #expect(isInvalid { $0.segments[0].length = 8287 })
    #expect(isInvalid { $0.segments[0].length = 1 << 36 + 1 })
    #expect(isInvalid { $0.next = 19 })
    #expect(isInvalid { $0.next = Offset(1 << 40 + 1) })
    #expect(isInvalid { $0.segments = [] })
    // One segment less than the file has room for.
    var longer = sound.encode()
    longer[12] = 1
    SnapshotTests.resum(&longer)
    #expect(SnapshotManifest.decode(longer.span.rawBytes) == .invalid)
  }

  // MARK: Recovery

  @Test func `a last segment whose seal states another digest is damaged`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    // Which seals it.
    try log.snapshot(to: SnapshotTests.path)
    var image = try DiskImage(of: disk)
    try #require(image.segments == [Self.first])
    let place = try #require(image.files[Self.first]).count - Int(Seal.frameByteCount)
    let start = FilePosition(UInt64(place))
    let nonce = try Self.number(in: image, at: 128)
    let bytes = try #require(image.files[Self.first])
    let sound = Seal(frame: bytes.span.rawBytes.extracting(place..<bytes.count), at: start, nonce: nonce)
    var seal = try #require(sound)
    seal.digest ^= 1
    let frame = ControlFrame(
      .seal, body: seal.encode(), at: start, nonce: nonce, syncedThrough: SegmentHeader.dataStart, index: 1)
    image.overwrite(Self.first, at: place, with: frame.bytes)
    #expect(try RecoveryTests.refusal(image).code == .damaged)
  }

  @Test func `zeros in a sound record before the bad one are no sign of a tear`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk) { $0.syncPolicy = .never }
    let zeros = String(repeating: "\0", count: 1500)
    try TestLog.append(log, [zeros, RecoveryTests.record(1)])
    try TestLog.append(log, [RecoveryTests.record(2)])
    var image = try DiskImage(of: disk)
    image.flip(Self.first, byte: 8192 + 32 + 1504 + 40, bit: 0)
    #expect(try RecoveryTests.refusal(image).code == .suspectTail)
  }

  @Test(arguments: [[50, 200], [200, 50], [10, 30, 200]])
  func `an interrupted recovery goes on over as many bytes as the longest file that it left`(
    lengths: [Int]
  ) throws {
    var image = try RecoveryTests.killed(durable: 1, buffered: 1)
    let start = RecoveryTests.frame(1)
    image.overwrite(Self.first, at: start + 40, with: [UInt8](repeating: 0, count: 104))
    for (place, length) in lengths.enumerated() {
      image.files["00000001-\(start)-\(place + 1).torn"] = [UInt8](repeating: 1, count: length)
    }
    let (log, _) = try RecoveryTests.opened(image)
    #expect(log.recovery.outcome == .torn)
    #expect(log.recovery.tornBytes == UInt64(start)..<UInt64(start + 200))
  }

  @Test func `torn bytes take no other torn bytes' name`() throws {
    var image = try RecoveryTests.killed(durable: 1, buffered: 1)
    let start = RecoveryTests.frame(1)
    image.overwrite(Self.first, at: start + 40, with: [UInt8](repeating: 0, count: 104))
    // What was kept of an earlier tear at this place, and is less than what is torn now.
    image.files["00000001-\(start)-1.torn"] = [1, 2, 3]
    let (log, disk) = try RecoveryTests.opened(image)
    #expect(log.recovery.keptAs == "00000001-\(start)-2.torn")
    let after = try DiskImage(of: disk)
    #expect(after.files["00000001-\(start)-1.torn"] == [1, 2, 3])
    #expect(after.files["00000001-\(start)-2.torn"]?.count == 40)
  }

  @Test(arguments: [FileSystemError.Code.io, .permissionDenied])
  func `a log whose own name cannot be made durable is refused, unless that is not the writer's to do`(
    code: FileSystemError.Code
  ) throws {
    let base = try RecoveryTests.killed(durable: 1).disk()
    let disk = ObservedFileSystem(base) { call in
      call.operation == .syncDirectory && call.name == "." ? code : nil
    }
    if code == .permissionDenied {
      #expect(try TestLog.records(TestLog.open(disk)).count == 1)
    } else {
      #expect(try #require(throws: LogError.self) { try TestLog.open(disk) }.cause?.code == code)
    }
  }

  @Test func `a sealed segment that a copy shares is synced, and neither written nor cut`() throws {
    let base = MemoryFileSystem()
    // The crash comes between the seal and the cut.
    let disk = ObservedFileSystem(base) { $0.operation == .truncate ? .io : nil }
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    try log.snapshot(to: SnapshotTests.path)
    let image = try DiskImage(of: base)
    try #require(image.segments == [Self.first])
    try #require(image.files[Self.first]?.count == 16 << 10)
    let after = try image.disk()
    _ = try after.createDirectory(SnapshotTests.path)
    try after.link(TestLog.path + "/" + Self.first, as: SnapshotTests.path + "/" + Self.first)
    let recorder = CallRecorder()
    let again = try TestLog.open(
      ObservedFileSystem(after, recorder.observer), environment: SeededEnvironment(seed: 2))
    let calls = recorder.mutations
    #expect(calls.filter { $0.contains(Self.first) } == ["sync \(Self.first)"])
    try TestLog.append(again, ["two"])
    #expect(try TestLog.records(again) == ["one", "two"])
    #expect(try DiskImage(of: after).files[Self.first] == image.files[Self.first])
  }

  @Test func `behind the floor of a damaged log half a batch is none`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk) { $0.syncPolicy = .never }
    for number in 0..<3 { try TestLog.append(log, [RecoveryTests.record(number)], durably: true) }
    try TestLog.append(log, [RecoveryTests.record(3), RecoveryTests.record(4)])
    var image = try DiskImage(of: disk)
    image.flip(Self.first, byte: RecoveryTests.frame(1) + 40, bit: 0)
    image.flip(Self.first, byte: RecoveryTests.frame(4) + 40, bit: 0)
    let reader = try TestLog.open(try image.disk()) { $0.access = .readOnly }
    #expect(reader.latestOffset == 3)
    for offset: Offset in [1, 3] {
      let text = try reader.withRecord(at: offset) { TestLog.text($0) }
      #expect(text == RecoveryTests.record(Int(offset.rawValue) - 1))
    }
  }

  @Test func `what a reader misses of a log that is being reset is no damage`() throws {
    let base = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(base)
    let lists = Locked(0)
    let disk = ObservedFileSystem(base) { call in
      guard call.operation == .list else { return nil }
      do {
        switch lists.withLock({ lists in
          lists += 1
          return lists
        }) {
        // A listing is not made at one moment: it has the old segments but for the one that has gone already, and it has
        // not the new one.
        case 2: try base.unlink(TestLog.path + "/" + Self.first)
        case 4: try log.reset()
        default: break
        }
      } catch { Issue.record(error) }
      return nil
    }
    let error = try #require(throws: LogError.self) { try TestLog.open(disk) { $0.access = .readOnly } }
    #expect(error.code == .changedMeanwhile)
    #expect(lists.withLock { $0 } == 4)
    let reader = try TestLog.open(base) { $0.access = .readOnly }
    #expect(reader.firstOffset == 101)
  }

  // MARK: Limits

  @Test func `the last offset is given out, and none behind it`() throws {
    let disk = MemoryFileSystem()
    try TestLog.open(disk).close()
    var image = try DiskImage(of: disk)
    image.rewriteHeaders(Self.first) { block in
      // First offset and logStart.
      for field in [112, 120] {
        for byte in 0..<8 {
          block[field + byte] = UInt8(truncatingIfNeeded: Offset.max.rawValue >> UInt64(8 * byte))
        }
      }
    }
    let (log, _) = try RecoveryTests.opened(image)
    let error = try #require(throws: LogError.self) { try TestLog.append(log, ["x", "y"]) }
    #expect(error.code == .outOfOffsets)
    try TestLog.append(log, ["last"])
    #expect(log.latestOffset == Offset.max)
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["x"]) }.code == .outOfOffsets)
    #expect(try log.withRecord(at: Offset.max) { TestLog.text($0) } == "last")
  }
}
