import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// What a ledger finds by its sidecars is what it finds by its events.
@Suite struct SidecarIndexTests {
  static func open(
    _ disk: any FileSystem, seed: UInt64 = 3, _ change: (inout LedgerOptions) -> Void = { _ in }
  ) throws -> Ledger {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = 16 << 10
    change(&options)
    return try Ledger.open(
      at: TestLog.path, options: options, fileSystem: disk, environment: SeededEnvironment(seed: seed))
  }

  /// An event whose run, kind, actor, session and model are drawn with some skew.
  static func event(_ number: Int, _ numbers: inout SeededGenerator) throws -> Event {
    let kind = ["turn.started", "tool.called", "verdict.given"].randomElement(using: &numbers)!
    return try .test(
      "id-\(number)", run: "run-\(number / 30 + Int.random(in: 0...2, using: &numbers))", kind: kind,
      actor: "actor-\(Int.random(in: 0...4, using: &numbers))",
      payload: #"{"text":"\#(String(repeating: "x", count: Int.random(in: 0...200, using: &numbers)))"}"#,
      session: Bool.random(using: &numbers) ? "s-\(number / 50)" : nil,
      model: Bool.random(using: &numbers) ? "model" : nil)
  }

  /// Every lookup the index serves, against the events themselves.
  static func check(_ ledger: Ledger, _ what: Comment) throws {
    #expect(try ledger.wrongLookup() == nil, what)
  }

  @Test(arguments: [UInt64](1...6)) func `lookups agree with the events, whatever came from sidecars`(
    seed: UInt64
  ) throws {
    var numbers = SeededGenerator(seed: seed)
    var disk = MemoryFileSystem()
    var number = 0
    for life in 0..<6 {
      let environment = SeededEnvironment(seed: seed * 10 + UInt64(life))
      var options = LedgerOptions()
      options.creation = .createIfMissing
      options.segmentSize = 16 << 10
      let ledger = try Ledger.open(
        at: TestLog.path, options: options, fileSystem: disk, environment: environment)
      try Self.check(ledger, "seed \(seed), life \(life), opened")
      for _ in 0..<Int.random(in: 0...150, using: &numbers) {
        try ledger.append(Self.event(number, &numbers))
        number += 1
        if Int.random(in: 0..<40, using: &numbers) == 0 { environment.advance(by: .zero) }
      }
      if Int.random(in: 0..<12, using: &numbers) == 0 { try ledger.reset() }
      try Self.check(ledger, "seed \(seed), life \(life), grown")
      // Closed, or gone with its process.
      if Bool.random(using: &numbers) { try ledger.close() }
      var image = try DiskImage(of: disk)
      let sidecars = image.files.keys.filter { $0.hasSuffix(".idx") }.sorted()
      if let lost = sidecars.randomElement(using: &numbers), Bool.random(using: &numbers) {
        image.files[lost] = nil
      }
      disk = try image.disk()
    }
    let reader = try Self.open(disk) { $0.access = .readOnly }
    try Self.check(reader, "seed \(seed), for reading")
  }

  @Test(arguments: [0, 1, 10]) func `a walk goes on while the segment under it ends, is sealed and moves`(
    everyEvents: Int
  ) throws {
    let environment = SeededEnvironment(seed: 3)
    let ledger = try SidecarAttackTests.open(MemoryFileSystem(), environment)
    var numbers = SeededGenerator(seed: 1)
    for number in 0..<50 { try ledger.append(Self.event(number, &numbers)) }
    var added = 50
    var seen: [Offset] = []
    try ledger.forEachEvent(.kind, "turn.started") { (view) throws(LedgerError) in
      seen.append(view.offset)
      do { try ledger.append(Self.event(added, &numbers)) } catch let error as LedgerError {
        throw error
      } catch {}
      added += 1
      if everyEvents > 0, added % everyEvents == 0 { environment.advance(by: .zero) }
      return true
    }
    #expect(try seen == ledger.offsets(of: .kind, "turn.started").filter { $0 <= 50 })
    #expect(ledger.size.segments > 1)
  }

  @Test func `a duplicate is found by an id that came from a sidecar`() throws {
    let disk = MemoryFileSystem()
    let ledger = try Self.open(disk)
    var numbers = SeededGenerator(seed: 1)
    let events = try (0..<200).map { try Self.event($0, &numbers) }
    try ledger.extend(events[..<100])
    try ledger.extend(events[100...])
    try ledger.close()
    let again = try Self.open(disk, seed: 99)
    #expect(again.recovery.records == 0)
    for (place, event) in events.enumerated() {
      let receipt = try again.append(event)
      #expect(receipt.outcome == .duplicate && receipt.offset == Offset(UInt64(place + 1)))
    }
  }

  /// Sidecars whose checksums were made right again after their index was changed.
  @Test func `an index that lies under a right checksum neither traps nor spoils the log`() throws {
    let disk = MemoryFileSystem()
    let ledger = try Self.open(disk)
    var numbers = SeededGenerator(seed: 1)
    for number in 0..<80 { try ledger.append(Self.event(number, &numbers)) }
    try ledger.close()
    let image = try DiskImage(of: disk)
    let id = ledger.id
    for round in 0..<800 {
      var spoiled = image
      let name = image.files.keys.filter { $0.hasSuffix(".idx") }.sorted().randomElement(using: &numbers)!
      var bytes = image.files[name]!
      for _ in 0..<Int.random(in: 1...3, using: &numbers) {
        // The first bytes behind the headers more often than the rest.
        let limit = Bool.random(using: &numbers) ? min(bytes.count, 1024) : bytes.count
        let place = Int.random(in: 256..<limit, using: &numbers)
        bytes[place] = UInt8.random(in: 0...255, using: &numbers)
        if Bool.random(using: &numbers) {
          for next in place..<min(place + 8, bytes.count) {
            bytes[next] = Bool.random(using: &numbers) ? 255 : 0
          }
        }
      }
      spoiled.files[name] = SidecarBytes(bytes).resealed()
      let reader = try Self.open(spoiled.disk()) { $0.access = .readOnly }
      #expect(reader.id == id)
      // Anything but a trap; the records are what they were, or said to be damaged.
      _ = try? reader.events()
      for field in [PostingField.run, .kind, .actor, .session, .model] {
        for value in ["run-1", "turn.started", "actor-1", "s-0", "model"] {
          _ = try? reader.offsets(of: field, value)
        }
      }
      for number in 0..<80 { _ = try? reader.event(id: "id-\(number)") }
      _ = try? reader.runs()
      guard round % 10 == 0 else { continue }
      let writer = try Self.open(spoiled.disk())
      _ = try? writer.append(.test("new-\(round)"))
      _ = try? writer.close()
    }
  }
}
