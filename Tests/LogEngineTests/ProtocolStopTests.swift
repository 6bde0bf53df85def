import LogEngine
import PlatformIO
import StorageTesting
import Testing

/// Each protocol stopped after every single file operation: what reopens is the old state or the new one.
@Suite struct ProtocolStopTests {
  /// Runs `work` on a disk that stops working after 0, 1, 2 … changes, until it gets through, and calls `check` after each
  /// with the disk as it is left. Returns how many stops there were.
  static func stopEverywhere(
    from image: DiskImage?, _ work: (any FileSystem) throws -> Void,
    _ check: (MemoryFileSystem, _ finished: Bool, _ stop: Int) throws -> Void
  ) throws -> Int {
    var stop = 0
    while true {
      let disk = try image?.disk() ?? MemoryFileSystem()
      let left = Locked(stop)
      let stopping = ObservedFileSystem(disk) { call in
        guard call.isMutation, call.name != "LOCK" else { return nil }
        return left.withLock { left in
          left -= 1
          return left < 0 ? .io : nil
        }
      }
      var finished = true
      do { try work(stopping) } catch is LogError { finished = false }
      try check(disk, finished, stop)
      if finished { return stop }
      stop += 1
    }
  }

  static func reopened(_ disk: any FileSystem) throws -> SegmentedLog {
    try TestLog.open(disk, environment: SeededEnvironment(seed: 77))
  }

  @Test func `creation leaves no log or an empty one, and is taken up again`() throws {
    let stops = try Self.stopEverywhere(from: nil) { disk in
      _ = try TestLog.open(disk)
    } _: { disk, finished, stop in
      let log = try Self.reopened(disk)
      #expect(log.latestOffset == 0, "stop \(stop)")
      try TestLog.append(log, ["first"])
      #expect(try TestLog.records(log) == ["first"])
      try log.close()
      #expect(try DiskImage(of: disk).files.keys.sorted() == ["00000001.seg"])
    }
    // mkdir, sync of the parent, unlink, reserve, two headers, sync, link, sync of the directory, unlink
    #expect(stops == 10)
  }

  @Test func `rolling loses and doubles nothing`() throws {
    var filled: [String] = []
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    while true {
      let record = RecoveryTests.record(filled.count, 300)
      try TestLog.append(log, [record])
      if log.size.segments == 2 { break }
      filled.append(record)
    }
    // The log as it was before the record that made it roll.
    let before = MemoryFileSystem()
    let again = try TestLog.open(before)
    for record in filled { try TestLog.append(again, [record]) }
    let image = try DiskImage(of: before)
    try #require(image.segments.count == 1)

    let stops = try Self.stopEverywhere(from: image) { disk in
      try TestLog.append(try Self.reopened(disk), [RecoveryTests.record(filled.count, 300)])
    } _: { disk, finished, stop in
      let log = try Self.reopened(disk)
      let records = try TestLog.records(log)
      let new = filled + [RecoveryTests.record(filled.count, 300)]
      #expect(records == new || (records == filled && !finished), "stop \(stop)")
      try TestLog.append(log, ["later"])
      try log.close()
      #expect(try TestLog.records(try Self.reopened(disk)) == records + ["later"])
    }
    #expect(stops > 10)
  }

