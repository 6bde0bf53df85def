import PlatformIO
import StorageTesting
import Synchronization
import Testing

@testable import LogEngine

/// Files that come, go and change between two looks at them.
@Suite struct ChangedMeanwhileTests {
  /// Does something to `base` once, right before the first operation of a kind on a name.
  private static func once(
    _ base: MemoryFileSystem, before operation: FileSystemError.Operation, of name: String,
    _ body: @escaping @Sendable (MemoryFileSystem) throws -> Void
  ) -> ObservedFileSystem {
    let isDone = Locked(false)
    return ObservedFileSystem(base) { call in
      guard call.operation == operation, call.name == name else { return nil }
      let mustDo = isDone.withLock { isDone in
        defer { isDone = true }
        return !isDone
      }
      do {
        if mustDo { try body(base) }
        return nil
      } catch {
        return .other
      }
    }
  }

  private static func verify(_ disk: any FileSystem, threads: Int) throws -> SegmentedLog.Verification {
    try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, threads: threads,
      progress: { _, _ in }, check: { _, _ in true })
  }

  // MARK: Opening

  @Test func `a log that somebody else makes first is opened, unless it must be new`() throws {
    for creation in [LogOptions.Creation.createIfMissing, .mustNotExist] {
      let disk = Self.once(MemoryFileSystem(), before: .createDirectory, of: TestLog.path) { base in
        let log = try TestLog.open(base, environment: SeededEnvironment(seed: 9))
        try TestLog.append(log, ["theirs"])
        try log.close()
      }
      if creation == .createIfMissing {
        let log = try TestLog.open(disk)
        #expect(try TestLog.records(log) == ["theirs"])
        #expect(log.recovery.outcome == .clean)
      } else {
        let error = try #require(throws: LogError.self) { try TestLog.open(disk) { $0.creation = creation } }
        #expect(error.code == .alreadyExists)
      }
    }
  }

  @Test func `a LOCK that is replaced again and again is given up on`() throws {
    let base = MemoryFileSystem()
    try TestLog.open(base).close()
    let attempts = Locked(0)
    let disk = ObservedFileSystem(base) { call in
      guard call.operation == .lock else { return nil }
      attempts.withLock { $0 += 1 }
      do {
        try base.unlink(TestLog.path + "/LOCK")
        _ = try base.open(TestLog.path + "/LOCK", .createNew)
        return nil
      } catch {
        return .other
      }
    }
    let error = try #require(throws: LogError.self) { try TestLog.open(disk) }
    #expect(error.code == .locked)
    #expect(error.detail.contains("LOCK keeps being replaced"))
    #expect(attempts.withLock { $0 } == 11)
  }

  @Test func `a writer is refused also where it cannot be told who holds the log`() throws {
    let base = MemoryFileSystem()
    let log = try TestLog.open(base)
    let disk = ObservedFileSystem(base) { $0.operation == .read && $0.name == "LOCK" ? .io : nil }
    let error = try #require(throws: LogError.self) { try TestLog.open(disk) }
    #expect(error.code == .locked)
    #expect(error.detail.contains("LOCK cannot be read"))
    try log.close()
  }

  @Test func `a directory whose name cannot be made durable is not opened for writing`() throws {
    let image = try RecoveryTests.killed(durable: 2)
    let base = try image.disk()
    let disk = ObservedFileSystem(base) { $0.operation == .syncDirectory && $0.name == "." ? .io : nil }
    #expect(try #require(throws: LogError.self) { try TestLog.open(disk) }.cause?.operation == .syncDirectory)
    // Who may not read the directory above cannot have made the name either.
    disk.observe { $0.operation == .syncDirectory && $0.name == "." ? .permissionDenied : nil }
    #expect(try TestLog.records(try TestLog.open(disk)).count == 2)
  }

  @Test func `a snapshot that becomes a log while it is opened for reading is read as one`() throws {
    let base = MemoryFileSystem()
    let (log, records) = try SnapshotTests.filled(base)
    try log.snapshot(to: "copy")
    let disk = Self.once(base, before: .open, of: "SNAPSHOT") { try $0.unlink("copy/SNAPSHOT") }
    let copy = try SnapshotTests.opened(disk) { $0.access = .readOnly }
    #expect(try TestLog.records(copy) == records)
    #expect(copy.recovery.damage.isEmpty)
  }

  @Test func `a snapshot's list that cannot be opened fails the opening`() throws {
    let base = MemoryFileSystem()
    try SnapshotTests.filled(base).0.snapshot(to: "copy")
    let disk = ObservedFileSystem(base) { $0.operation == .open && $0.name == "SNAPSHOT" ? .io : nil }
    for access in [LogOptions.Access.readOnly, .readWrite] {
      let error = try #require(throws: LogError.self) {
        try SnapshotTests.opened(disk) { $0.access = access }
      }
      #expect(error.cause?.code == .io)
    }
  }

  @Test func `garbage that a writer removes meanwhile is no error`() throws {
    let base = MemoryFileSystem()
    let (log, _) = try SnapshotTests.filled(base)
    let first = try DiskImage(of: base).files["00000001.seg"]
    try log.trim(before: log.segmentSpans()[1].offsets.lowerBound)
    try TestLog.append(log, ["later"])
    try log.close()
    var image = try DiskImage(of: base)
    try #require(image.files["00000001.seg"] == nil)
    image.files["00000001.seg"] = first
    let expected = try TestLog.records(try TestLog.open(base) { $0.access = .readOnly })
    let disk = Self.once(try image.disk(), before: .open, of: "00000001.seg") {
      try $0.unlink(TestLog.path + "/00000001.seg")
    }
    #expect(try TestLog.records(try TestLog.open(disk) { $0.access = .readOnly }) == expected)
    // What cannot be opened may be another log's, and that must be known.
    let unread = ObservedFileSystem(try image.disk()) {
      $0.operation == .open && $0.name == "00000001.seg" ? .io : nil
    }
    #expect(
      try #require(throws: LogError.self) { try TestLog.open(unread) { $0.access = .readOnly } }.cause?.code
        == .io)
  }

  @Test func `a listing that has changed makes damage doubtful`() throws {
    var image = try RecoveryTests.twoSegments()
    image.flip(RecoveryTests.first, byte: RecoveryTests.frame(3) + 40, bit: 0)
    // The damage has been seen when the second segment is read.
    let base = try image.disk()
    let openings = Locked(0)
    let removing = ObservedFileSystem(base) { call in
      guard call.operation == .open, call.name == RecoveryTests.second else { return nil }
      // Once for its header, once to be read.
      let isSecond = openings.withLock { openings in
        openings += 1
        return openings == 2
      }
      do {
        if isSecond { try base.unlink(TestLog.path + "/" + RecoveryTests.first) }
        return nil
      } catch {
        return .other
      }
    }
    let error = try #require(throws: LogError.self) { try TestLog.open(removing) { $0.access = .readOnly } }
    #expect(error.code == .changedMeanwhile)
  }

  @Test func `a segment that goes while several threads read is looked for again, and then missing`() throws {
    let image = try RecoveryTests.killed(durable: 100)
    try #require(image.segments.count == 4)
    let disk = Self.once(try image.disk(), before: .open, of: "00000001.seg") {
      try $0.unlink(TestLog.path + "/00000002.seg")
    }
    let found = try Self.verify(disk, threads: 2)
    #expect(found.damage.map(\.kind) == [.missing])
    #expect(found.damage.map(\.file) == ["00000002.seg"])
  }

  @Test func `a read error ends a check by several threads`() throws {
    let image = try RecoveryTests.killed(durable: 100)
    let disk = ObservedFileSystem(try image.disk()) { call in
      call.operation == .read && call.name == "00000002.seg" && call.position ?? 0 >= 8192 ? .io : nil
    }
    let error = try #require(throws: LogError.self) { try Self.verify(disk, threads: 3) }
    #expect(error.cause?.code == .io)
  }

  // MARK: Reading

  @Test func `a record of a file that somebody cut is an error, and no record`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(ObservedFileSystem(disk) { $0.operation == .map ? .notSupported : nil })
    try TestLog.append(log, ["one", "two"])
    try disk.open(TestLog.path + "/" + RecoveryTests.first, .readWrite).setLength(8200)
    let error = try #require(throws: LogError.self) { try log.withRecord(at: 2) { TestLog.text($0) } }
    #expect(error.cause?.code == .unexpectedEnd)
    #expect(
      try #require(throws: LogError.self) { try log.withRecord(at: 3) { _ in } }.code == .offsetBeyondEnd)
  }

  @Test func `a salvage's reader passes on what is no bad sector`() throws {
    let image = try RecoveryTests.twoSegments()
    for isPage in [false, true] {
      let disk = ObservedFileSystem(try image.disk()) { call in
        guard call.operation == .read, call.name == RecoveryTests.first else { return nil }
        return isPage && call.count ?? 0 > 4096 ? .io : .outOfMemory
      }
      let rescue = ReadRescue()
      let error = try #require(throws: LogError.self) {
        try SegmentedLog.verify(
          at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, rescue: rescue,
          check: { _, _ in true })
      }
      #expect(error.cause?.code == .outOfMemory)
      #expect(rescue.damage.isEmpty)
    }
  }

  // MARK: Closing

  @Test func `a sync behind the appends that fails while the log is closed does not open it again`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem())
    let environment = SeededEnvironment(seed: 1)
    let log = try TestLog.open(disk, environment: environment) { $0.syncPolicy = .interval(.seconds(1)) }
    try TestLog.append(log, ["one"])
    let closing = Locked<LogError?>(nil)
    let isClosed = Monitor(false)
    disk.observe { call in
      guard call.operation == .sync, call.name == RecoveryTests.first else { return nil }
      // A close that has come as far as its own sync, which waits for this one.
      let started = SystemEnvironment().startThread {
        do throws(LogError) { try log.close() } catch { closing.withLock { $0 = error } }
        isClosed.update { $0 = true }
      }
      guard started else { return .other }
      while log.writer.withLockIfAvailable({ _ in true }) ?? false {}
      return .io
    }
    environment.advance(by: .seconds(1))
    _ = isClosed.wait { $0 ? true : nil }
    // What the sync left unknown is the close's to tell; from there on it is closed.
    #expect(closing.withLock { $0 }?.code == .outcomeUnknown)
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["two"]) }.code == .closed)
  }

  @Test func `a sync behind the appends that ends after a roll speaks of the segment before it`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem())
    let environment = SeededEnvironment(seed: 1)
    let log = try TestLog.open(disk, environment: environment) { $0.syncPolicy = .interval(.seconds(1)) }
    try TestLog.append(log, ["one"])
    let isRolled = Monitor(false)
    let isFirst = Locked(true)
    disk.observe { call in
      guard call.operation == .sync, call.name == RecoveryTests.first else { return nil }
      let isBehind = isFirst.withLock { isFirst in
        defer { isFirst = false }
        return isFirst
      }
      guard isBehind else { return nil }
      // A roll that has come as far as the sync of its seal, which waits for this one.
      let started = SystemEnvironment().startThread {
        do throws(LogError) {
          try TestLog.append(log, [String(repeating: "x", count: 20_000)])
        } catch {
          Issue.record(error)
        }
        isRolled.update { $0 = true }
      }
      while started, log.writer.withLockIfAvailable({ _ in true }) ?? false {}
      return started ? nil : .other
    }
    environment.advance(by: .seconds(1))
    _ = isRolled.wait { $0 ? true : nil }
    #expect(log.size.segments == 2)
    #expect(log.durableOffset == 1)
    environment.advance(by: .seconds(1))
    #expect(log.durableOffset == 2)
    #expect(try TestLog.records(log) == ["one", String(repeating: "x", count: 20_000)])
  }

  @Test func `a close that cannot read its last records again writes no sidecar for them`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index)
    try TestLog.append(log, index, ["one", "two"])
    disk.observe { $0.operation == .read ? .io : nil }
    try log.close()
    #expect(try DiskImage(of: base).files.keys.sorted() == [RecoveryTests.first])
    let again = TextIndex()
    let reopened = try TestLog.open(base, index: again, environment: SeededEnvironment(seed: 2))
    #expect(try TestLog.records(reopened) == ["one", "two"])
    #expect(again.recordsRead == 2)
  }
}
