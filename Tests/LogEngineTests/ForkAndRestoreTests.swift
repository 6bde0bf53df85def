import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Forks end at batch ends, restored logs are what the snapshot was, and both go on in an epoch of their own.
@Suite struct ForkAndRestoreTests {
  /// A log of batches of one to three records over some segments, and where each batch ends.
  private func batches(_ disk: any FileSystem) throws -> (SegmentedLog, [String], ends: [Offset]) {
    let log = try TestLog.open(disk)
    var records: [String] = []
    var ends: [Offset] = [0]
    for number in 0..<50 {
      let batch = (0...number % 3).map { RecoveryTests.record(number * 3 + $0) }
      try TestLog.append(log, batch)
      records += batch
      ends.append(log.latestOffset)
    }
    try #require(log.size.segments > 2)
    return (log, records, ends)
  }

  private func restore(
    _ disk: any FileSystem, from path: String = "copy", to newPath: String = "new", replacing: Bool = false
  ) throws(LogError) -> LogCopy {
    try SegmentedLog.restore(
      from: path, to: newPath, replacing: replacing, fileSystem: disk,
      environment: SeededEnvironment(seed: 21))
  }

  // MARK: Fork

  @Test func `a fork at each batch end is that prefix, and inside a batch the neighbours are named`() throws {
    let disk = MemoryFileSystem()
    let (log, records, ends) = try batches(disk)
    for last in 0...records.count {
      let offset = Offset(UInt64(last))
      let path = "fork-\(last)"
      guard ends.contains(offset) else {
        let error = try #require(throws: LogError.self) { try log.fork(to: path, through: offset) }
        let below = try #require(ends.last { $0 < offset })
        let above = try #require(ends.first { $0 > offset })
        #expect(error.code == .notABatchEnd)
        #expect(error.offsets == below.next..<above.next)
        #expect(error.detail.contains("\(below) and \(above)"))
        #expect(try disk.status(of: path) == nil)
        #expect(try disk.status(of: path + ".tmp") == nil)
        continue
      }
      let made = try log.fork(to: path, through: offset)
      let fork = try SnapshotTests.opened(disk, at: path, seed: UInt64(last))
      #expect(try TestLog.records(fork) == Array(records[..<last]), "at \(last)")
      #expect(fork.id == log.id)
      #expect(
        fork.epoch == Epoch(id: made.epoch, start: offset.next, parent: log.epoch.id, parentEnd: offset))
      #expect(fork.recovery.outcome == .clean)
      try TestLog.append(fork, ["elsewhere"])
      try fork.close()
      let again = try SnapshotTests.opened(disk, at: path)
      #expect(try TestLog.records(again) == Array(records[..<last]) + ["elsewhere"])
      #expect(
        try SegmentedLog.verify(at: path, application: .init(id: 0), fileSystem: disk) { _, _ in true }
          .isSound)
    }
    // A part of the active segment was read, nothing sealed but for the fork at the very end.
    #expect(try TestLog.records(log) == records)
    try TestLog.append(log, ["here"])
    try log.close()
    #expect(try TestLog.records(try SnapshotTests.opened(disk, at: "log")) == records + ["here"])
  }

  @Test func `a fork links what lies wholly below and copies a part of one segment`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    let spans = try log.segmentSpans()
    let made = try log.fork(to: "fork", through: spans[1].offsets.lowerBound)
    #expect(made.segments == 3)
    #expect(try disk.status(of: "fork/00000001.seg")?.linkCount == 2)
    #expect(try disk.status(of: "fork/00000002.seg")?.linkCount == 1)
    #expect(made.copiedBytes < spans[1].bytes)
    let images = try (DiskImage(of: disk), DiskImage(of: disk, directory: "fork"))
    // Other bytes follow than in the original, so the nonce is another.
    #expect(images.0.files["00000002.seg"]?[128..<136] != images.1.files["00000002.seg"]?[128..<136])
    let whole = try log.fork(to: "whole")
    #expect(whole.copiedBytes == 0)
    #expect(whole.latestOffset == 100)
  }

  @Test func `a fork beyond the end or before the start is refused, and one of nothing is empty`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    #expect(
      try #require(throws: LogError.self) { try log.fork(to: "fork", through: 101) }.code == .offsetBeyondEnd)
    #expect(
      try #require(throws: LogError.self) { try log.fork(to: "fork", through: .max) }.code == .offsetBeyondEnd
    )
    let start = try log.segmentSpans()[1].offsets.lowerBound
    try log.trim(before: start)
    let error = try #require(throws: LogError.self) {
      try log.fork(to: "fork", through: Offset(start.rawValue - 2))
    }
    #expect(error.code == .offsetNotKept)
    try log.fork(to: "fork", through: Offset(start.rawValue - 1))
    let fork = try SnapshotTests.opened(disk, at: "fork")
    #expect(fork.firstOffset == start)
    #expect(try TestLog.records(fork).isEmpty)
    try TestLog.append(fork, ["first"])
    #expect(fork.latestOffset == start)
  }

  @Test func `a fork into an older epoch goes on from that one`() throws {
    let disk = MemoryFileSystem()
    let (log, records) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    let copy = try SnapshotTests.opened(disk, at: "copy", seed: 3)
    for number in 100..<150 { try TestLog.append(copy, [RecoveryTests.record(number)]) }
    try copy.fork(to: "old", through: 50)
    try copy.fork(to: "new", through: 120)
    let old = try SnapshotTests.opened(disk, at: "old")
    #expect(old.epoch.parent == log.epoch.id)
    #expect(try TestLog.records(old) == Array(records[..<50]))
    let new = try SnapshotTests.opened(disk, at: "new")
    #expect(new.epoch.parent == copy.epoch.id)
    #expect(try TestLog.records(new).count == 120)
  }

  @Test func `a fork of a log with damage in the part it copies is refused and leaves nothing`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    let second = try log.segmentSpans()[1].offsets.lowerBound
    try disk.open("log/00000002.seg", .readWrite).write([1, 2, 3].span.rawBytes, at: 8200)
    let error = try #require(throws: LogError.self) { try log.fork(to: "fork", through: second.next) }
    #expect(error.code == .damaged)
    #expect(error.path.hasSuffix("00000002.seg"))
    #expect(try disk.status(of: "fork") == nil && disk.status(of: "fork.tmp") == nil)
  }

  // MARK: Restore

  @Test func `a restored log holds what the snapshot does and has a new epoch, and the snapshot stays`()
    throws
  {
    let disk = MemoryFileSystem()
    let (log, records) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    let snapshot = try DiskImage(of: disk, directory: "copy")
    for round in 1...2 {
      let made = try restore(disk, to: "new-\(round)")
      #expect(made.copiedBytes == 0)
      let new = try SnapshotTests.opened(disk, at: "new-\(round)")
      #expect(new.id == log.id)
      #expect(new.epoch == Epoch(id: made.epoch, start: 101, parent: log.epoch.id, parentEnd: 100))
      try TestLog.append(new, ["round \(round)"])
      try new.close()
      #expect(
        try TestLog.records(try SnapshotTests.opened(disk, at: "new-\(round)")) == records + [
          "round \(round)"
        ])
    }
    #expect(try DiskImage(of: disk, directory: "copy") == snapshot)
  }

  @Test func `restoring in place takes the old log's place, unless somebody writes to it`() throws {
    let disk = MemoryFileSystem()
    let (log, records) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    try TestLog.append(log, ["a mistake"])
    #expect(try #require(throws: LogError.self) { try restore(disk, to: "log") }.code == .alreadyExists)
    let locked = try #require(throws: LogError.self) { try restore(disk, to: "log", replacing: true) }
    #expect(locked.code == .locked)
    try log.close()
    _ = try restore(disk, to: "log", replacing: true)
    let again = try SnapshotTests.opened(disk, at: "log")
    #expect(try TestLog.records(again) == records)
    #expect(again.epoch.parent == log.epoch.id)
    #expect(try disk.status(of: "log.tmp") == nil)
  }

  @Test func `only a whole snapshot is restored, and what is wrong with another is said`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    #expect(try #require(throws: LogError.self) { try restore(disk, from: "log") }.code == .notASnapshot)
    #expect(try #require(throws: LogError.self) { try restore(disk, from: "none") }.code == .noSuchLog)
    _ = try disk.createDirectory("mine")
    _ = try disk.open("mine/notes", .createNew)
    #expect(try #require(throws: LogError.self) { try restore(disk, from: "mine") }.code == .notASnapshot)
    #expect(try #require(throws: LogError.self) { try restore(disk, to: "copy") }.code == .badDestination)
    let image = try DiskImage(of: disk, directory: "copy")
    let changes: [(String, LogError.Code, (inout DiskImage) -> Void)] = [
      ("SNAPSHOT", .damaged, { $0.flip("SNAPSHOT", byte: 20, bit: 0) }),
      ("00000002.seg", .missingSegment, { $0.files["00000002.seg"] = nil }),
      ("00000002.seg", .damaged, { $0.truncate("00000002.seg", to: 9000) }),
      ("00000001.seg", .damaged, { $0.files["00000001.seg"] = $0.files["00000002.seg"] }),
      (
        "00000003.seg", .damaged,
        { image in
          let end = image.files["00000003.seg"]!.count
          image.flip("00000003.seg", byte: end - 20, bit: 0)
        }
      ),
      ("00000003.seg", .damaged, { $0.rewriteHeaders("00000003.seg") { $0[128] ^= 1 } }),
    ]
    for (name, code, change) in changes {
      var changed = image
      change(&changed)
      let disk = try changed.disk(directory: "copy")
      let error = try #require(throws: LogError.self) { try restore(disk) }
      #expect(error.code == code, "\(name): \(error)")
      #expect(error.path.hasSuffix(name), "\(name): \(error)")
      #expect(try disk.status(of: "new") == nil && disk.status(of: "new.tmp") == nil)
    }
  }

  @Test func `a snapshot that was written to is a log and no snapshot any more`() throws {
    let disk = MemoryFileSystem()
    let (log, records) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    try SnapshotTests.opened(disk, at: "copy").close()
    #expect(try #require(throws: LogError.self) { try restore(disk) }.code == .notASnapshot)
    let copy = try SnapshotTests.opened(disk, at: "copy")
    try copy.snapshot(to: "again")
    _ = try restore(disk, from: "again")
    #expect(try TestLog.records(try SnapshotTests.opened(disk, at: "new")) == records)
  }

  @Test(arguments: [FileSystemError.Code.crossDevice, .tooManyLinks])
  func `where links are refused a fork and a restore copy`(code: FileSystemError.Code) throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let (log, records) = try SnapshotTests.filled(disk)
    try log.snapshot(to: "copy")
    let links = Locked(0)
    disk.observe { call in
      // Publishing a segment in one directory is no matter of devices.
      guard call.operation == .link,
        links.withLock({
          $0 += 1; return $0
        }) <= 3
      else { return nil }
      return code
    }
    #expect(try log.fork(to: "fork", through: 99).copiedBytes > 8192)
    links.withLock { $0 = -1 }
    #expect(try restore(disk).copiedBytes > 0)
    disk.observe { _ in nil }
    #expect(try TestLog.records(try SnapshotTests.opened(disk, at: "fork")) == Array(records[..<99]))
    #expect(try TestLog.records(try SnapshotTests.opened(disk, at: "new")) == records)
  }
}
