import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// Sidecars that are right by their checksums and wrong otherwise, or about nothing.
@Suite struct SidecarAttackTests {
  static func open(
    _ disk: any FileSystem, _ environment: SeededEnvironment, segmentSize: UInt64 = 16 << 10
  ) throws -> Ledger {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = segmentSize
    return try Ledger.open(at: TestLog.path, options: options, fileSystem: disk, environment: environment)
  }

  @Test func `a segment that was sealed without a record is in nobody's way`() throws {
    let disk = MemoryFileSystem()
    var ledger = try Self.open(disk, SeededEnvironment(seed: 1))
    var numbers = SeededGenerator(seed: 1)
    var number = 0
    func append() throws {
      try ledger.append(SidecarIndexTests.event(number, &numbers))
      number += 1
    }
    while ledger.size.segments < 2 { try append() }
    // The power goes while the new segment's first batch is on its way.
    var image = try DiskImage(of: disk)
    let name = try #require(image.segments.last)
    image.overwrite(name, at: 8192, with: [UInt8](repeating: 0, count: 512))
    image.overwrite(name, at: 8192 + 40, with: [1])
    let torn = try image.disk()
    var environment = SeededEnvironment(seed: 2)
    ledger = try Self.open(torn, environment)
    #expect(ledger.recovery.outcome == .torn)
    environment.advance(by: .zero)
    try append()
    try ledger.close()
    environment = SeededEnvironment(seed: 3)
    ledger = try Self.open(torn, environment)
    let segments = ledger.size.segments
    while ledger.size.segments < segments + 2 { try append() }
    environment.advance(by: .zero)
    try SidecarIndexTests.check(ledger, "rolled")
    try ledger.close()
    try SidecarIndexTests.check(try Self.open(torn, SeededEnvironment(seed: 4)), "opened again")
  }

  @Test func `a sidecar whose postings lead nowhere does not change how values are hashed`() throws {
    let disk = MemoryFileSystem()
    var numbers = SeededGenerator(seed: 1)
    var ledger = try Self.open(disk, SeededEnvironment(seed: 1), segmentSize: 64 << 10)
    for number in 0..<20 { try ledger.append(SidecarIndexTests.event(number, &numbers)) }
    try ledger.close()
    var image = try DiskImage(of: disk)
    var bytes = try #require(image.files["00000001.idx"])
    // The last byte is a difference of the last term's.
    bytes[bytes.count - 1] ^= 1
    image.files["00000001.idx"] = SidecarBytes(bytes).resealed()
    let spoiled = try image.disk()
    ledger = try Self.open(spoiled, SeededEnvironment(seed: 2), segmentSize: 64 << 10)
    #expect(ledger.recovery.records == 20)
    var number = 20
    while ledger.size.segments < 3 {
      try ledger.append(SidecarIndexTests.event(number, &numbers))
      number += 1
    }
    try SidecarIndexTests.check(ledger, "rolled")
    try ledger.close()
    try SidecarIndexTests.check(
      try Self.open(spoiled, SeededEnvironment(seed: 3), segmentSize: 64 << 10), "opened again")
  }

