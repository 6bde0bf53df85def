import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// The index while segments come, go and move to their sidecars.
@Suite struct IndexChangeTests {
  private static func filled(
    _ disk: any FileSystem, _ environment: SeededEnvironment, segments: Int
  ) throws -> Ledger {
    let ledger = try SidecarAttackTests.open(disk, environment)
    var numbers = SeededGenerator(seed: 1)
    while ledger.size.segments < segments {
      try ledger.append(SidecarIndexTests.event(Int(ledger.latestOffset.rawValue), &numbers))
    }
    return ledger
  }

  @Test func `values of many segments are all found`() throws {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: 1)
    let ledger = try SidecarAttackTests.open(disk, environment)
    for number in 0..<400 {
      try ledger.append(.test("id-\(number)", run: "run-\(number / 3)", actor: "actor-\(number)"))
    }
    #expect(ledger.size.segments > 3)
    try SidecarIndexTests.check(ledger, "ended")
    environment.advance(by: .zero)
    try SidecarIndexTests.check(ledger, "in sidecars")
    try ledger.close()
    try SidecarIndexTests.check(try SidecarAttackTests.open(disk, SeededEnvironment(seed: 2)), "opened again")
  }

  /// The index of events `id-0`, `id-1` and so on, two to a run, in segments of so many.
  private static func parts(_ count: Int, of size: Int) throws -> [(first: Offset, bytes: StoredBytes)] {
    var index = LedgerIndex(seed: 1)
    return try (0..<count).map { part in
      let first = Offset(UInt64(part * size + 1))
      index.beginSegment(at: first)
      for number in part * size..<(part + 1) * size { try add(number, to: &index) }
      index.endSegment()
      index.sealEnded()
      let bytes = index.bytes(ofSegmentAt: first)
      return (first, try #require(bytes))
    }
  }

  private static func add(_ number: Int, run: String? = nil, to index: inout LedgerIndex) throws {
    var record = ByteBuffer()
    EventRecord.encode(try .test("id-\(number)", run: run ?? "run-\(number / 2)"), into: &record)
    guard let view = EventView(record.bytes, at: Offset(UInt64(number + 1)), kindRule: .dotted) else {
      return #expect(Bool(false), "an event was encoded")
    }
    index.add(view)
  }

  /// An index of another seed that takes theirs.
  private static func empty(for parts: [(first: Offset, bytes: StoredBytes)]) throws -> LedgerIndex {
    var index = LedgerIndex(seed: 2)
    let isPrepared = index.prepare(toRestore: try #require(parts.first).bytes)
    #expect(isPrepared)
    return index
  }

  @Test(arguments: [UInt64](1...4)) func `ids of sidecars are found whatever was asked for before`(
    seed: UInt64
  ) throws {
    var numbers = SeededGenerator(seed: seed)
    let parts = try Self.parts(8, of: 100)
    var index = try Self.empty(for: parts)
    for part in parts {
      index.beginSegment(at: part.first)
      let isRestored = index.restoreSegment(part.bytes, count: 100, isSealed: true)
      #expect(isRestored)
    }
    index.beginSegment(at: 801)
    var ids = 0..<800
    for _ in 0..<4000 {
      switch Int.random(in: 0..<1000, using: &numbers) {
      case 0 where ids.lowerBound < 800:
        index.beginSegment(at: Offset(UInt64(ids.upperBound + 1)))
        ids = (ids.lowerBound + 100)..<ids.upperBound
        index.removeAll(below: Offset(UInt64(ids.lowerBound + 1)))
      case 1...100:
        try Self.add(ids.upperBound, to: &index)
        ids = ids.lowerBound..<ids.upperBound + 1
      default:
        let number = Int.random(in: 0..<ids.upperBound + 10, using: &numbers)
        let found = try index.candidate(id: "id-\(number)".utf8Span.span.rawBytes, after: .zero)
        guard found == (ids.contains(number) ? Offset(UInt64(number + 1)) : nil) else {
          return #expect(Bool(false), "id-\(number) of \(ids) is at \(String(describing: found))")
        }
      }
    }
  }

  @Test func `a value that was looked up is found in segments that are sealed later`() throws {
    let run = "run-0"
    var index = LedgerIndex(seed: 1)
    var offsets: [Offset] = []
    for number in 0..<100 {
      if number % 10 == 0 {
        index.beginSegment(at: Offset(UInt64(number + 1)))
        index.sealEnded()
      }
      try Self.add(number, run: run, to: &index)
      offsets.append(Offset(UInt64(number + 1)))
      var place = PostingPlace()
      let found = try index.offsets(
        .run, run.utf8Span.span.rawBytes, after: .zero, limit: 200, &place)
      #expect(found == offsets)
    }
  }

  @Test func `a segment that is restored after ids were looked up is found, too`() throws {
    let parts = try Self.parts(2, of: 20_000)
    // The last shard of ids is entered before the others, or the first, or none.
    for shard in [511, 0, nil] as [UInt64?] {
      var index = try Self.empty(for: parts)
      for part in parts {
        index.beginSegment(at: part.first)
        let isRestored = index.restoreSegment(part.bytes, count: 20_000, isSealed: true)
        #expect(isRestored)
        guard let shard else { continue }
        let name = try #require(
          (0..<20_000).map { "id-\($0)" }
            .first { XXH3.hash64($0.utf8Span.span.rawBytes, seed: 1) >> 55 == shard })
        let found = try index.candidate(id: name.utf8Span.span.rawBytes, after: .zero)
        #expect(found != nil)
      }
      for number in 0..<40_000 {
        let found = try index.candidate(id: "id-\(number)".utf8Span.span.rawBytes, after: .zero)
        guard found == Offset(UInt64(number + 1)) else { return #expect(Bool(false), "id-\(number)") }
      }
    }
  }

  @Test func `what is trimmed before its ids were looked up is not found, and may come again`() throws {
    let parts = try Self.parts(3, of: 2)
    // As a reader restores them, who has not looked up any id yet.
    var restored = try Self.empty(for: parts)
    for part in parts {
      restored.beginSegment(at: part.first)
      let isRestored = restored.restoreSegment(part.bytes, count: 2, isSealed: true)
      #expect(isRestored)
    }
    restored.beginSegment(at: 7)
    restored.removeAll(below: 3)
    let (count, runCount, runs) = (restored.count, try restored.runCount, try restored.names(of: .run))
    #expect(count == 4)
    #expect(runCount == 2)
    #expect(runs == ["run-1", "run-2"])
    let (gone, kept) = (
      try restored.candidate(id: "id-1".utf8Span.span.rawBytes, after: .zero),
      try restored.candidate(id: "id-2".utf8Span.span.rawBytes, after: .zero)
    )
    #expect(gone == nil)
    #expect(kept == 3)
  }

  @Test func `a segment that is trimmed while its sidecar is written leaves none`() throws {
    let base = MemoryFileSystem()
    let disk = ObservedFileSystem(base)
    let environment = SeededEnvironment(seed: 1)
    let ledger = try Self.filled(disk, environment, segments: 3)
    let isTrimmed = Locked(false)
    disk.observe { call in
      guard call.operation == .rename, call.name == "00000001.idx.tmp" else { return nil }
      do throws(LedgerError) {
        try ledger.trim(before: ledger.latestOffset)
        isTrimmed.withLock { $0 = true }
        return nil
      } catch {
        return .other
      }
    }
    environment.advance(by: .zero)
    #expect(isTrimmed.withLock { $0 })
    let names = try base.entries(of: TestLog.path)
    #expect(!names.contains("00000001.seg") && !names.contains("00000001.idx"))
    try SidecarIndexTests.check(ledger, "trimmed")
    try ledger.close()
    try SidecarIndexTests.check(try SidecarAttackTests.open(base, SeededEnvironment(seed: 2)), "opened again")
  }

  @Test func `a sidecar that has one value twice is not believed`() throws {
    let disk = MemoryFileSystem()
    let ledger = try SidecarAttackTests.open(disk, SeededEnvironment(seed: 1), segmentSize: 64 << 10)
    for number in 0..<10 { try ledger.append(.test("id-\(number)", run: "run-\(number)")) }
    try ledger.close()
    var image = try DiskImage(of: disk)
    var bytes = try #require(image.files["00000001.idx"])
    let terms = SidecarBytes(bytes).indexStart(records: 10) + 64 + 8 * 10
    // The second run's term over by the first one's.
    var runs: [Int] = []
    for place in stride(from: terms, to: terms + 12 * 32, by: 32) where bytes[place] == 0 {
      runs.append(place)
    }
    bytes.replaceSubrange(runs[1]..<runs[1] + 32, with: bytes[runs[0]..<runs[0] + 32])
    image.files["00000001.idx"] = SidecarBytes(bytes).resealed()
    let again = try SidecarAttackTests.open(
      try image.disk(), SeededEnvironment(seed: 2), segmentSize: 64 << 10)
    #expect(again.recovery.records == 10)
    try SidecarIndexTests.check(again, "read again")
  }
}
