import Foundation
import LogEngine
import PlatformIO
import RunLedger
import StorageTesting
import Testing

/// The golden ledger of format version 1: what it holds is written here, its bytes are in Fixtures/v1-sidecar2; those in
/// Fixtures/v1 and v1-index2 differ in their sidecars, which are of version 1, and their index of events of versions 1 and 2.
///
/// The files are frozen. A change that makes these tests fail changes the format, and needs a new version and a new
/// fixture beside this one. `RUNLEDGER_WRITE_FIXTURES=1 swift test --filter GoldenLedger` writes the files anew.
@Suite struct GoldenLedgerTests {
  static func fixtures(_ name: String) -> URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures/\(name)")
  }

  /// The calls that made the ledger; each inner list is one batch.
  static func batches() throws -> [[Event]] {
    let time = try #require(Timestamp(seconds: 1_750_000_000, nanoseconds: 0))
    return [
      [
        try .test(
          "e1", run: "run-a", turn: 0, kind: "run.started", actor: "system", payload: #"{"seed":7}"#,
          createdAt: time)
      ],
      [
        try .test(
          "e2", run: "run-a", turn: 1, kind: "user.message", actor: "mia", payload: #"{"text":"Grüße, 世界 🌍"}"#
        ),
        try .test(
          "e3", run: "run-a", turn: 1, kind: "agent.toolcall", actor: "agent-1",
          payload: #"{"id":9007199254740993,"price":1.50}"#, session: "s-1", profile: "fast", model: "model-x"
        ),
        try .test(
          "e4", run: "run-b", turn: -1, kind: "run.started", actor: "system", payload: "null", session: ""),
      ],
      [
        try Event(
          id: "e5", runID: "run-b", turn: 9_223_372_036_854_775_807, kind: "blob.stored", actor: "store",
          payload: [0, 255, 10, 13, 0], createdAt: .minimum, schemaVersion: -3)
      ],
      [try .test("e6", run: "run-a", payload: "", createdAt: .maximum)],
      [
        try .test(
          "e7", run: "run-b", payload: #"{"filler":"\#(String(repeating: "0123456789", count: 340))"}"#)
      ],
      // Does not fit any more: the first segment is sealed.
      [try .test("e8", run: "run-b", turn: 2, payload: #"{"n":[1,2,{"deep":true}]}"#, model: "model-y")],
      [
        try .test("e9", run: "run-c", payload: "[]"),
        try .test(
          "e10", run: "run-c", turn: 1, kind: "run.finished", actor: "system",
          payload: #"{"reason":"verdict"}"#),
      ],
    ]
  }

  /// The ledger, and a snapshot of it that is taken before it is closed.
  static func write(_ disk: MemoryFileSystem, snapshot: String? = nil) throws {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.segmentSize = 16 << 10
    let ledger = try Ledger.open(
      at: TestLog.path, options: options, fileSystem: ObservedFileSystem(disk),
      environment: SeededEnvironment(seed: 1))
    for batch in try batches() { try ledger.extend(batch) }
    if let snapshot { try ledger.snapshot(to: snapshot) }
    try ledger.close()
  }

  static func stored(_ fixture: String = "v1-sidecar2") throws -> DiskImage {
    var image = DiskImage()
    let fixtures = fixtures(fixture)
    for name in try FileManager.default.contentsOfDirectory(atPath: fixtures.path) {
      image.files[name] = Array(try Data(contentsOf: fixtures.appendingPathComponent(name)))
    }
    return image
  }

  private static func compare(_ written: DiskImage, with fixture: String) throws {
    if ProcessInfo.processInfo.environment["RUNLEDGER_WRITE_FIXTURES"] == "1" {
      try FileManager.default.createDirectory(at: fixtures(fixture), withIntermediateDirectories: true)
      for (name, bytes) in written.files {
        try Data(bytes).write(to: fixtures(fixture).appendingPathComponent(name))
      }
    }
    let stored = try stored(fixture)
    #expect(written.files.keys.sorted() == stored.files.keys.sorted())
    for (name, bytes) in stored.files {
      let other = written.files[name] ?? []
      let place = zip(bytes, other).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      #expect(bytes.count == other.count, "\(name)")
      #expect(place == nil, "\(name) differs at byte \(place ?? 0)")
    }
  }

  @Test func `the writer makes the golden ledger byte for byte`() throws {
    let disk = MemoryFileSystem()
    try Self.write(disk)
    try Self.compare(DiskImage(of: disk), with: "v1-sidecar2")
  }

  @Test func `the writer makes the golden snapshot byte for byte`() throws {
    let disk = MemoryFileSystem()
    try Self.write(disk, snapshot: "snapshot")
    try Self.compare(DiskImage(of: disk, directory: "snapshot"), with: "v1-snapshot")
  }

  @Test func `the golden snapshot is read, and written to as a ledger of its own`() throws {
    let disk = try Self.stored("v1-snapshot").disk()
    var options = LedgerOptions()
    options.access = .readOnly
    let expected = try Self.batches().flatMap(\.self)
    let reader = try Ledger.open(
      at: TestLog.path, options: options, fileSystem: disk, environment: SeededEnvironment(seed: 9))
    #expect(try reader.events().map(\.event) == expected)
    let writer = try Ledger.open(
      at: TestLog.path, options: LedgerOptions(), fileSystem: disk, environment: SeededEnvironment(seed: 9))
    #expect(writer.epoch.parent == reader.epoch.id)
    #expect(try writer.append(.test("e11")).offset == 11)
    try writer.close()
  }

  @Test(arguments: ["v1", "v1-index2", "v1-sidecar2"])
  func `the reader finds every event of the golden ledger`(
    fixture: String
  ) throws {
    let disk = try Self.stored(fixture).disk()
    var options = LedgerOptions()
    options.access = .readOnly
    let ledger = try Ledger.open(
      at: TestLog.path, options: options, fileSystem: disk, environment: SeededEnvironment(seed: 9))
    let expected = try Self.batches().flatMap(\.self)
    #expect(try ledger.events().map(\.event) == expected)
    #expect(try ledger.events().map(\.offset) == (1...10).map { Offset($0) })
    #expect(try ledger.runs() == ["run-a", "run-b", "run-c"])
    #expect(ledger.size.segments == 2)
    #expect(ledger.durableOffset == 10)
    #expect(ledger.recovery.outcome == .clean)
    // A sidecar of an older version is as good as none.
    #expect(ledger.recovery.records == (fixture == "v1-sidecar2" ? 0 : 10))
    for event in expected { #expect(try ledger.event(id: event.id)?.event == event) }
  }

  @Test func `the golden ledger can be written on`() throws {
    let disk = try Self.stored().disk()
    let ledger = try Ledger.open(
      at: TestLog.path, options: LedgerOptions(), fileSystem: disk, environment: SeededEnvironment(seed: 9))
    #expect(try ledger.append(.test("e11")).offset == 11)
    #expect(try ledger.append(Self.batches()[1][1]).outcome == .duplicate)
    try ledger.close()
  }
}
