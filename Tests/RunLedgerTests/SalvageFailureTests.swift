import Foundation
import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// A salvage that meets what it cannot get past, and what it then leaves.
@Suite struct SalvageFailureTests {
  private let place = TemporaryDirectory()
  private var old: String { place.path + "/old" }
  private var new: String { place.path + "/new" }

  private func filled(_ count: Int, payload: Int = 2) throws {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = 1 << 20
    let ledger = try Ledger.open(at: old, options: options)
    let text = "\"" + String(repeating: "x", count: payload) + "\""
    try ledger.extend(try (0..<count).map { try .test("e\($0)", payload: text) })
    try ledger.close()
  }

  @Test func `an unreadable end is damage, and not an interrupted write`() throws {
    try filled(3)
    let name = old + "/00000001.seg"
    // An append that was on its way, of which the disk does not give a page.
    let file = try DiskFileSystem.shared.open(name, .readWrite)
    try file.write([UInt8](repeating: 1, count: 4096 * 3).span.rawBytes, at: 12288 + 32)
    let failing = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .read, call.name == "00000001.seg", let start = call.position,
        let count = call.count
      else { return nil }
      return start < 20480 && start + UInt64(count) > 16384 ? .io : nil
    }
    #expect(try Ledger.salvage(from: old, into: new).torn != nil)
    let found = try Ledger.salvage(from: old, into: place.path + "/other", fileSystem: failing)
    #expect(found.events == 3)
    #expect(found.torn == nil)
    #expect(found.damage.contains { $0.kind == .unreadable && $0.bytes == 16384..<20480 })
    #expect(found.damage.contains { $0.kind == .frame && $0.bytes.contains(16384) })
  }

  @Test func `a new ledger that cannot be made or filled is not left behind`() throws {
    try filled(3000)
    // The directory above goes once the old ledger is being looked at, so that nothing can be made in the new one.
    let partial = new + ".partial"
    let isFirst = Locked(true)
    let removing = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .read, call.position ?? 0 >= 8192 else { return nil }
      let mustRemove = isFirst.withLock { isFirst in
        defer { isFirst = false }
        return isFirst
      }
      do {
        // Whoever removes LOCK and the segments of the unfinished ledger breaks it.
        if mustRemove { try FileManager.default.removeItem(atPath: partial) }
        return nil
      } catch {
        return .other
      }
    }
    let error = try #require(throws: LedgerError.self) {
      try Ledger.salvage(from: old, into: new, fileSystem: removing)
    }
    #expect(error.code == .log)
    #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["old"])
    #expect(try Ledger.salvage(from: old, into: new).events == 3000)
  }
}
