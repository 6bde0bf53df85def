import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Retention: only whole segments go, in one step, and readers are told or not disturbed.
@Suite struct RetentionTests {
  private func log(_ disk: any FileSystem = MemoryFileSystem()) throws -> (SegmentedLog, [SegmentSpan]) {
    let log = try SnapshotTests.filled(disk).0
    let spans = try log.segmentSpans()
    try #require(spans.count > 3)
    return (log, spans)
  }

  @Test func `whole segments before an offset go, and the one that holds it stays whole`() throws {
    let disk = MemoryFileSystem()
    let (log, spans) = try log(disk)
    for offset in [Offset(0), 1, Offset(spans[1].offsets.lowerBound.rawValue - 1)] {
      let recorder = try DiskImage(of: disk)
      #expect(try log.trim(before: offset) == Trimmed())
      // Nothing can go, so nothing was written.
      #expect(try DiskImage(of: disk) == recorder)
    }
    let within = spans[2].offsets.lowerBound.next
    let trimmed = try log.trim(before: within)
    #expect(trimmed.segments == 2)
    #expect(trimmed.records == spans[2].offsets.lowerBound.rawValue - 1)
    #expect(trimmed.bytes == spans[0].bytes + spans[1].bytes)
    #expect(log.firstOffset == spans[2].offsets.lowerBound)
    #expect(log.latestOffset == 100)
    let kept = try TestLog.records(log)
    #expect(kept == (Int(spans[2].offsets.lowerBound.rawValue) - 1..<100).map { RecoveryTests.record($0) })
    #expect(try disk.status(of: "log/00000001.seg") == nil)
    #expect(
      try #require(throws: LogError.self) { try log.withRecord(at: 1) { _ in } }.code == .offsetNotKept)
    let epoch = log.epoch
    try log.close()
    let again = try SnapshotTests.opened(disk, at: "log")
    #expect(try TestLog.records(again) == kept)
    #expect(again.firstOffset == spans[2].offsets.lowerBound)
    #expect(again.epoch == epoch)
    try TestLog.append(again, ["later"])
    #expect(again.latestOffset == 101)
  }

