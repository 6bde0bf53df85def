import Foundation
import LogEngine
import PlatformIO
import RunLedger
import StorageTesting
import Testing

/// The golden ledger of format version 1: what it holds is written here, its bytes are in Fixtures/v1.
///
/// The files are frozen. A change that makes these tests fail changes the format, and needs a new version and a new
/// fixture beside this one. `RUNLEDGER_WRITE_FIXTURES=1 swift test --filter GoldenLedger` writes the files anew.
@Suite struct GoldenLedgerTests {
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
    "Fixtures/v1")

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

  static func write(_ disk: MemoryFileSystem) throws {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.segmentSize = 16 << 10
    let ledger = try Ledger.open(
      at: TestLog.path, options: options, fileSystem: disk, environment: SeededEnvironment(seed: 1))
    for batch in try batches() { try ledger.extend(batch) }
    try ledger.close()
  }

  static func stored() throws -> DiskImage {
    var image = DiskImage()
    for name in try FileManager.default.contentsOfDirectory(atPath: fixtures.path) {
      image.files[name] = Array(try Data(contentsOf: fixtures.appendingPathComponent(name)))
    }
    return image
  }

  @Test func `the writer makes the golden ledger byte for byte`() throws {
    let disk = MemoryFileSystem()
    try Self.write(disk)
    let written = try DiskImage(of: disk)
    if ProcessInfo.processInfo.environment["RUNLEDGER_WRITE_FIXTURES"] == "1" {
      try FileManager.default.createDirectory(at: Self.fixtures, withIntermediateDirectories: true)
      for (name, bytes) in written.files {
        try Data(bytes).write(to: Self.fixtures.appendingPathComponent(name))
      }
    }
    let stored = try Self.stored()
    #expect(written.files.keys.sorted() == stored.files.keys.sorted())
    for (name, bytes) in stored.files {
      let other = written.files[name] ?? []
      let place = zip(bytes, other).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      #expect(bytes.count == other.count, "\(name)")
      #expect(place == nil, "\(name) differs at byte \(place ?? 0)")
    }
  }

  @Test func `the reader finds every event of the golden ledger`() throws {
    let disk = try Self.stored().disk()
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