  /// A directory that was copied file by file, so that both go on in the same segment under one nonce, and one's sidecar came
  /// to the other's segment. The last records are alike to the byte.
  @Test func `a sidecar of another history that ends alike is not believed`() throws {
    let disk = MemoryFileSystem()
    var ledger = try Self.open(disk, SeededEnvironment(seed: 1), segmentSize: 64 << 10)
    try ledger.append(.test("first"))
    try ledger.close()
    let image = try DiskImage(of: disk)
    func goneOn(_ id: String) throws -> DiskImage {
      let disk = try image.disk()
      let ledger = try Self.open(disk, SeededEnvironment(seed: 2), segmentSize: 64 << 10)
      try ledger.append(.test(id))
      try ledger.append(.test("last"))
      try ledger.close()
      return try DiskImage(of: disk)
    }
    var mixed = try goneOn("here")
    mixed.files["00000001.idx"] = try goneOn("over").files["00000001.idx"]
    let mixedDisk = try mixed.disk()
    ledger = try Self.open(mixedDisk, SeededEnvironment(seed: 3), segmentSize: 64 << 10)
    #expect(try ledger.event(id: "here")?.offset == 2)
    #expect(try ledger.append(.test("here")).outcome == .duplicate)
    while ledger.size.segments < 2 { try ledger.append(.test("more-\(ledger.latestOffset)")) }
    try ledger.close()
    // The digest in the seal is that of the other history.
    _ = try Self.open(DiskImage(of: mixedDisk).disk(), SeededEnvironment(seed: 4), segmentSize: 64 << 10)
    var bare = try DiskImage(of: mixedDisk)
    for name in bare.files.keys where name.hasSuffix(".idx") { bare.files[name] = nil }
    _ = try Self.open(bare.disk(), SeededEnvironment(seed: 4), segmentSize: 64 << 10)
  }

  /// Trims and rolls under a walk: each offset once, in order, or a plain refusal.
  @Test(arguments: 1...20 as ClosedRange<UInt64>)
  func `a walk goes on through rolls, sidecars and trims below it`(seed: UInt64) throws {
    let environment = SeededEnvironment(seed: seed)
    let ledger = try Self.open(MemoryFileSystem(), environment)
    var numbers = SeededGenerator(seed: seed)
    var number = 0
    func append() throws {
      try ledger.append(SidecarIndexTests.event(number, &numbers))
      number += 1
    }
    while number < 400 { try append() }
    let expected = try ledger.offsets(of: .kind, "turn.started")
    var seen: [Offset] = []
    do {
      try ledger.forEachEvent(.kind, "turn.started") { (view) throws(LedgerError) in
        seen.append(view.offset)
        do {
          switch Int.random(in: 0..<12, using: &numbers) {
          case 0...4: try append()
          case 5: environment.advance(by: .zero)
          case 6: try ledger.trim(before: view.offset)
          case 7: if seen.count > 60 { try ledger.reset() }
          default: break
          }
        } catch let error as LedgerError { throw error } catch {}
        return true
      }
      #expect(seen == expected)
    } catch {
      #expect(error.log?.code == .offsetNotKept)
      #expect(seen == Array(expected.prefix(seen.count)))
    }
    try SidecarIndexTests.check(ledger, "seed \(seed)")
  }

  @Test(arguments: [false, true]) func `hashes that all meet cost no more than a moment`(
    areTerms: Bool
  ) throws {
    let disk = MemoryFileSystem()
    let count = 30_000
    var ledger = try Self.open(disk, SeededEnvironment(seed: 1), segmentSize: 64 << 20)
    try ledger.extend(try (0..<count).map { try .test("id-\($0)", run: areTerms ? "run-\($0)" : "run") })
    try ledger.close()
    var image = try DiskImage(of: disk)
    var sidecar = SidecarBytes(try #require(image.files["00000001.idx"]))
    let index = sidecar.indexStart(records: count)
    for number in 0..<count {
      if areTerms {
        sidecar.store(7, 4, at: index + 64 + 8 * count + 32 * number + 4)
      } else {
        // Next to each other, at the end of a shard.
        sidecar.store(UInt64(0x00FF_FFFF - (count - number) / 8), 4, at: index + 64 + 8 * number + 4)
      }
    }
    image.files["00000001.idx"] = sidecar.resealed()
    let started = ContinuousClock.now
    ledger = try Self.open(try image.disk(), SeededEnvironment(seed: 2), segmentSize: 64 << 20)
    // Of every shard some.
    for number in 0..<8000 { #expect(try ledger.event(id: "absent-\(number)") == nil) }
    // Some seconds without optimization; each passing all others took minutes.
    #expect(ContinuousClock.now - started < .seconds(30))
    #expect(ledger.recovery.records == (areTerms ? UInt64(count) : 0))
    #expect(ledger.latestOffset == Offset(UInt64(count)))
  }
}
