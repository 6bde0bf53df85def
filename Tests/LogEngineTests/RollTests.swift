import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// What a roll finds prepared.
@Suite struct RollTests {
  /// A log whose first segment is more than half full and whose next one was prepared, and what it holds.
  private static func prepared(
    _ disk: any FileSystem, _ environment: SeededEnvironment
  ) throws -> (log: SegmentedLog, texts: [String]) {
    let log = try TestLog.open(disk, environment: environment)
    let texts = (0..<10).map { RecoveryTests.record($0) }
    for text in texts { try TestLog.append(log, [text]) }
    environment.advance(by: .zero)
    return (log, texts)
  }

  private static func fill(_ log: SegmentedLog, _ texts: inout [String]) throws(LogError) {
    let segments = log.size.segments
    while log.size.segments == segments {
      texts.append(RecoveryTests.record(texts.count, 400))
      try TestLog.append(log, [texts[texts.count - 1]])
    }
  }

  private static func temporaries(_ disk: any FileSystem) throws -> [String] {
    try disk.entries(of: TestLog.path).filter { $0.hasSuffix(".tmp") }
  }

  @Test
  func `a roll into a prepared segment reserves nothing, and costs two file syncs and a directory sync`()
    throws
  {
    let recorder = CallRecorder()
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base, recorder.observer)
    var (log, texts) = try Self.prepared(disk, SeededEnvironment(seed: 5))
    #expect(try Self.temporaries(base).count == 1)
    var rolling: [String] = []
    while log.size.segments == 1 {
      recorder.clear()
      texts.append(RecoveryTests.record(texts.count, 400))
      try TestLog.append(log, [texts[texts.count - 1]])
      rolling = recorder.mutations.map { String($0.prefix { $0 != " " }) }
    }
    #expect(
      rolling == [
        "write", "sync", "truncate", "write", "write", "sync", "link", "syncDirectory", "unlink", "write",
        "sync",
      ])
    #expect(try Self.temporaries(base).isEmpty)
    #expect(try TestLog.records(log) == texts)
    #expect(log.metrics.rolls.count == 1)
    try log.close()
    #expect(try TestLog.records(try TestLog.open(base, environment: SeededEnvironment(seed: 6))) == texts)
  }

  @Test(arguments: [true, false])
  func `records of the segment being written are read from its pages, if it can be mapped`(isMapped: Bool)
    throws
  {
    let reads = Locked(0)
    let disk = ObservedFileSystem(MemoryFileSystem()) { call in
      if call.operation == .read { reads.withLock { $0 += 1 } }
      return call.operation == .map && !isMapped ? .outOfMemory : nil
    }
    var (log, texts) = try Self.prepared(disk, SeededEnvironment(seed: 5))
    func check() throws {
      reads.withLock { $0 = 0 }
      for (place, text) in texts.enumerated() {
        let offset = log.firstOffset.advanced(by: UInt64(place))
        #expect(try log.withRecord(at: offset) { TestLog.text($0) } == text)
      }
      #expect(reads.withLock { $0 } == (isMapped ? 0 : texts.count))
    }
    try check()
    // Larger than what is reserved for a segment as a rule.
    texts.append(String(repeating: "x", count: 40_000))
    try TestLog.append(log, [texts[texts.count - 1]])
    try Self.fill(log, &texts)
    try check()
    try log.reset()
    texts = ["after"]
    try TestLog.append(log, texts)
    try check()
    try log.close()
    log = try TestLog.open(disk, environment: SeededEnvironment(seed: 6))
    texts.append("opened again")
    try TestLog.append(log, [texts[1]])
    try check()
  }

  @Test func `a batch beyond what could be reserved is read after opening again, and in a snapshot`() throws {
    // Real files, since memory maps more than it is asked for.
    let place = TemporaryDirectory()
    let base = DiskFileSystem.shared
    let disk = ObservedFileSystem(base) { $0.operation == .preallocate ? .noSpace : nil }
    var log = try TestLog.open(disk, at: place.path + "/log")
    // From just below the segment's size to far above it.
    for length in [7900, 8050, 8100, 8150, 8200, 20_000] {
      let texts = ["first", String(repeating: "x", count: length), "last"]
      try TestLog.append(log, texts)
      let start = log.latestOffset.rawValue - 2
      try log.close()
      log = try TestLog.open(length == 8100 ? base : disk, at: place.path + "/log")
      #expect(try TestLog.records(log).suffix(3) == texts, "\(length)")
      #expect(try log.withRecord(at: Offset(start + 2)) { TestLog.text($0) } == "last")
      try TestLog.append(log, ["one more"])
      try log.snapshot(to: place.path + "/copy", replacing: true)
      #expect(try TestLog.records(log).last == "one more")
      try log.reset()
    }
    try log.close()
    withExtendedLifetime(place) {}
  }

  @Test func `what was prepared and is not used does not stay`() throws {
    let disk = MemoryFileSystem()
    let (closed, _) = try Self.prepared(disk, SeededEnvironment(seed: 5))
    try closed.close()
    #expect(try Self.temporaries(disk).isEmpty)

    // A batch that needs a larger one.
    let other = MemoryFileSystem()
    let (log, _) = try Self.prepared(other, SeededEnvironment(seed: 5))
    #expect(try Self.temporaries(other).count == 1)
    let large = String(repeating: "x", count: 40_000)
    try TestLog.append(log, [large])
    #expect(try Self.temporaries(other).isEmpty)
    try log.reset()
    try TestLog.append(log, ["after"])
    try log.close()
    #expect(
      try TestLog.records(try TestLog.open(other, environment: SeededEnvironment(seed: 6))) == ["after"])

    // Left by a process that is gone.
    let third = MemoryFileSystem()
    _ = try Self.prepared(third, SeededEnvironment(seed: 5))
    #expect(try Self.temporaries(third).count == 1)
    let left = try DiskImage(of: third).disk()
    _ = try TestLog.open(left, environment: SeededEnvironment(seed: 6))
    #expect(try Self.temporaries(left).isEmpty)
  }

  @Test func `a segment that cannot be prepared is made when it is needed`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base) { call in
      call.operation == .open && call.name.contains(".seg.") && !call.name.hasSuffix(".seg.tmp")
        ? .noSpace : nil
    }
    var (log, texts) = try Self.prepared(disk, SeededEnvironment(seed: 5))
    #expect(try Self.temporaries(base).isEmpty)
    try Self.fill(log, &texts)
    #expect(try TestLog.records(log) == texts)
  }

  @Test func `stopped after any file operation, a roll into a prepared segment loses and doubles nothing`()
    throws
  {
    var filled: [String] = []
    do {
      let (log, texts) = try Self.prepared(MemoryFileSystem(), SeededEnvironment(seed: 5))
      filled = texts
      try Self.fill(log, &filled)
    }
    let all = filled
    let stops = try ProtocolStopTests.stopEverywhere(from: nil) { disk in
      let (log, texts) = try Self.prepared(disk, SeededEnvironment(seed: 5))
      for text in all.dropFirst(texts.count) { try TestLog.append(log, [text]) }
      try log.close()
    } _: { disk, finished, stop in
      let log = try ProtocolStopTests.reopened(disk)
      let records = try TestLog.records(log)
      #expect(records == Array(all.prefix(records.count)), "stop \(stop)")
      #expect(records.count == all.count || !finished)
      #expect(try Self.temporaries(disk).isEmpty, "stop \(stop)")
      try TestLog.append(log, ["later"])
      try log.close()
      #expect(try TestLog.records(try ProtocolStopTests.reopened(disk)) == records + ["later"])
    }
    #expect(stops > 40)
  }
}
