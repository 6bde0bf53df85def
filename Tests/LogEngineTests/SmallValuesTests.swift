import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Identifiers, numbers, limits and buffers, each by itself.
@Suite struct SmallValuesTests {
  @Test func `an identifier is read from the text it makes, and from no other`() {
    let id = UniqueID(high: 0x0123_4567_89AB_4DEF, low: 0x8123_4567_89AB_CDEF)
    #expect(id.description == "01234567-89ab-4def-8123-456789abcdef")
    #expect(UniqueID(id.description) == id)
    #expect(UniqueID("01234567-89AB-4DEF-8123-456789ABCDEF") == id)
    for text in [
      "", "01234567-89ab-4def-8123-456789abcde", "01234567-89ab-4def-8123-456789abcdef0",
      "01234567_89ab-4def-8123-456789abcdef", "01234567-89ab-4def-8123-456789abcdeg",
    ] {
      #expect(UniqueID(text) == nil, "\(text)")
    }
  }

  @Test func `a number made from its raw value is the same number`() {
    #expect(Offset(rawValue: 7) == 7 && Offset(rawValue: 7).rawValue == 7)
    #expect(FilePosition(rawValue: 8192) == SegmentHeader.dataStart)
    #expect(SegmentNumber(rawValue: 3) == SegmentNumber(2).next)
  }

  @Test func `a time that is negative is none, and one that no clock reaches is the longest`() {
    #expect(Duration.seconds(-1).nanoseconds == 0)
    #expect(Duration.milliseconds(1500).nanoseconds == 1_500_000_000)
    #expect(Duration.seconds(Int64.max).nanoseconds == .max)
    #expect((Duration.seconds(18_446_744_073) + .milliseconds(900)).nanoseconds == .max)
  }

  @Test func `histograms are equal if they counted the same`() {
    var (left, right) = (LatencyHistogram(), LatencyHistogram())
    for time in [5, 70, 900] as [UInt64] { left.add(time) }
    #expect(left != right)
    for time in [900, 5, 70] as [UInt64] { right.add(time) }
    #expect(left == right)
    #expect(left.hashValue == right.hashValue)
    // The same count, sum and maximum, in other ranges.
    var (one, other) = (LatencyHistogram(), LatencyHistogram())
    for time in [10, 50, 100] as [UInt64] { one.add(time) }
    for time in [30, 30, 100] as [UInt64] { other.add(time) }
    #expect(one != other)
  }

  private static func refusal(_ batch: inout RecordBatch, _ record: [UInt8]) -> LogError? {
    do throws(LogError) {
      try batch.append(record.span.rawBytes)
      return nil
    } catch {
      return error
    }
  }

  @Test func `a record or a batch beyond its limit is refused and leaves the batch as it was`() throws {
    var batch = RecordBatch(recordLimit: 100, byteLimit: 200)
    let small = [UInt8](repeating: 1, count: 60)
    let large = [UInt8](repeating: 2, count: 101)
    let first = Self.refusal(&batch, large)?.code
    #expect(first == .recordTooLarge)
    let (count, byteCount) = (batch.count, batch.byteCount)
    #expect(count == 0 && byteCount == 0)
    try batch.append(small.span.rawBytes)
    try batch.append(small.span.rawBytes)
    let before = batch.byteCount
    let second = Self.refusal(&batch, small)?.code
    #expect(second == .batchTooLarge)
    let (left, after) = (batch.count, batch.byteCount)
    #expect(left == 2 && after == before)

    // One record may always be a batch.
    var single = RecordBatch(recordLimit: 1000, byteLimit: 200)
    try single.append([UInt8](repeating: 3, count: 900).span.rawBytes)
    let one = single.count
    #expect(one == 1)
    let log = try TestLog.open(MemoryFileSystem())
    let stored = try log.append(&batch)
    #expect(stored == 1..<3)
  }

  @Test func `nothing appended to a buffer leaves it as it was`() {
    var buffer = ByteBuffer()
    buffer.append(RawSpan())
    buffer.append(UInt8(7))
    buffer.append(RawSpan())
    let bytes = buffer.copy()
    #expect(bytes == [7])
  }

  @Test func `the last sector counts as far as it is there`() {
    func isTorn(_ count: Int, zeros: Int) -> Bool {
      let bytes = [UInt8](repeating: 7, count: count - zeros) + [UInt8](repeating: 0, count: zeros)
      return TearEvidence.isTorn(bytes.span.rawBytes, at: SegmentHeader.dataStart)
    }
    #expect(isTorn(512 + 64, zeros: 8))
    #expect(!isTorn(512 + 64, zeros: 7))
    #expect(isTorn(512 + 8, zeros: 8))
    #expect(isTorn(512 + 4, zeros: 4))
    #expect(!isTorn(512 + 4, zeros: 3))
    #expect(!isTorn(512, zeros: 0))
  }

