import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// Records under checksums that hold, whose bytes are no event, or no event that a ledger takes.
@Suite struct ForgedRecordTests {
  private static func record(_ change: (inout [UInt8]) -> Void = { _ in }) throws -> [UInt8] {
    var buffer = ByteBuffer()
    EventRecord.encode(
      try .test("id", session: "session", profile: "profile", model: "model"), into: &buffer)
    var bytes = buffer.copy()
    change(&bytes)
    return bytes
  }

  /// What is wrong with a record that has an event's shape, and what asking for its event says.
  private static func flaw(_ bytes: [UInt8]) throws -> String? {
    guard let view = EventView(bytes.span.rawBytes, at: 7, kindRule: .anyText) else {
      Issue.record("no event's shape")
      return nil
    }
    let flaw = view.flaw
    do throws(LedgerError) {
      _ = try view.event()
      #expect(flaw == nil)
    } catch {
      #expect(error.code == .corruptEvent)
      #expect(error.offset == 7)
    }
    var line: [UInt8] = []
    do throws(LedgerError) {
      try view.appendJSONLine(to: &line, withOffset: false)
      #expect(flaw == nil)
    } catch {
      #expect(error.code == .corruptEvent)
      #expect(line.isEmpty)
    }
    return flaw
  }

  @Test func `a record that is longer or shorter than its fields is no event`() throws {
    for change in [{ $0.append(0) }, { _ = $0.removeLast() }, { $0[36] ^= 1 }] as [(inout [UInt8]) -> Void] {
      let bytes = try Self.record(change)
      let isEvent = EventView(bytes.span.rawBytes, at: 1, kindRule: .anyText) != nil
      #expect(!isEvent)
    }
  }

  @Test func `a stored value that no event has is named instead of returned`() throws {
    #expect(try Self.flaw(try Self.record()) == nil)
    // 2^32 − 1 nanoseconds.
    let time = try Self.record { for byte in 32..<36 { $0[byte] = 0xFF } }
    #expect(try Self.flaw(time) == "created_at is no timestamp")
    let shown = EventView(time.span.rawBytes, at: 1, kindRule: .anyText)?.createdAt
    #expect(shown == .minimum)
    #expect(try Self.flaw(try Self.record { $0[48] = 0xFF }) == "a text field is not UTF-8")
    #expect(try Self.flaw(try Self.record { $0[48] = 0x07 })?.contains("id") == true)
  }

  @Test func `a payload beyond what the ledger takes is refused, with its place, and nothing is stored`()
    throws
  {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.maximumPayload = 10
    let ledger = try Ledger.open(
      at: TestLog.path, options: options, fileSystem: MemoryFileSystem(),
      environment: SeededEnvironment(seed: 1))
    let events: [Event] = [try .test("a"), try .test("b", payload: #"{"text":"long"}"#)]
    let error = try #require(throws: LedgerError.self) { try ledger.extend(events) }
    #expect(error.code == .invalidEvent)
    #expect(error.index == 1)
    #expect(error.event?.code == .payloadTooLarge)
    #expect(ledger.latestOffset == 0)
  }

  // MARK: Hashes that meet

  /// Chance that is known for once: the seed that a ledger's ids are hashed with.
  private final class KnownSeed: Environment {
    private let seed: Locked<UInt64?>
    private let base = SeededEnvironment(seed: 1)

    init(_ seed: UInt64) { self.seed = Locked(seed) }

    func wallTime() -> WallTime { base.wallTime() }
    func randomUInt64() -> UInt64 {
      seed.withLock { seed in
        defer { seed = nil }
        return seed
      } ?? base.randomUInt64()
    }
    func perform(
      after nanoseconds: UInt64, on worker: Worker, _ job: @escaping @Sendable () -> Void
    ) -> Bool { base.perform(after: nanoseconds, on: worker, job) }
  }

  /// Of 17 to 32 bytes XXH3 multiplies the first eight with the next; if the seed makes those nothing, it says nothing of
  /// the others.
  @Test func `events whose ids have one hash are told apart, in one call and in several`() throws {
    let start = [UInt8](repeating: UInt8(ascii: "a"), count: 8)
    let seed = start.span.rawBytes.loadUInt64(at: 0) &- 0xBE4B_A423_396C_FEB8
    let ids = (0..<5).map { "aaaaaaaa-number\($0)" + "-then-all-alike!" }
    let hashes = ids.map { XXH3.hash64($0.utf8Span.span.rawBytes, seed: seed) }
    try #require(Set(hashes).count == 1)
    var options = LedgerOptions()
    options.creation = .createIfMissing
    let ledger = try Ledger.open(
      at: TestLog.path, options: options, fileSystem: MemoryFileSystem(), environment: KnownSeed(seed))
    let events = try ids.map { try Event.test($0) }
    let receipts = try ledger.extend([events[0], events[1], events[2], events[1]])
    #expect(receipts.map(\.outcome) == [.appended, .appended, .appended, .duplicate])
    #expect(receipts.map(\.offset) == [1, 2, 3, 2])
    #expect(try ledger.append(events[3]).offset == 4)
    #expect(try ledger.append(events[2]).offset == 3)
    for (place, id) in ids.prefix(4).enumerated() {
      #expect(try ledger.event(id: id)?.offset == Offset(UInt64(place + 1)))
    }
    #expect(try ledger.event(id: ids[4]) == nil)
  }
}