  @Test func `everything up to the end may go, and offsets and the epoch go on`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try log(disk)
    let epoch = log.epoch
    #expect(try log.trim(before: .max).records == 100)
    #expect(try TestLog.records(log).isEmpty)
    #expect(log.firstOffset == 101)
    #expect(log.latestOffset == 100)
    #expect(try log.trim(before: .max) == Trimmed())
    try log.close()
    let again = try SnapshotTests.opened(disk, at: "log")
    #expect(again.epoch == epoch)
    try TestLog.append(again, ["later"])
    #expect(again.latestOffset == 101)
    #expect(try TestLog.records(again) == ["later"])
  }

  @Test func `sidecars of dropped segments go with them, also at the next opening`() throws {
    let disk = MemoryFileSystem()
    let (log, spans) = try log(disk)
    for name in ["00000001.idx", "00000002.idx"] { _ = try disk.open("log/" + name, .createNew) }
    try log.trim(before: spans[1].offsets.lowerBound)
    #expect(try disk.status(of: "log/00000001.idx") == nil)
    #expect(try disk.status(of: "log/00000002.idx") != nil)
  }

  @Test func `a reader on a trimmed segment reads on, and one that comes to it is told`() throws {
    let place = TemporaryDirectory()
    let (log, spans) = try {
      let log = try TestLog.open(DiskFileSystem(), at: place.path + "/log")
      for number in 0..<100 { try TestLog.append(log, [RecoveryTests.record(number)]) }
      return (log, try log.segmentSpans())
    }()
    var seen: [String] = []
    try log.forEachRecord(from: 1, through: Offset(spans[0].offsets.upperBound.rawValue - 1)) {
      (offset, record) throws(LogError) in
      if offset == 2 { try log.trim(before: spans[2].offsets.lowerBound) }
      seen.append(TestLog.text(record))
      return true
    }
    #expect(seen == (0..<Int(spans[0].offsets.upperBound.rawValue) - 1).map { RecoveryTests.record($0) })
    var walked: [Offset] = []
    try log.forEachRecord(from: 1) { offset, _ in
      walked.append(offset)
      return true
    }
    #expect(walked.first == spans[2].offsets.lowerBound)
    #expect(walked.last == 100)
  }

  @Test func `a snapshot keeps what a trim drops`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try log(disk)
    let records = try TestLog.records(log)
    try log.snapshot(to: "copy")
    try log.trim(before: .max)
    #expect(try TestLog.records(try SnapshotTests.opened(disk, at: "copy")) == records)
    // And a snapshot of a trimmed log starts where that does.
    try TestLog.append(log, ["later"])
    try log.snapshot(to: "trimmed")
    let copy = try SnapshotTests.opened(disk, at: "trimmed")
    #expect(copy.firstOffset == 101)
    #expect(try TestLog.records(copy) == ["later"])
  }

  @Test func `an empty segment that states the log's start is part of a snapshot`() throws {
    let disk = MemoryFileSystem()
    let (log, spans) = try log(disk)
    try log.trim(before: spans[2].offsets.lowerBound)
    let records = try TestLog.records(log)
    try log.snapshot(to: "copy")
    let copy = try SnapshotTests.opened(disk, at: "copy")
    #expect(copy.firstOffset == spans[2].offsets.lowerBound)
    #expect(try TestLog.records(copy) == records)
  }

  @Test(arguments: [false, true])
  func `a full disk can be trimmed and reset with the reserve, which comes again when there is room`(
    resets: Bool
  ) throws {
    let disk = SimulatedDisk()
    let (log, spans) = try log(disk)
    #expect(try disk.status(of: "log/reserve")?.length == 64 << 10)
    disk.setRoom(0)
    #expect(
      try #require(throws: LogError.self) { try TestLog.append(log, ["more"]) }.cause?.code == .noSpace)
    if resets {
      try log.reset()
      #expect(log.firstOffset == 101)
    } else {
      try log.trim(before: spans[2].offsets.lowerBound)
      #expect(log.firstOffset == spans[2].offsets.lowerBound)
    }
    // What was dropped made room.
    try TestLog.append(log, ["later"])
    #expect(log.latestOffset == 101)
    disk.setRoom()
    try log.close()
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 5))
    #expect(try disk.status(of: "log/reserve")?.length == 64 << 10)
    #expect(try TestLog.records(again).last == "later")
  }

  @Test func `without a reserve a full disk refuses a trim and keeps everything`() throws {
    let disk = SimulatedDisk()
    let (log, spans) = try log(disk)
    let records = try TestLog.records(log)
    try disk.unlink("log/reserve")
    disk.setRoom(0)
    let error = try #require(throws: LogError.self) { try log.trim(before: spans[1].offsets.lowerBound) }
    #expect(error.cause?.code == .noSpace)
    #expect(try TestLog.records(log) == records)
    disk.setRoom()
    try log.trim(before: spans[1].offsets.lowerBound)
    try TestLog.append(log, ["later"])
    #expect(log.firstOffset == spans[1].offsets.lowerBound)
  }

  @Test(arguments: [true, false], [FileSystemError.Operation.sync, .link, .syncDirectory])
  func `a full disk that shows at a sync or a link is final, reserve or no reserve`(
    resets: Bool, operation: FileSystemError.Operation
  ) throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, spans) = try log(disk)
    let kept = try TestLog.records(log)
    let calls = Locked(0)
    disk.observe { call in
      guard call.operation == operation else { return nil }
      calls.withLock { $0 += 1 }
      return .noSpace
    }
    let error = try #require(throws: LogError.self) {
      if resets { try log.reset() } else { try log.trim(before: spans[1].offsets.lowerBound) }
    }
    #expect(error.code == .outcomeUnknown)
    #expect(error.cause?.operation == operation)
    #expect(calls.withLock { $0 } == 1)
    disk.observe { _ in nil }
    #expect(try #require(throws: LogError.self) { try log.reset() }.code == .outcomeUnknown)
    let again = try TestLog.open(DiskImage(of: base).disk(), environment: SeededEnvironment(seed: 5))
    #expect(try kept.reversed().starts(with: TestLog.records(again).reversed()))
  }

  @Test func `a log opened for reading is not trimmed, nor a closed one`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try log(disk)
    try log.close()
    #expect(try #require(throws: LogError.self) { try log.trim(before: .max) }.code == .closed)
    let reader = try SnapshotTests.opened(disk, at: "log") { $0.access = .readOnly }
    #expect(try #require(throws: LogError.self) { try reader.trim(before: .max) }.code == .readOnly)
  }
}