  // MARK: Reading files

  private static func file(_ byteCount: Int) throws -> any LogFile {
    let file = try MemoryFileSystem().open("file", .createNew)
    let bytes = [UInt8](repeating: 7, count: byteCount)
    try file.write(bytes.span.rawBytes, at: 0)
    return file
  }

  @Test func `a file that ends before what was asked for says where, unless it may`() throws {
    let file = try Self.file(50)
    var missing: UInt64?
    do throws(FileSystemError) {
      try file.forEachChunk(from: FilePosition(10), to: FilePosition(100)) { _, _ in }
    } catch {
      if error.code == .unexpectedEnd { missing = error.position }
    }
    #expect(missing == 50)
    var pieces: [(UInt64, Int)] = []
    try file.forEachChunk(from: FilePosition(10), to: FilePosition(100 << 20), mayEndBefore: true) {
      bytes, place in pieces.append((place.rawValue, bytes.byteCount))
    }
    #expect(pieces.map(\.0) == [10])
    #expect(pieces.map(\.1) == [40])
  }

  @Test func `a sidecar comes back whatever its length is to a block's`() throws {
    let disk = MemoryFileSystem()
    _ = try disk.createDirectory(TestLog.path)
    let directory = try LogDirectory(TestLog.path, in: disk)
    let segment = SegmentHeader(
      log: UniqueID(high: 1, low: 2), epoch: Epoch(id: UniqueID(high: 3, low: 4), start: 1),
      number: SegmentNumber(1), firstOffset: 1, logStart: 1, nonce: 5, previous: .dropped(0),
      preallocated: 0, segmentSize: 16 << 10, created: 0, application: ApplicationTag(id: 0))
    for count in [0, 1, (1 << 20) - 8, (1 << 20) - 7, 1 << 20, 2 << 20] {
      var positions = PositionTable()
      positions.append(SegmentHeader.dataStart)
      let index = StoredBytes(copying: [UInt8](repeating: 9, count: count).span.rawBytes)
      var tally = SegmentTally(headerChecksum: 6)
      tally.recordCount = 1
      let draft = SidecarDraft(segment, FilePosition(9000), tally, positions: positions)
      _ = try draft.write(index, in: directory)
      let read = Sidecar.readAll(for: [segment], in: directory)[segment.number]
      let isSame = read?.index.bytes.isEqual(to: index.bytes)
      #expect(isSame == true, "\(count) bytes")
      #expect(read?.positions.position(at: 0) == SegmentHeader.dataStart)
    }
  }

  @Test func `a snapshot lists no more segments than its reader takes`() throws {
    let disk = MemoryFileSystem()
    _ = try disk.createDirectory("copy")
    let directory = try LogDirectory("copy", in: disk)
    let segment = SnapshotManifest.Segment(
      number: SegmentNumber(1), length: 8288, digest: 0, firstOffset: 1)
    let manifest = SnapshotManifest(
      log: .none, epoch: .none, logStart: 1, next: 1, created: 0,
      segments: Array(repeating: segment, count: SnapshotManifest.segmentLimit + 1))
    let error = try #require(throws: LogError.self) { try directory.writeSnapshot(manifest) }
    #expect(error.code == .invalidOption)
    #expect(error.detail.contains("use larger segments"))
    #expect(try disk.entries(of: "copy").isEmpty)
  }

  @Test func `a directory is discarded only as far as it holds files`() throws {
    let place = TemporaryDirectory()
    let disk = DiskFileSystem.shared
    _ = try disk.createDirectory(place.path + "/a")
    _ = try disk.createDirectory(place.path + "/a/b")
    LogLocation.discard(place.path + "/a")
    LogLocation.discard(place.path + "/missing")
    #expect(try disk.entries(of: place.path + "/a") == ["b"])
  }

  @Test func `a file of a failing disk is only read`() throws {
    let disk = MemoryFileSystem()
    try disk.open("file", .createNew).write([1, 2, 3].span.rawBytes, at: 0)
    let file = ReadRescue().wrap(try disk.open("file", .readWrite), name: "file")
    #expect(file.path == "file")
    let changes: [() throws -> Void] = [
      { _ = try file.map(3) }, { try file.write([9].span.rawBytes, at: 0) }, { try file.preallocate(9) },
      { try file.setLength(1) }, { try file.sync() }, { _ = try file.tryLock() },
    ]
    for change in changes {
      #expect(try #require(throws: FileSystemError.self) { try change() }.code == .notSupported)
    }
    file.unlock()
    #expect(try file.allBytes() == [1, 2, 3])
  }
}
