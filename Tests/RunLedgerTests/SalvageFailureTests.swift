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

  @Test func `a new ledger whose files' paths would be too long is not left behind`() throws {
    try filled(3)
    let disk = DiskFileSystem.shared
    // Room for the directory's name with what it has while it is not complete, and for no name in it.
    var directory = place.path
    while directory.utf8.count < 4085 - 300 {
      directory += "/" + String(repeating: "d", count: 200)
      _ = try disk.createDirectory(directory)
    }
    let rest = 4085 - directory.utf8.count - 2
    directory += "/" + String(repeating: "d", count: rest / 2)
    _ = try disk.createDirectory(directory)
    let path = directory + "/" + String(repeating: "n", count: rest - rest / 2)
    let error = try #require(throws: LedgerError.self) { try Ledger.salvage(from: old, into: path) }
    #expect(error.log?.cause?.code == .invalidPath)
    #expect(try disk.entries(of: directory).isEmpty)
  }

  @Test func `a new ledger that loses its records while it is filled is not left behind`() throws {
    // Among the records is one that is there twice, so that what is stored of it has to be read.
    var options = LogOptions()
    options.creation = .createIfMissing
    options.application = ApplicationTag(id: LedgerOptions.applicationID)
    options.syncPolicy = .never
    let log = try SegmentedLog.open(at: old, options: options)
    let text = "\"" + String(repeating: "x", count: 1000) + "\""
    var batch = RecordBatch()
    for number in 0..<3500 {
      let event = try Event.test("e\(number == 2900 ? 0 : number)", payload: text)
      try batch.appendRecord { EventRecord.encode(event, into: &$0) }
      if batch.count == 100 { try log.append(&batch) }
    }
    try log.close()
    let partial = new + ".partial"
    let clearing = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .read, call.position ?? 0 >= 3 << 20 else { return nil }
      do {
        let zeros = [UInt8](repeating: 0, count: 8192)
        try DiskFileSystem.shared.open(partial + "/00000001.seg", .readWrite)
          .write(zeros.span.rawBytes, at: 8192)
        return nil
      } catch {
        return .other
      }
    }
    let error = try #require(throws: LedgerError.self) {
      try Ledger.salvage(from: old, into: new, fileSystem: clearing)
    }
    #expect(error.log?.code == .damaged)
    #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["old"])
    let found = try Ledger.salvage(from: old, into: new)
    #expect(found.events == 3499 && found.repeats == 1)
  }

  @Test func `a new ledger that is gone before it has its name is not left behind`() throws {
    try filled(3000)
    let partial = new + ".partial"
    let isFirst = Locked(true)
    let removing = ObservedFileSystem(DiskFileSystem.shared) { call in
      guard call.operation == .read, call.position ?? 0 >= 8192 else { return nil }
      let mustRemove = isFirst.withLock { isFirst in
        defer { isFirst = false }
        return isFirst
      }
      do {
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
