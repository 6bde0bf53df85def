import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// A sidecar saves reading, and changes nothing else: whatever is wrong with it, the log is what its segments say.
@Suite struct SidecarTests {
  /// A closed log of a few segments, with all its sidecars.
  static func closed(
    _ records: Int = 120, size: Int = 400, segmentSize: UInt64 = 16 << 10
  ) throws -> (image: DiskImage, texts: [String]) {
    let disk = MemoryFileSystem()
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index, segmentSize: segmentSize)
    let texts = (0..<records).map { RecoveryTests.record($0, size) }
    for text in texts { try TestLog.append(log, index, [text]) }
    try log.close()
    return (try DiskImage(of: disk), texts)
  }

  /// Opens, checks that index and log agree on `texts`, appends, and checks again after another opening.
  @discardableResult
  static func check(
    _ image: DiskImage, _ texts: [String], _ what: Comment, access: LogOptions.Access = .readWrite
  ) throws -> TextIndex {
    let disk = try image.disk()
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 5)) {
      $0.access = access
    }
    #expect(try TestLog.records(log) == texts, what)
    #expect(index.texts.sorted { $0.key < $1.key }.map(\.value) == texts, what)
    guard access == .readWrite else { return index }
    try TestLog.append(log, index, ["one more"])
    try log.close()
    let again = TextIndex()
    let reopened = try TestLog.open(disk, index: again, environment: SeededEnvironment(seed: 6))
    #expect(try TestLog.records(reopened) == texts + ["one more"], what)
    #expect(again.texts.sorted { $0.key < $1.key }.map(\.value) == texts + ["one more"], what)
    #expect(again.recordsRead == 0, what)
    // What the sidecars say of the frames before them leads to seals that fit.
    #expect(
      try SegmentedLog.verify(
        at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, check: { _, _ in true }
      ).isSound, what)
    return index
  }

  @Test func `opening after a clean close reads no record`() throws {
    let (image, texts) = try Self.closed()
    #expect(image.segments.count >= 3)
    #expect(image.files.keys.filter { $0.hasSuffix(".idx") }.count == image.segments.count)
    let read = Locked([String: Int]())
    let disk = ObservedFileSystem(try image.disk()) { call in
      if call.operation == .read { read.withLock { $0[call.name, default: 0] += call.count ?? 0 } }
      return nil
    }
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 5))
    #expect(index.recordsRead == 0)
    #expect(index.segmentsRestored == image.segments.count)
    #expect(log.recovery.records == 0)
    // The headers, the seals, and what stands about the end.
    for name in image.segments.dropLast() { #expect(read.withLock { $0[name]! } == 8192 + 96) }
    #expect(try TestLog.records(log) == texts)
    try log.close()
    try Self.check(image, texts, "for writing")
    try Self.check(image, texts, "for reading", access: .readOnly)
  }

  @Test func `closing what was only opened writes nothing`() throws {
    let (image, _) = try Self.closed()
    let disk = try image.disk()
    let recorder = CallRecorder()
    let log = try TestLog.open(
      ObservedFileSystem(disk, recorder.observer), index: TextIndex(), environment: SeededEnvironment(seed: 5)
    )
    recorder.clear()
    try log.close()
    #expect(recorder.mutations == [])
    #expect(try DiskImage(of: disk) == image)
  }

  @Test(arguments: [0, 1, 7, 60]) func `after a crash only what the last sidecar lacks is read`(
    appended: Int
  ) throws {
    let (image, texts) = try Self.closed(30)
    let disk = try image.disk()
    let index = TextIndex()
    let environment = SeededEnvironment(seed: 5)
    let log = try TestLog.open(disk, index: index, environment: environment)
    let more = (0..<appended).map { RecoveryTests.record(1000 + $0, 400) }
    for text in more { try TestLog.append(log, index, [text]) }
    environment.advance(by: .zero)
    // Never closed: the process is gone.
    let after = try DiskImage(of: disk)
    let opened = try Self.check(after, texts + more, "crashed")
    if appended < 10 { #expect(opened.recordsRead == appended) }
    #expect(opened.recordsRead < 45)
  }

  @Test func `the sidecar of a sealed segment is written behind the appends, and takes over from memory`()
    throws
  {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: 5)
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index, environment: environment)
    var texts: [String] = []
    while log.size.segments < 3 {
      texts.append(RecoveryTests.record(texts.count, 400))
      try TestLog.append(log, index, [texts[texts.count - 1]])
    }
    #expect(try DiskImage(of: disk).files.keys.filter { $0.hasSuffix(".idx") }.isEmpty)
    environment.advance(by: .zero)
    #expect(
      try DiskImage(of: disk).files.keys.filter { $0.hasSuffix(".idx") }.sorted() == [
        "00000001.idx", "00000002.idx",
      ])
    #expect(try TestLog.records(log) == texts)
  }

  @Test func `a flipped bit anywhere in a sidecar costs reading its segment, and nothing else`() throws {
    let (image, texts) = try Self.closed(40, size: 60)
    for name in image.files.keys.sorted() where name.hasSuffix(".idx") {
      for byte in image.files[name]!.indices {
        var spoiled = image
        spoiled.flip(name, byte: byte, bit: byte % 8)
        let index = TextIndex()
        let log = try TestLog.open(spoiled.disk(), index: index) { $0.access = .readOnly }
        #expect(try TestLog.records(log) == texts)
        #expect(index.texts.sorted { $0.key < $1.key }.map(\.value) == texts, "\(name), byte \(byte)")
        #expect(index.recordsRead > 0, "\(name), byte \(byte)")
      }
    }
  }

  @Test func `a sidecar cut anywhere, or with bytes behind it, is not believed`() throws {
    let (image, texts) = try Self.closed(40, size: 60, segmentSize: 64 << 10)
    let name = "00000001.idx"
    let length = try #require(image.files[name]?.count)
    for cut in [0, 1, 255, 256, 300, length / 2, length - 1] {
      var spoiled = image
      spoiled.truncate(name, to: cut)
      let read = try Self.check(spoiled, texts, "cut at \(cut)").recordsRead
      #expect(read == 40)
    }
    var longer = image
    longer.files[name]?.append(0)
    #expect(try Self.check(longer, texts, "longer").recordsRead == 40)
  }

  @Test func `a missing sidecar is written again, behind the opening`() throws {
    var (image, texts) = try Self.closed()
    let all = image
    for name in image.files.keys where name.hasSuffix(".idx") { image.files[name] = nil }
    let disk = try image.disk()
    let environment = SeededEnvironment(seed: 5)
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index, environment: environment)
    #expect(index.recordsRead == texts.count)
    environment.advance(by: .zero)
    try log.close()
    #expect(try DiskImage(of: disk) == all)
    // A reader writes none.
    let untouched = try image.disk()
    let reader = try TestLog.open(untouched, index: TextIndex()) { $0.access = .readOnly }
    try reader.close()
    #expect(try DiskImage(of: untouched) == image)
  }

  @Test func `an older sidecar of the segment is as good as far as it goes`() throws {
    var (image, texts) = try Self.closed(10, segmentSize: 64 << 10)
    let old = try #require(image.files["00000001.idx"])
    for round in 0..<12 {
      let disk = try image.disk()
      let index = TextIndex()
      let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: UInt64(round)))
      for number in 0..<12 {
        texts.append(RecoveryTests.record(round * 100 + number, 400))
        try TestLog.append(log, index, [texts[texts.count - 1]])
      }
      try log.close()
      image = try DiskImage(of: disk)
      var stale = image
      stale.files["00000001.idx"] = old
      let read = try Self.check(stale, texts, "round \(round)").recordsRead
      #expect(read > 0)
    }
    #expect(image.segments.count > 1)
  }

  @Test func `a sidecar of another segment, another log or another history is not believed`() throws {
    let (image, texts) = try Self.closed()
    var swapped = image
    swapped.files["00000001.idx"] = image.files["00000002.idx"]
    swapped.files["00000002.idx"] = image.files["00000001.idx"]
    #expect(try Self.check(swapped, texts, "swapped").recordsRead > 0)

    // Two histories of one segment, of equal lengths.
    let (start, first) = try Self.closed(5, segmentSize: 64 << 10)
    func goOn(_ letter: String) throws -> (image: DiskImage, texts: [String]) {
      let disk = try start.disk()
      let index = TextIndex()
      let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 5))
      let more = (0..<3).map { "\(letter)\($0)" }
      for text in more { try TestLog.append(log, index, [text]) }
      try log.close()
      return (try DiskImage(of: disk), first + more)
    }
    var (one, oneTexts) = try goOn("a")
    let (other, _) = try goOn("b")
    #expect(one.files["00000001.seg"]?.count == other.files["00000001.seg"]?.count)
    one.files["00000001.idx"] = other.files["00000001.idx"]
    #expect(try Self.check(one, oneTexts, "another history").recordsRead == 8)
    // The segment is an older copy than its sidecar.
    one.files["00000001.seg"] = start.files["00000001.seg"]
    #expect(try Self.check(one, first, "an older segment").recordsRead == 5)
  }

  @Test func `damage just before an unsealed sidecar's end is found by opening`() throws {
    var (image, texts) = try Self.closed(10, segmentSize: 64 << 10)
    image.flip("00000001.seg", byte: 8192 + 100, bit: 3)
    #expect(
      try #require(throws: LogError.self) {
        try TestLog.open(image.disk(), index: TextIndex(), environment: SeededEnvironment(seed: 5))
      }.code == .damaged)
    let reader = try TestLog.open(image.disk(), index: TextIndex()) { $0.access = .readOnly }
    #expect(try reader.withRecord(at: 2) { TestLog.text($0) } == texts[1])
  }

  @Test func `damage behind a sidecar is told by whoever reads the record`() throws {
    var (image, texts) = try Self.closed(1000, segmentSize: 256 << 10)
    image.flip("00000001.seg", byte: 8192 + 100, bit: 3)
    try #require(image.segments.count == 2)
    try #require(image.files["00000002.seg"]!.count > 100_000)
    image.flip("00000002.seg", byte: 8192 + 100, bit: 3)
    let index = TextIndex()
    let disk = try image.disk()
    let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 5))
    #expect(throws: LogError.self) { try log.withRecord(at: 1) { _ in } }
    #expect(try log.withRecord(at: 2) { TestLog.text($0) } == texts[1])
    try TestLog.append(log, index, ["goes on"])
    try log.close()
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, check: { _, _ in true })
    #expect(found.damage.count == 2)
    #expect(found.records == UInt64(texts.count) - 1)
  }

  @Test func `sidecars of dropped segments go with them`() throws {
    let (image, _) = try Self.closed()
    let disk = try image.disk()
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 5))
    try log.reset()
    #expect(index.texts.isEmpty)
    try TestLog.append(log, index, ["after"])
    try log.close()
    #expect(try DiskImage(of: disk).files.keys.filter { $0.hasSuffix(".idx") }.count == 1)
    var litter = try DiskImage(of: disk)
    litter.files["00000001.idx"] = image.files["00000001.idx"]
    litter.files["00000077.idx.tmp"] = [1, 2, 3]
    let littered = try litter.disk()
    try TestLog.open(littered, index: TextIndex(), environment: SeededEnvironment(seed: 5)).close()
    #expect(try DiskImage(of: littered) == DiskImage(of: disk))
  }

  @Test func `a sidecar that cannot be written fails nothing`() throws {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: 5)
    let index = TextIndex()
    let failing = ObservedFileSystem(disk) { call in
      call.isMutation && call.name.contains(".idx") ? .noSpace : nil
    }
    let log = try TestLog.open(failing, index: index, environment: environment)
    let texts = (0..<120).map { RecoveryTests.record($0, 400) }
    for text in texts { try TestLog.append(log, index, [text]) }
    environment.advance(by: .zero)
    #expect(try TestLog.records(log) == texts)
    try log.close()
    try Self.check(DiskImage(of: disk), texts, "without sidecars")
  }

  @Test func `stopped after any file operation, a close and its sidecars lose nothing`() throws {
    let (start, texts) = try Self.closed(30)
    var old = start
    for name in old.files.keys where name.hasSuffix(".idx") { old.files[name] = nil }
    let more = (0..<50).map { RecoveryTests.record(500 + $0, 400) }
    for image in [start, old] {
      let stops = try ProtocolStopTests.stopEverywhere(from: image) { disk in
        let index = TextIndex()
        let environment = SeededEnvironment(seed: 5)
        let log = try TestLog.open(disk, index: index, environment: environment)
        for text in more { try TestLog.append(log, index, [text]) }
        environment.advance(by: .zero)
        try log.close()
      } _: { disk, finished, stop in
        let index = TextIndex()
        let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 6))
        let records = try TestLog.records(log)
        #expect(records.count >= texts.count && records == Array((texts + more).prefix(records.count)))
        #expect(records.count == texts.count + more.count || !finished)
        #expect(index.texts.sorted { $0.key < $1.key }.map(\.value) == records, "stop \(stop)")
        try TestLog.append(log, index, ["later"])
        try log.close()
        let again = TextIndex()
        _ = try TestLog.open(disk, index: again, environment: SeededEnvironment(seed: 7))
        #expect(again.texts.sorted { $0.key < $1.key }.map(\.value) == records + ["later"], "stop \(stop)")
      }
      #expect(stops > 80)
    }
  }
}
