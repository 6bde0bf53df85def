import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

extension RecoveryTests {
  @Test func `a sealed last segment gets a successor`() throws {
    var image = try Self.twoSegments()
    image.files[Self.second] = nil
    let (log, disk) = try Self.opened(image)
    #expect(log.recovery.outcome == .sealed)
    let kept = log.latestOffset
    try TestLog.append(log, ["next"])
    #expect(log.latestOffset.rawValue == kept.rawValue + 1)
    #expect(try DiskImage(of: disk).segments == [Self.first, Self.second])
    #expect(try TestLog.records(log).last == "next")
  }

  @Test func `only zeros behind the last batch is a clean end, and appends go on there`() throws {
    let image = try Self.killed(durable: 5)
    let (log, disk) = try Self.opened(image)
    #expect(log.recovery.outcome == .clean)
    try TestLog.append(log, ["next"])
    #expect(try DiskImage(of: disk).segments == [Self.first])
    #expect(try TestLog.records(log) == (0..<5).map { Self.record($0) } + ["next"])
  }

  @Test func `opening for writing vouches for everything above the floor before it returns`() throws {
    let image = try Self.killed(durable: 3, buffered: 4)
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(try image.disk(), recorder.observer)
    _ = try TestLog.open(disk) { $0.creation = .mustExist }
    // The floor is what the frames behind the synced ones state: the end of the third.
    let floor = Self.frame(3)
    #expect(
      recorder.mutations == [
        "write \(Self.first) @\(floor) +\(Self.frame(7) - floor)",
        // Zeros: what reads as such may be otherwise on the disk.
        "write \(Self.first) @\(Self.frame(7)) +\(16384 - Self.frame(7))",
        "sync \(Self.first)",
        "syncDirectory \(TestLog.path)",
        // Whoever made the directory may have died before its name was durable.
        "syncDirectory .",
      ])
  }

  @Test func `a torn end is kept aside, cleared, sealed, and followed by a new segment`() throws {
    var image = try Self.killed(durable: 5, buffered: 1)
    // The last record's second half never reached the disk.
    let start = Self.frame(5)
    image.overwrite(Self.first, at: start + 80, with: [UInt8](repeating: 0, count: 200))
    let torn = Array(try #require(image.files[Self.first])[start..<start + 80])
    let (log, disk) = try Self.opened(image)
    #expect(log.recovery.outcome == .torn)
    #expect(log.recovery.tornFile == Self.first)
    #expect(log.recovery.tornBytes == UInt64(start)..<UInt64(start + 80))
    #expect(try TestLog.records(log) == (0..<5).map { Self.record($0) })
    let kept = try #require(log.recovery.keptAs)
    #expect(try DiskImage(of: disk).files[kept] == torn)

    try TestLog.append(log, ["next"])
    try log.close()
    let after = try DiskImage(of: disk)
    #expect(after.segments == [Self.first, Self.second])
    #expect(after.files[Self.first]?.count == start + 96)
    let again = try TestLog.open(disk)
    #expect(again.recovery.outcome == .clean)
    #expect(try TestLog.records(again) == (0..<5).map { Self.record($0) } + ["next"])
  }

  @Test func `recovery stopped after any step is taken up again`() throws {
    var image = try Self.killed(durable: 5, buffered: 2)
    image.overwrite(Self.first, at: Self.frame(5) + 64, with: [UInt8](repeating: 0, count: 80))
    let expected = (0..<5).map { Self.record($0) }
    var steps = 0
    while true {
      let disk = try image.disk()
      let countdown = Locked(steps)
      let stopping = ObservedFileSystem(disk) { call in
        guard call.isMutation, call.name != "LOCK" else { return nil }
        return countdown.withLock { left in
          left -= 1
          return left < 0 ? .io : nil
        }
      }
      let finished: Bool
      do throws(LogError) {
        let log = try TestLog.open(stopping) { $0.creation = .mustExist }
        try TestLog.append(log, ["next"])
        finished = true
      } catch {
        finished = false
      }
      let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 3)) { $0.creation = .mustExist }
      let records = try TestLog.records(log)
      #expect(records == expected || records == expected + ["next"], "stopped after \(steps) steps")
      try TestLog.append(log, ["later"])
      try log.close()
      #expect(try TestLog.records(try TestLog.open(disk)) == records + ["later"])
      if finished { break }
      steps += 1
    }
    #expect(steps > 8)
  }

  @Test
  func `a write that was being taken back when the power failed is a tear, wherever its zeros had come to`()
    throws
  {
    let image = try Self.killed(durable: 1, buffered: 3, size: 400)
    let (start, next) = (Self.frame(1, size: 400), Self.frame(2, size: 400))
    for cleared in [start..<start + 8, start..<start + 64, 8704..<8712, 8704..<9000] {
      try #require(cleared.upperBound < next && start < 8704)
      var torn = image
      torn.overwrite(Self.first, at: cleared.lowerBound, with: [UInt8](repeating: 0, count: cleared.count))
      let (log, disk) = try Self.opened(torn)
      #expect(log.recovery.outcome == .torn, "\(cleared)")
      #expect(try TestLog.records(log) == [Self.record(0, 400)])
      try TestLog.append(log, ["next"])
      #expect(
        try TestLog.records(TestLog.open(try DiskImage(of: disk).disk())) == [Self.record(0, 400), "next"])
    }
    // Zeros anywhere else are no sector's doing.
    var rotten = image
    rotten.overwrite(Self.first, at: start + 72, with: [UInt8](repeating: 0, count: 8))
    #expect(try Self.refusal(rotten).code == .suspectTail)
  }

  @Test func `a batch without its last frame is not there`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    try TestLog.append(log, ["one"])
    try TestLog.append(log, ["two", "three", String(repeating: "four", count: 50)])
    var image = try DiskImage(of: disk)
    let bytes = try #require(image.files[Self.first])
    let end = try #require(bytes.lastIndex { $0 != 0 }) + 1
    image.overwrite(Self.first, at: end - 100, with: [UInt8](repeating: 0, count: 100))
    let (reopened, _) = try Self.opened(image)
    #expect(reopened.recovery.outcome == .torn)
    #expect(try TestLog.records(reopened) == ["one"])
  }

  @Test func `damage below the floor is refused for writing, and reading still works`() throws {
    let image = try Self.killed(durable: 8)
    for record in 0..<7 {
      var damaged = image
      damaged.flip(Self.first, byte: Self.frame(record) + 40, bit: 3)
      let error = try Self.refusal(damaged)
      #expect(error.code == .damaged)
      #expect(error.path.hasSuffix(Self.first))
      #expect(error.bytes?.lowerBound == UInt64(Self.frame(record)))
      #expect(error.offsets?.lowerBound == Offset(UInt64(record + 1)))
      let (log, _) = try Self.opened(damaged) { $0.access = .readOnly }
      #expect(log.recovery.outcome == .damaged)
      #expect(
        log.recovery.damage == [
          Damage(
            kind: .frame, file: Self.first,
            bytes: UInt64(Self.frame(record))..<UInt64(Self.frame(record + 1)),
            offsets: Offset(UInt64(record + 1))..<Offset(UInt64(record + 2)))
        ])
      for number in 0..<8 {
        let offset = Offset(UInt64(number + 1))
        if number == record {
          #expect(throws: LogError.self) { try log.withRecord(at: offset) { _ in } }
        } else {
          #expect(try log.withRecord(at: offset) { TestLog.text($0) } == Self.record(number))
        }
      }
    }
  }

  @Test func `damage to the last record after a clean close is damage, not a tear`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for number in 0..<3 { try TestLog.append(log, [Self.record(number)]) }
    try log.close()
    var image = try DiskImage(of: disk)
    image.flip(Self.first, byte: Self.frame(2) + 50, bit: 0)
    #expect(try Self.refusal(image).code == .damaged)
  }

  @Test func `rot among sound unsynced frames is refused, and accepted on request`() throws {
    var image = try Self.killed(durable: 2, buffered: 5, segmentSize: 64 << 10, size: 600)
    image.flip(Self.first, byte: Self.frame(4, size: 600) + 50, bit: 0)
    #expect(try Self.refusal(image).code == .suspectTail)
    let (log, _) = try Self.opened(image) { $0.acceptSuspectTail = true }
    #expect(log.recovery.outcome == .torn)
    #expect(try TestLog.records(log) == (0..<4).map { Self.record($0, 600) })
  }

  @Test func `sectors that never arrived among later ones that did are a tear`() throws {
    var image = try Self.killed(durable: 2, buffered: 8, segmentSize: 64 << 10, size: 600)
    let start = Self.frame(4, size: 600)
    let sector = (start + 511) / 512 * 512
    image.overwrite(Self.first, at: sector, with: [UInt8](repeating: 0, count: 512))
    let (log, _) = try Self.opened(image)
    #expect(log.recovery.outcome == .torn)
    #expect(log.latestOffset >= 3)
    #expect(try TestLog.records(log) == (0..<Int(log.latestOffset.rawValue)).map { Self.record($0, 600) })
  }

  @Test func `an unsealed segment that was cut is damage`() throws {
    var image = try Self.killed(durable: 5)
    image.truncate(Self.first, to: 16_000)
    let error = try Self.refusal(image)
    #expect(error.code == .damaged)
    let (log, _) = try Self.opened(image) { $0.access = .readOnly }
    #expect(log.latestOffset == 5)
    #expect(log.recovery.damage.map(\.kind) == [.cut])
  }

  @Test func `a last segment with other hard links is not written to`() throws {
    let disk = try Self.killed(durable: 5).disk()
    try disk.link("log/00000001.seg", as: "log/elsewhere")
    let error = try #require(throws: LogError.self) { try TestLog.open(disk) { $0.creation = .mustExist } }
    #expect(error.code == .linkedSegment)
  }

  @Test(.timeLimit(.minutes(1)))
  func `a seal that the search for sound frames passes ends the search`() throws {
    // Three records, a sync frame, more records, a seal.
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk, segmentSize: 64 << 10)
    for number in 0..<3 { try TestLog.append(log, [Self.record(number)]) }
    try log.close()
    let again = try TestLog.open(disk, segmentSize: 64 << 10)
    while again.size.segments == 1 { try TestLog.append(again, [Self.record(5, 2000)]) }
    for isLast in [true, false] {
      var image = try DiskImage(of: disk)
      if isLast { image.files[Self.second] = nil }
      // The third record says that more of its batch follow, but the sync frame does.
      image.rewriteFrame(Self.first, at: Self.frame(2)) { $0[29] = 1 }
      #expect(try Self.refusal(image).code == .damaged)
      let damaged = try image.disk()
      let found = try SegmentedLog.verify(
        at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: damaged, check: { _, _ in true })
      #expect(!found.isSound)
    }
  }

  @Test func `a cut file with damage below the floor is read as far as it is sound`() throws {
    var image = try Self.killed(durable: 10)
    image.flip(Self.first, byte: Self.frame(3) + 40, bit: 2)
    image.truncate(Self.first, to: Self.frame(10))
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in true })
    #expect(found.records == 9)
    #expect(found.damage.map(\.kind) == [.frame, .cut])
    #expect(found.damage.map(\.offsets) == [4..<5, 0..<0])
    let log = try TestLog.open(try image.disk()) { $0.access = .readOnly }
    #expect(try log.withRecord(at: 10) { TestLog.text($0) } == Self.record(9))
  }

  @Test func `damage that spans the floor is reported with everything behind it`() throws {
    // Ten durable records, of which the tenth says so of the nine before; then three that are not.
    var image = try Self.killed(durable: 10, buffered: 3)
    for record in 8...11 { image.flip(Self.first, byte: Self.frame(record) + 40, bit: 2) }
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in true })
    let damage = try #require(found.damage.only)
    #expect(damage.offsets == 9..<14)
    #expect(damage.bytes.lowerBound == UInt64(Self.frame(8)))
    // The last record is sound but not known to be whole, since its batch might have begun among the bad bytes.
    #expect(
      damage.bytes.upperBound > UInt64(Self.frame(12) + 32)
        && damage.bytes.upperBound <= UInt64(Self.frame(13)))
    #expect(found.records == 8)
  }

  @Test func `a torn end behind damage below the floor is told apart from it`() throws {
    var image = try Self.killed(durable: 10, buffered: 1)
    image.flip(Self.first, byte: Self.frame(3) + 40, bit: 2)
    image.overwrite(Self.first, at: Self.frame(10) + 64, with: [UInt8](repeating: 0, count: 76))
    let found = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: try image.disk(),
      check: { _, _ in true })
    #expect(found.damage.map(\.offsets) == [4..<5])
    #expect(found.torn?.bytes.lowerBound == UInt64(Self.frame(10)))
    #expect(found.records == 9)
  }

  @Test func `torn bytes are durable under their name before any of them is overwritten`() throws {
    var image = try Self.killed(durable: 2, buffered: 3, size: 600)
    image.overwrite(Self.first, at: Self.frame(3, size: 600) + 40, with: [UInt8](repeating: 0, count: 560))
    let recorder = CallRecorder()
    let disk = ObservedFileSystem(try image.disk(), recorder.observer)
    let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 2))
    try #require(log.recovery.outcome == .torn)
    let calls = recorder.mutations
    let kept = try #require(calls.firstIndex { $0.hasPrefix("write") && $0.contains(".torn.tmp") })
    let synced = try #require(calls.firstIndex { $0.hasPrefix("sync ") && $0.contains(".torn.tmp") })
    let linked = try #require(calls.firstIndex { $0.hasPrefix("link") && $0.contains("-1.torn") })
    let listed = try #require(calls.firstIndex { $0.hasPrefix("syncDirectory") })
    let cleared = try #require(calls.firstIndex { $0.hasPrefix("write 00000001.seg") })
    #expect([kept, synced, linked, listed, cleared] == [kept, synced, linked, listed, cleared].sorted())
  }

  @Test func `a recovery that is stopped again and again keeps the torn bytes once`() throws {
    var image = try Self.killed(durable: 2, buffered: 3, size: 600)
    image.overwrite(Self.first, at: Self.frame(3, size: 600) + 40, with: [UInt8](repeating: 0, count: 560))
    let torn = try #require(image.files[Self.first])[Self.frame(3, size: 600)...]
    _ = try ProtocolStopTests.stopEverywhere(from: image) { disk in
      _ = try TestLog.open(disk, environment: SeededEnvironment(seed: 2))
    } _: { disk, _, stop in
      for attempt in 0..<3 as Range<UInt64> {
        let left = Locked(Int(attempt) * 3)
        let stopping = ObservedFileSystem(disk) { call in
          guard call.isMutation, call.name != "LOCK" else { return nil }
          return left.withLock { left in
            left -= 1
            return left < 0 ? .io : nil
          }
        }
        _ = try? TestLog.open(stopping, environment: SeededEnvironment(seed: attempt))
      }
      _ = try TestLog.open(disk, environment: SeededEnvironment(seed: 9))
      let kept = try DiskImage(of: disk).files.filter { $0.key.hasSuffix(".torn") }
      #expect(kept.count == 1, "stop \(stop)")
      #expect(kept.first.map { torn.starts(with: $0.value) } == true, "stop \(stop)")
    }
  }

  @Test func `torn bytes that another process kept have a durable name before they are cleared`() throws {
    var image = try Self.killed(durable: 2, buffered: 3, size: 600)
    image.overwrite(Self.first, at: Self.frame(3, size: 600) + 40, with: [UInt8](repeating: 0, count: 560))
    let disk = try image.disk()
    // Stopped behind the link.
    let linked = Locked(false)
    let stopping = ObservedFileSystem(disk) { call in
      if linked.withLock({ $0 }) { return .io }
      if call.operation == .link { linked.withLock { $0 = true } }
      return nil
    }
    #expect(throws: LogError.self) { try TestLog.open(stopping, environment: SeededEnvironment(seed: 2)) }
    let recorder = CallRecorder()
    _ = try TestLog.open(
      ObservedFileSystem(disk, recorder.observer), environment: SeededEnvironment(seed: 2))
    let calls = recorder.mutations
    let named = try #require(calls.firstIndex { $0.hasPrefix("syncDirectory") })
    let cleared = try #require(calls.firstIndex { $0.hasPrefix("write 00000001.seg") })
    #expect(named < cleared)
  }

  @Test(arguments: [true, false]) func `bytes behind a seal are refused and kept`(isLast: Bool) throws {
    var image = try Self.twoSegments()
    if isLast { image.files[Self.second] = nil }
    image.files[Self.first, default: []] += [UInt8](repeating: 0, count: 16) + [7]
    #expect(try Self.refusal(image).code == .damaged)
  }

  @Test func `what an opening vouched for is durable to the frames that follow`() throws {
    let (log, disk) = try Self.opened(try Self.killed(durable: 0, buffered: 5))
    try TestLog.append(log, ["next"], durably: false)
    var image = try DiskImage(of: disk)
    image.flip(Self.first, byte: Self.frame(2) + 40, bit: 3)
    #expect(try Self.refusal(image).code == .damaged)
  }

  @Test func `a floor that is stated behind a second bad frame counts`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk) { $0.syncPolicy = .never }
    for number in 0..<6 { try TestLog.append(log, [Self.record(number)]) }
    try log.sync()
    try TestLog.append(log, [Self.record(6)])
    var image = try DiskImage(of: disk)
    for record in [2, 4] { image.flip(Self.first, byte: Self.frame(record) + 40, bit: 3) }
    #expect(try Self.refusal(image).code == .damaged)
  }

  @Test func `a changed byte of padding is damage`() throws {
    var image = try Self.twoSegments()
    image.flip(Self.first, byte: Self.frame(4) - 1, bit: 0)
    #expect(try Self.refusal(image).code == .damaged)
  }
}

extension Collection {
  /// The element, if there is exactly one.
  fileprivate var only: Element? { count == 1 ? first : nil }
}
