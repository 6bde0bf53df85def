import Foundation
import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// What a salvage takes from a damaged ledger, and what it leaves when it fails.
@Suite struct SalvageTests {
  private let place = TemporaryDirectory()
  private var old: String { place.path + "/old" }
  private var new: String { place.path + "/new" }

  private func open(
    _ path: String, kindRule: KindRule = .dotted, segmentSize: UInt64 = 16 << 10
  ) throws -> Ledger {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.kindRule = kindRule
    options.segmentSize = segmentSize
    return try Ledger.open(at: path, options: options)
  }

  private func event(_ id: String, kind: String, _ byteCount: Int = 2) throws -> Event {
    try Event(
      id: id, runID: "run", turn: 0, kind: kind, actor: "a",
      payload: Array(("\"" + String(repeating: "x", count: byteCount - 2) + "\"").utf8), createdAt: .minimum,
      kindRule: .anyText)
  }

  private func ids(_ path: String) throws -> [String] {
    let ledger = try Ledger.open(at: path)
    defer { #expect(throws: Never.self) { try ledger.close() } }
    return try ledger.events().map(\.event.id)
  }

  @Test func `pages that the disk does not give cost the events in them, and are named`() throws {
    let ledger = try open(old, segmentSize: 64 << 10)
    for number in 0..<60 { try ledger.append(event("e\(number)", kind: "a.b", 300)) }
    try ledger.close()
    let page = UInt64(12288)
    let failing = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .read, call.name == "00000001.seg", let start = call.position,
        let count = call.count
      else { return nil }
      return start < page + 4096 && start + UInt64(count) > page ? .io : nil
    }
    let found = try Ledger.salvage(from: old, into: new, fileSystem: failing)
    let unreadable = found.damage.filter { $0.kind == .unreadable }
    #expect(unreadable.map(\.file) == ["00000001.seg"])
    #expect(unreadable.map(\.bytes) == [page..<page + 4096])
    let lost = found.damage.filter { $0.kind != .unreadable }
    #expect(lost.count == 1)
    let offsets = try #require(lost.first).offsets
    // Those that lie in the page or reach into it, and no other.
    #expect((8...14).contains(offsets.upperBound.rawValue - offsets.lowerBound.rawValue))
    #expect(
      try ids(new)
        == (0..<60).filter { !offsets.contains(Offset(UInt64($0 + 1))) }.map { "e\($0)" })
    #expect(throws: LogError.self) {
      try SegmentedLog.verify(
        at: old, application: ApplicationTag(id: LedgerOptions.applicationID), fileSystem: failing,
        check: { _, _ in true }
      )
    }
  }

  @Test func `headers that the disk does not give cost what only they could tell`() throws {
    let ledger = try open(old)
    for number in 0..<60 { try ledger.append(event("e\(number)", kind: "a.b", 300)) }
    let segments = ledger.size.segments
    try ledger.close()
    try #require(segments > 4)
    let failing = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .read, let start = call.position, let count = call.count else { return nil }
      // One copy of the first segment's header, and both of the second's.
      switch call.name {
      case "00000001.seg": return start < 4096 ? .io : nil
      case "00000002.seg": return start < 8192 && count > 0 ? .io : nil
      default: return nil
      }
    }
    let found = try Ledger.salvage(from: old, into: new, fileSystem: failing)
    let unreadable = found.damage.filter { $0.kind == .unreadable }
    #expect(unreadable.map(\.file) == ["00000001.seg", "00000002.seg"])
    #expect(unreadable.map(\.bytes) == [0..<4096, 0..<8192])
    #expect(
      found.damage == found.damage.sorted { ($0.file, $0.bytes.lowerBound) < ($1.file, $1.bytes.lowerBound) })
    let lost = try #require(found.damage.first { $0.file == "00000002.seg" && !$0.offsets.isEmpty }).offsets
    #expect(try ids(new) == (0..<60).filter { !lost.contains(Offset(UInt64($0 + 1))) }.map { "e\($0)" })
  }

  @Test func `checking and salvaging keep few files open, however many segments there are`() throws {
    let ledger = try open(old)
    for number in 0..<200 { try ledger.append(event("e\(number)", kind: "a.b", 300)) }
    try #require(ledger.size.segments > 16)
    try ledger.close()
    let salvaging = ObservedFileSystem(DiskFileSystem.shared)
    _ = try Ledger.salvage(from: old, into: new, fileSystem: salvaging)
    #expect(salvaging.mostOpenFiles < 4)
    let verifying = ObservedFileSystem(DiskFileSystem.shared)
    _ = try SegmentedLog.verify(
      at: old, application: ApplicationTag(id: LedgerOptions.applicationID), fileSystem: verifying,
      threads: 1,
      progress: { _, _ in }, check: { _, _ in true })
    #expect(verifying.mostOpenFiles < 4)
  }

  @Test func `a large event is a batch by itself`() throws {
    let ledger = try open(old, segmentSize: 64 << 20)
    for (id, count) in [("small", 100), ("large", 9 << 20), ("last", 100)] {
      try ledger.append(event(id, kind: "a.b", count))
    }
    try ledger.close()
    #expect(try Ledger.salvage(from: old, into: new).events == 3)
    #expect(try ids(new) == ["small", "large", "last"])
    var sharesBatch: [Bool] = []
    try SegmentedLog.inspect(at: new) { part in
      if case .frame(let frame) = part, frame.kind == "record" { sharesBatch.append(frame.continues) }
      return true
    }
    #expect(sharesBatch == [false, false, false])
  }

  @Test func `an event that breaks the ledger's rule for kinds is reported, and the others are copied`()
    throws
  {
    try open(old).close()
    var options = LogOptions()
    options.application = ApplicationTag(id: LedgerOptions.applicationID)
    let log = try SegmentedLog.open(at: old, options: options)
    for (id, kind) in [("one", "a.b"), ("two", "tool_call"), ("three", "a.b")] {
      var batch = RecordBatch()
      let event = try event(id, kind: kind)
      try batch.appendRecord { EventRecord.encode(event, into: &$0) }
      try log.append(&batch)
    }
    try log.close()
    let found = try Ledger.salvage(from: old, into: new)
    #expect(found.damage.map(\.kind) == [.record])
    #expect(found.damage.map(\.offsets) == [2..<3])
    #expect(try ids(new) == ["one", "three"])
  }

  @Test func `another log's segment in the directory does not decide on the rule for kinds`() throws {
    let ledger = try open(old)
    for number in 1...3 { try ledger.append(event("e-\(number)", kind: "a.b")) }
    try ledger.close()
    let other = try open(place.path + "/other", kindRule: .anyText)
    while other.size.segments < 2 {
      try other.append(other.makeEvent(run: "r", turn: 0, kind: "tool_call", actor: "a", payload: "{}"))
    }
    try other.close()
    try FileManager.default.copyItem(
      atPath: place.path + "/other/00000002.seg", toPath: old + "/00000002.seg")
    let found = try Ledger.salvage(from: old, into: new)
    #expect(found.damage.contains { $0.kind == .foreign })
    let salvaged = try Ledger.open(at: new)
    #expect(salvaged.kindRule == .dotted)
    #expect(try salvaged.events().map(\.event.id) == ["e-1", "e-2", "e-3"])
  }

  @Test func `a writer that drops segments meanwhile ends a salvage, and nothing of it is left`() throws {
    let ledger = try open(old)
    while ledger.size.segments < 2 {
      try ledger.append(ledger.makeEvent(run: "r", turn: 0, kind: "a.b", actor: "a", payload: "{}"))
    }
    // The second segment is opened twice to see whose it is, then for its header, and again when the first has been read.
    let openings = Locked(0)
    let disk = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .open, call.name == "00000002.seg" else { return nil }
      let isSecond = openings.withLock { openings in
        openings += 1
        return openings == 4
      }
      do throws(LedgerError) {
        if isSecond { try ledger.reset() }
        return nil
      } catch {
        return .other
      }
    }
    let error = try #require(throws: LedgerError.self) {
      try Ledger.salvage(from: old, into: new, fileSystem: disk)
    }
    #expect(error.log?.code == .changedMeanwhile)
    #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["old"])
    #expect(try Ledger.salvage(from: old, into: new).events == 0)
  }

  @Test func `a segment that is gone before anything was read of it is nobody's loss`() throws {
    let ledger = try open(old)
    while ledger.size.segments < 3 { try ledger.append(event("\(ledger.latestOffset)", kind: "a.b", 300)) }
    let isFirst = Locked(true)
    let disk = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .open, call.name == "00000001.seg" else { return nil }
      let mustReset = isFirst.withLock { isFirst in
        defer { isFirst = false }
        return isFirst
      }
      do throws(LedgerError) {
        if mustReset { try ledger.reset() }
        return nil
      } catch {
        return .other
      }
    }
    let found = try Ledger.salvage(from: old, into: new, fileSystem: disk)
    #expect(found.damage.isEmpty)
    #expect(found.events == 0)
  }

  @Test func `what stands under the unfinished ledger's name is left alone, and named`() throws {
    try open(old).close()
    try open(new + ".partial").close()
    let error = try #require(throws: LedgerError.self) { try Ledger.salvage(from: old, into: new) }
    #expect(error.log?.code == .alreadyExists)
    #expect(error.log?.path == new + ".partial")
    #expect(error.description.contains("remove it, or choose another path"))
    #expect(try ids(new + ".partial").isEmpty)
  }
}
