import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// A reader takes no lock. Whatever a writer does at the most awkward moment of its reading is no damage.
@Suite struct ReaderBesideWriterTests {
  /// A disk on which `action` runs once, just before the first read, or open, that fits.
  private func disk(
    _ base: MemoryFileSystem, before fits: @escaping @Sendable (ObservedFileSystem.Call) -> Bool,
    times: Int = 1, _ action: @escaping @Sendable () throws(LogError) -> Void
  ) -> ObservedFileSystem {
    let remaining = Locked(times)
    return ObservedFileSystem(base) { call in
      let isNow =
        fits(call)
        && remaining.withLock { count in
          count -= 1
          return count >= 0
        }
      guard isNow else { return nil }
      do throws(LogError) {
        try action()
        return nil
      } catch {
        return .other
      }
    }
  }

  private func read(_ disk: ObservedFileSystem) throws -> SegmentedLog {
    try TestLog.open(disk) {
      $0.access = .readOnly
      $0.creation = .mustExist
    }
  }

  private func verify(_ disk: ObservedFileSystem) throws -> SegmentedLog.Verification {
    try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, check: { _, _ in true })
  }

  @Test func `a writer that never pauses is no tear`() throws {
    let base = MemoryFileSystem()
    let log = try TestLog.open(base, segmentSize: 4 << 20)
    try TestLog.append(log, ["one", "two", "three"])
    let busy = disk(base, before: { $0.operation == .read && ($0.position ?? 0) >= 8192 }, times: .max) {
      () throws(LogError) in
      try TestLog.append(log, ["more"])
      try TestLog.append(log, ["and more"])
    }
    let found = try verify(busy)
    #expect(found.isSound)
    #expect(found.torn == nil)
    #expect(found.records >= 3)
    let reader = try read(busy)
    #expect(reader.recovery.outcome == .clean)
    #expect(Array(try TestLog.records(reader).prefix(4)) == ["one", "two", "three", "more"])
  }

  @Test func `damage below the floor is found beside a writer that never pauses`() throws {
    let base = MemoryFileSystem()
    let log = try TestLog.open(base, segmentSize: 4 << 20)
    for _ in 0..<4 { try TestLog.append(log, ["record"]) }
    let file = try base.open(TestLog.path + "/" + RecoveryTests.first, .readWrite)
    try file.write(([0xFF] as [UInt8]).span.rawBytes, at: 8192 + 40 + 33)
    let busy = disk(base, before: { $0.operation == .read && ($0.position ?? 0) >= 8192 }, times: .max) {
      () throws(LogError) in try TestLog.append(log, ["more"])
    }
    #expect(try verify(busy).damage.map(\.offsets) == [2..<3])
  }

  @Test(arguments: [0, 1]) func `a roll in the middle of reading a segment is no damage`(extra: UInt64) throws
  {
    let base = MemoryFileSystem()
    let log = try TestLog.open(base, segmentSize: 4 << 20)
    // The log ends less than a header before the end of what the reader reads first, and the roll cuts the file there.
    try TestLog.append(log, [String(repeating: "w", count: (1 << 20) - 1000 - 32)])
    let rolling = disk(base, before: { $0.operation == .read && $0.position == 8192 + (1 << 20) * extra }) {
      () throws(LogError) in try TestLog.append(log, [String(repeating: "z", count: 5 << 20)])
    }
    let reader = try read(rolling)
    #expect(log.size.segments == 2)
    #expect(reader.recovery.damage.isEmpty)
    #expect(reader.latestOffset == 2)
    #expect(try TestLog.records(reader).map(\.count) == [(1 << 20) - 1032, 5 << 20])
  }

  @Test(arguments: 0..<8) func `a reset in the middle of reading is never damage`(moment: Int) throws {
    let base = MemoryFileSystem()
    let log = try TestLog.open(base)
    for number in 0..<40 { try TestLog.append(log, [RecoveryTests.record(number)]) }
    try #require(log.size.segments == 2)
    let count = Locked(0)
    let resetting = disk(
      base,
      before: { call in
        guard call.operation == .open || call.operation == .read || call.operation == .list else {
          return false
        }
        return count.withLock { count in
          count += 1
          return count == moment + 2
        }
      }
    ) { () throws(LogError) in
      try log.reset()
      try TestLog.append(log, ["after"])
    }
    // Opening says that it must be tried again, or shows the log as it was or is.
    do throws(LogError) {
      let reader = try SegmentedLog.open(
        at: TestLog.path, options: Self.readOnly, fileSystem: resetting,
        environment: SeededEnvironment(seed: 1))
      #expect(reader.recovery.damage.isEmpty)
      #expect([1, 40].contains(try TestLog.records(reader).count))
    } catch {
      #expect(error.code == .changedMeanwhile)
    }
    count.withLock { $0 = 0 }
    #expect(try verify(resetting).isSound)
  }

  private static let readOnly: LogOptions = {
    var options = LogOptions()
    options.access = .readOnly
    return options
  }()

  @Test func `a segment that makes room for another of its number while it is being read is no tear`() throws
  {
    let base = MemoryFileSystem()
    let failing = ObservedFileSystem(base)
    let log = try TestLog.open(failing)
    let record = String(repeating: "x", count: 3000)
    try TestLog.append(log, [record])
    // The next segment is there, and neither could be written to nor be taken back yet.
    failing.observe { call in
      guard call.name == "00000002.seg" else { return nil }
      return call.operation == .write ? .noSpace : call.operation == .unlink ? .io : nil
    }
    #expect(throws: LogError.self) { try TestLog.append(log, [record]) }
    failing.observe { _ in nil }
    #expect(try base.status(of: "log/00000002.seg") != nil)
    // Between the reading of its header and that of its frames.
    let opened = Locked(0)
    let disk = disk(base) { call in
      call.operation == .open && call.name == "00000002.seg"
        && opened.withLock { opened in
          opened += 1
          return opened == 2
        }
    } _: { () throws(LogError) in
      try TestLog.append(log, ["new"])
    }
    let verification = try verify(disk)
    #expect(verification.isSound)
    #expect(verification.torn == nil)
    #expect(verification.records == 2)
  }
}