  @Test func `a roll costs two file syncs and one directory sync`() throws {
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(MemoryFileSystem(), recorder.observer)
    let log = try TestLog.open(disk) { $0.syncPolicy = .never }
    while log.size.segments == 1 {
      recorder.clear()
      try TestLog.append(log, [RecoveryTests.record(1, 300)])
    }
    #expect(
      recorder.mutations.map { $0.split(separator: " ").prefix(2).joined(separator: " ") } == [
        "write 00000001.seg", "sync 00000001.seg", "truncate 00000001.seg",
        "unlink 00000002.seg.tmp", "preallocate 00000002.seg.tmp", "write 00000002.seg.tmp",
        "write 00000002.seg.tmp", "sync 00000002.seg.tmp",
        "link 00000002.seg", "syncDirectory log", "unlink 00000002.seg.tmp", "write 00000002.seg",
      ])
  }

  @Test func `a reset leaves the old log or the empty one`() throws {
    let image = try RecoveryTests.twoSegments()
    let all = (0..<40).map { RecoveryTests.record($0) }
    var sawOld = false
    var sawNewWithGarbage = false
    let stops = try Self.stopEverywhere(from: image) { disk in
      let log = try Self.reopened(disk)
      try log.reset()
    } _: { disk, finished, stop in
      let hadGarbage = try DiskImage(of: disk).segments.count == 3
      let log = try Self.reopened(disk)
      let records = try TestLog.records(log)
      #expect(records == all || records.isEmpty, "stop \(stop)")
      if records.isEmpty, hadGarbage { sawNewWithGarbage = true }
      if records == all { sawOld = true }
      #expect(log.latestOffset == 40)
      try TestLog.append(log, ["later"])
      #expect(log.latestOffset == 41)
      try log.close()
      #expect(try TestLog.records(try Self.reopened(disk)) == records + ["later"])
      if records.isEmpty { #expect(try DiskImage(of: disk).segments == ["00000003.seg"]) }
    }
    #expect(sawOld && sawNewWithGarbage)
    #expect(stops > 8)
  }

  @Test func `closing stopped anywhere loses nothing`() throws {
    let image = try RecoveryTests.killed(durable: 3, buffered: 3)
    let all = (0..<6).map { RecoveryTests.record($0) }
    _ = try Self.stopEverywhere(from: image) { disk in
      try Self.reopened(disk).close()
    } _: { disk, _, stop in
      let records = try TestLog.records(try Self.reopened(disk))
      #expect(records == all, "stop \(stop)")
    }
  }

  // MARK: Failures of a living writer

  @Test func `a failed sync stops the writer for good and says that the outcome is unknown`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    disk.observe { call in call.operation == .sync && call.name.hasSuffix(".seg") ? .io : nil }
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["two"]) }.code == .outcomeUnknown)
    disk.observe { _ in nil }
    // The disk works again, but nobody knows what it kept of the failed call.
    #expect(
      try #require(throws: LogError.self) { try TestLog.append(log, ["three"]) }.code == .outcomeUnknown)
    #expect(try #require(throws: LogError.self) { try log.sync() }.code == .outcomeUnknown)
    #expect(try TestLog.records(log) == ["one"])
    #expect(log.durableOffset == 1)
    #expect(try #require(throws: LogError.self) { try log.close() }.code == .outcomeUnknown)
    try log.close()
    let again = try Self.reopened(base)
    #expect(try TestLog.records(again).first == "one")
    try TestLog.append(again, ["four"])
  }

  @Test func `a failed write is taken back, and appends go on in a new segment`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    let armed = Locked(true)
    disk.observe { call in
      guard call.operation == .write,
        armed.withLock({
          let was = $0; $0 = false; return was
        })
      else { return nil }
      // The disk took the first half.
      do throws(FileSystemError) {
        let file = try base.open(TestLog.path + "/" + call.name, .readWrite)
        try file.write(
          [UInt8](repeating: 7, count: (call.count ?? 0) / 2).span.rawBytes, at: call.position ?? 0)
      } catch {
        return .other
      }
      return .noSpace
    }
    let error = try #require(throws: LogError.self) { try TestLog.append(log, ["two"]) }
    #expect(error.code == .fileSystem)
    #expect(error.cause?.code == .noSpace)
    #expect(try TestLog.records(log) == ["one"])
    try TestLog.append(log, ["three"])
    #expect(log.size.segments == 2)
    #expect(try TestLog.records(log) == ["one", "three"])
    let again = try TestLog.open(try DiskImage(of: base).disk(), environment: SeededEnvironment(seed: 2))
    #expect(again.recovery.outcome == .clean)
    #expect(try TestLog.records(again) == ["one", "three"])
  }

  @Test func `while a failed write cannot be taken back the outcome is unknown, and reads go on`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    disk.observe { $0.operation == .write ? .noSpace : nil }
    for _ in 0..<3 {
      let error = try #require(throws: LogError.self) { try TestLog.append(log, ["two"]) }
      #expect(error.code == .outcomeUnknown)
      #expect(error.cause?.code == .noSpace)
      #expect(try TestLog.records(log) == ["one"])
    }
    disk.observe { _ in nil }
    try TestLog.append(log, ["three"])
    #expect(try TestLog.records(log) == ["one", "three"])
    try log.close()
    #expect(try TestLog.records(Self.reopened(base)) == ["one", "three"])
  }

  @Test func `appends go on when a full disk has room again for the next segment`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    var records: [String] = []
    disk.observe { call in call.name.hasSuffix(".tmp") && call.operation == .write ? .noSpace : nil }
    let full = try #require(throws: LogError.self) {
      while true {
        try TestLog.append(log, [RecoveryTests.record(records.count)])
        records.append(RecoveryTests.record(records.count))
      }
    }
    #expect(full.cause?.code == .noSpace)
    #expect(try TestLog.records(log) == records)
    disk.observe { _ in nil }
    try TestLog.append(log, ["room again"])
    #expect(try TestLog.records(log) == records + ["room again"])
  }

  @Test func `appends tried again on a full disk leave nothing behind`() throws {
    let disk = SimulatedDisk()
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    for _ in 0..<10 {
      // For the end of a segment, and for a part of the next.
      disk.setRoom(20_000)
      let error = try #require(throws: LogError.self) {
        try TestLog.append(log, [String(repeating: "x", count: 20_000)])
      }
      #expect(error.code == .fileSystem)
      #expect(error.cause?.code == .noSpace)
      #expect(try DiskImage(of: disk).files.keys.sorted() == ["00000001.seg"])
      #expect(log.size.segments == 1)
      #expect(try TestLog.records(log) == ["one"])
    }
    disk.setRoom()
    try TestLog.append(log, ["two"])
    #expect(try TestLog.records(log) == ["one", "two"])
    try log.close()
    #expect(try TestLog.records(Self.reopened(disk)) == ["one", "two"])
  }

  @Test func `a segment that begins a log or an epoch stays, whatever fails in it`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    for segment in ["00000001.seg", "00000002.seg"] {
      for _ in 0..<3 {
        let fails = Locked(true)
        disk.observe { call in
          guard call.operation == .write, call.position ?? 0 >= 8192 else { return nil }
          return fails.withLock { fails in
            defer { fails = false }
            return fails ? .noSpace : nil
          }
        }
        #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["x"]) }.code == .fileSystem)
        #expect(try DiskImage(of: base).files.keys.sorted() == [segment])
      }
      try log.reset()
    }
    try TestLog.append(log, ["one"])
    try log.close()
    #expect(try TestLog.records(Self.reopened(base)) == ["one"])
  }

  @Test func `a segment that is dropped at any stop leaves what was acknowledged`() throws {
    let image = try RecoveryTests.killed(durable: 1)
    let one = RecoveryTests.record(0)
    let stops = try Self.stopEverywhere(from: image) { disk in
      let full = ObservedFileSystem(disk) { call in
        call.operation == .write && call.count ?? 0 > 8192 ? .noSpace : nil
      }
      let log = try Self.reopened(full)
      do throws(LogError) {
        try TestLog.append(log, [String(repeating: "x", count: 20_000)])
      } catch {
        guard error.cause?.code == .noSpace else { throw error }
      }
      try TestLog.append(log, ["two"])
    } _: { disk, finished, stop in
      let log = try Self.reopened(disk)
      let records = try TestLog.records(log)
      #expect(records == [one, "two"] || (records == [one] && !finished), "stop \(stop)")
      try TestLog.append(log, ["later"])
      try log.close()
      #expect(try TestLog.records(try Self.reopened(disk)) == records + ["later"])
    }
    #expect(stops > 20)
  }

  @Test func `a sealed segment that cannot be mapped is read all the same`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem()) { $0.operation == .map ? .permissionDenied : nil }
    let log = try TestLog.open(disk)
    var records: [String] = []
    while log.size.segments < 3 {
      try TestLog.append(log, [RecoveryTests.record(records.count, 300)])
      records.append(RecoveryTests.record(records.count, 300))
    }
    #expect(try TestLog.records(log) == records)
  }

  @Test func `a disk without room to reserve a segment still takes appends`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem()) { $0.operation == .preallocate ? .noSpace : nil }
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    try log.close()
    #expect(try TestLog.records(try TestLog.open(disk)) == ["one"])
  }

  @Test func `every durable append is synced before it returns, and buffered ones are not`() throws {
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(MemoryFileSystem(), recorder.observer)
    let log = try TestLog.open(disk)
    recorder.clear()
    try TestLog.append(log, ["a", "b"])
    #expect(recorder.mutations == ["write 00000001.seg @8192 +80", "sync 00000001.seg"])
    recorder.clear()
    try TestLog.append(log, ["c"], durably: false)
    #expect(recorder.mutations == ["write 00000001.seg @8272 +40"])
    #expect(log.durableOffset == 2)
    recorder.clear()
    try log.close()
    #expect(
      recorder.mutations == [
        "sync 00000001.seg", "write 00000001.seg @12288 +32", "sync 00000001.seg",
      ])
  }

  @Test(arguments: [FileSystemError.Operation.sync, .link, .syncDirectory], ["reset", "roll"])
  func `a publish that failed where the segment may be there stops the writer for good`(
    operation: FileSystemError.Operation, cause: String
  ) throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    disk.observe { call in
      call.operation == operation && (operation == .syncDirectory || call.name.hasPrefix("00000002"))
        ? .io : nil
    }
    let first = try #require(throws: LogError.self) {
      if cause == "reset" {
        try log.reset()
      } else {
        try TestLog.append(log, [String(repeating: "x", count: 20_000)])
      }
    }
    #expect(first.code == .outcomeUnknown)
    disk.observe { _ in nil }
    // A later append into the old segment would be gone at the next opening, if the new one is there.
    #expect(
      try #require(throws: LogError.self) { try TestLog.append(log, ["later"]) }.code == .outcomeUnknown)
    #expect(try #require(throws: LogError.self) { try log.close() }.code == .outcomeUnknown)
    let again = try Self.reopened(base)
    try TestLog.append(again, ["after"])
    #expect(try TestLog.records(again).last == "after")
  }

  @Test func `every segment file has a nonce of its own, after a roll, a reset and a tear`() throws {
    var image = try RecoveryTests.twoSegments()
    let end = try #require(image.files[RecoveryTests.second]?.lastIndex { $0 != 0 }) / 8 * 8 + 8
    image.overwrite(RecoveryTests.second, at: end, with: [1, 2, 3])
    let disk = try image.disk()
    let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 3))
    try TestLog.append(log, ["in a third segment, behind a tear"])
    var nonces = Set<[UInt8]>()
    for (_, bytes) in try DiskImage(of: disk).files where bytes.count > 8192 {
      nonces.insert(Array(bytes[128..<136]))
    }
    #expect(nonces.count == 3)
    try log.reset()
    let last = try #require(try DiskImage(of: disk).files["00000004.seg"])
    nonces.insert(Array(last[128..<136]))
    #expect(nonces.count == 4)
  }
}
