import Foundation
import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// What becomes of calls that meet a reset, a close, or a caller's surprises.
@Suite struct LedgerHandleTests {
  private func event(_ ledger: Ledger, run: String = "r") throws(LedgerError) -> Event {
    try ledger.makeEvent(run: run, turn: 0, kind: "a.b", actor: "x", payload: "{}")
  }

  @Test(arguments: [1, 256, 257]) func `a reset while a run is being read ends the reading with an error`(
    moment: Int
  ) throws {
    let ledger = try Ledger.inMemory()
    let error = try error(reading: 300, of: ledger, at: moment) { () throws(LedgerError) in
      try ledger.reset()
      for _ in 0..<600 { try ledger.append(event(ledger, run: "other")) }
    }
    #expect(error.log?.code == .offsetNotKept)
    #expect(try ledger.events(run: "r").isEmpty)
    #expect(try ledger.events(run: "other").count == 600)
  }

  @Test(arguments: [1, 256, 257]) func `a close while a run is being read ends the reading with an error`(
    moment: Int
  ) throws {
    let ledger = try Ledger.inMemory()
    let error = try error(reading: 300, of: ledger, at: moment, change: ledger.close)
    #expect(error.log?.code == .closed)
  }

  /// What a reading of a run of `count` events ends with, if `change` is done at its event number `moment`.
  private func error(
    reading count: Int, of ledger: Ledger, at moment: Int, change: () throws(LedgerError) -> Void
  ) throws -> LedgerError {
    for _ in 0..<count { try ledger.append(event(ledger)) }
    var seen = 0
    let error = try #require(throws: LedgerError.self) {
      try ledger.forEachEvent(run: "r") { (view) throws(LedgerError) in
        seen += 1
        #expect(view.offset.rawValue == UInt64(seen))
        if seen == moment { try change() }
        return true
      }
    }
    #expect(seen == moment)
    return error
  }

  @Test func `a lazy collection is walked through once`() throws {
    let ledger = try Ledger.inMemory()
    let events = (0..<3).lazy.map { _ in
      do { return try event(ledger) } catch { preconditionFailure("\(error)") }
    }
    try ledger.extend(events)
    for stored in try ledger.events() {
      #expect(try ledger.event(id: stored.event.id)?.offset == stored.offset)
      #expect(try ledger.append(stored.event).outcome == .duplicate)
    }
  }

  @Test func `every read of a closed ledger is an error, also of an empty one`() throws {
    for isEmpty in [true, false] {
      let ledger = try Ledger.inMemory()
      if !isEmpty { try ledger.append(event(ledger)) }
      try ledger.close()
      #expect(throws: LedgerError.self) { try ledger.tail(after: 1) }
      #expect(throws: LedgerError.self) { try ledger.events() }
      #expect(throws: LedgerError.self) { try ledger.events(run: "r") }
      #expect(throws: LedgerError.self) { try ledger.event(id: "x") }
      #expect(throws: LedgerError.self) { try ledger.lastEvent() }
      #expect(throws: LedgerError.self) { try ledger.runs() }
      #expect(throws: LedgerError.self) { try ledger.cursor() }
      // Also where the answer would be nothing.
      #expect(throws: LedgerError.self) { try ledger.tail(limit: 0) }
      #expect(throws: LedgerError.self) { try ledger.tail(after: .max) }
      #expect(throws: LedgerError.self) { try ledger.forEachEvent(after: .max) { _ in true } }
    }
  }

  @Test func `a closed ledger says so, whatever cursor it is given`() throws {
    let (ledger, other) = (try Ledger.inMemory(), try Ledger.inMemory())
    let cursors = [try ledger.cursor(), try other.cursor()]
    try ledger.close()
    for cursor in cursors {
      let error = try #require(throws: LedgerError.self) { try ledger.tail(after: cursor) }
      #expect(error.log?.code == .closed)
    }
  }

  @Test(arguments: 0..<6)
  func `a ledger opened for reading while a writer resets it is the old one or the new`(
    moment: Int
  ) throws {
    let disk = MemoryFileSystem()
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = 16 << 10
    let ledger = try Ledger.open(
      at: "log", options: options, fileSystem: disk, environment: SeededEnvironment(seed: 1))
    let old = try event(ledger)
    try ledger.append(old)
    let count = Locked(0)
    let resetting = ObservedFileSystem(disk) { call in
      guard call.operation == .open || call.operation == .read else { return nil }
      let isNow = count.withLock { count in
        count += 1
        return count == moment + 1
      }
      guard isNow else { return nil }
      do throws(LedgerError) {
        try ledger.reset()
        return nil
      } catch {
        return .other
      }
    }
    options.access = .readOnly
    let reader = try Ledger.open(
      at: "log", options: options, fileSystem: resetting, environment: SeededEnvironment(seed: 2))
    #expect(reader.recovery.damage.isEmpty)
    let isOld = reader.firstOffset == 1
    #expect(try reader.runs() == (isOld ? ["r"] : []))
    #expect(try reader.events(run: "r").count == (isOld ? 1 : 0))
    #expect(try (reader.event(id: old.id) != nil) == isOld)
  }

  /// A ledger on a disk that tells of each read, since it maps nothing.
  private func observedLedger() throws -> (ledger: Ledger, disk: ObservedFileSystem) {
    let disk = ObservedFileSystem(MemoryFileSystem()) { $0.operation == .map ? .notSupported : nil }
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = 16 << 10
    let ledger = try Ledger.open(
      at: "log", options: options, fileSystem: disk, environment: SeededEnvironment(seed: 1))
    return (ledger, disk)
  }

  /// Does something at the next read of the disk.
  private func atNextRead(_ disk: ObservedFileSystem, _ body: @escaping @Sendable () throws -> Void) {
    let isDone = Locked(false)
    disk.observe { call in
      guard call.operation == .read else { return nil }
      let isFirst = isDone.withLock { isDone in
        defer { isDone = true }
        return !isDone
      }
      if isFirst { #expect(throws: Never.self) { try body() } }
      return nil
    }
  }

  @Test func `a reset while a cursor is followed does not slip the new epoch's events under it`() throws {
    let (ledger, disk) = try observedLedger()
    try ledger.append(.test("old"))
    let cursor = try ledger.cursor()
    // The cursor has just been found good.
    atNextRead(disk) {
      try ledger.reset()
      try ledger.append(.test("new"))
    }
    #expect(try #require(throws: LedgerError.self) { try ledger.tail(after: cursor) }.code == .staleEpoch)
  }

  @Test func `a cursor is of the epoch that its event is of`() throws {
    let (ledger, disk) = try observedLedger()
    try ledger.append(.test("old"))
    atNextRead(disk) {
      try ledger.reset()
      try ledger.append(.test("new"))
    }
    let cursor = try ledger.cursor()
    #expect(cursor.epoch == ledger.epoch.id)
    #expect(try ledger.tail(after: cursor).isEmpty)
  }

  @Test func `the last event and a cursor are there, however often the ledger is reset meanwhile`() throws {
    let ledger = try Ledger.inMemory(options: LedgerOptions())
    let isDone = Locked(false)
    DispatchQueue.concurrentPerform(iterations: 2) { role in
      do {
        if role == 0 {
          defer { isDone.withLock { $0 = true } }
          let end = Date(timeIntervalSinceNow: 0.3)
          while Date() < end {
            try ledger.append(.test("event"))
            try ledger.reset()
          }
        } else {
          while !isDone.withLock({ $0 }) {
            _ = try ledger.lastEvent()
            _ = try ledger.cursor()
          }
        }
      } catch {
        Issue.record("\(error)")
      }
    }
  }

  @Test func `what a caller's own closure throws reaches the caller`() throws {
    let ledger = try Ledger.inMemory()
    try ledger.append(.test("gone"))
    try ledger.reset()
    try ledger.append(.test("there"))
    let error = try #require(throws: LedgerError.self) {
      try ledger.withEvent(id: "there") { (_) throws(LedgerError) in _ = try ledger.event(at: 1) }
    }
    #expect(error.log?.code == .offsetNotKept)
  }

  @Test func `one id in many records costs no more than as many ids`() throws {
    // No writer stores an id twice; a log that was written by another program might.
    let disk = MemoryFileSystem()
    var options = LogOptions()
    options.creation = .createIfMissing
    options.syncPolicy = .never
    options.application = ApplicationTag(id: LedgerOptions.applicationID)
    let log = try SegmentedLog.open(
      at: "log", options: options, fileSystem: disk, environment: SeededEnvironment(seed: 1))
    let ledger = try Ledger.inMemory()
    let event = try event(ledger)
    var batch = RecordBatch()
    for _ in 0..<40_000 { try batch.appendRecord { EventRecord.encode(event, into: &$0) } }
    try log.append(&batch)
    try log.close()
    let opened = try Ledger.open(
      at: "log", options: LedgerOptions(), fileSystem: disk, environment: SeededEnvironment(seed: 2))
    #expect(opened.eventCount == 40_000)
    #expect(try opened.event(id: event.id)?.offset == 1)
    #expect(try opened.append(event).outcome == .duplicate)
  }

  @Test func `two ids that share a slot of the index are two events`() throws {
    // The first number that an opening draws is the seed of its hashes.
    let seed = SeededEnvironment(seed: 1).randomUInt64()
    var seen: [UInt64: String] = [:]
    var pair: [String] = []
    var number = 0
    while pair.isEmpty {
      let id = "id-\(number)"
      let slot = XXH3.hash64(id.utf8Span.span.rawBytes, seed: seed) >> 32
      if let other = seen.updateValue(id, forKey: slot) { pair = [other, id] }
      number += 1
    }
    var options = LedgerOptions()
    options.creation = .createIfMissing
    let ledger = try Ledger.open(
      at: "log", options: options, fileSystem: MemoryFileSystem(), environment: SeededEnvironment(seed: 1))
    for id in pair { #expect(try ledger.append(.test(id, payload: "\"\(id)\"")).outcome == .appended) }
    for id in pair { #expect(try ledger.event(id: id)?.event.id == id) }
    for id in pair { #expect(try ledger.append(.test(id, payload: "\"\(id)\"")).outcome == .duplicate) }
  }

  @Test func `one id with two contents in a call is a conflict`() throws {
    let ledger = try Ledger.inMemory()
    let error = try #require(throws: LedgerError.self) {
      try ledger.extend([.test("p", payload: "1"), .test("p", payload: "2")])
    }
    #expect(error.code == .conflict)
    #expect(try ledger.events().isEmpty)
  }

  @Test(arguments: [SyncPolicy.always, .never])
  func `a duplicate is not acknowledged by a handle that could not store it`(policy: SyncPolicy) throws {
    let disk = MemoryFileSystem()
    let observed = ObservedFileSystem(disk)
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.syncPolicy = policy
    let ledger = try Ledger.open(
      at: "log", options: options, fileSystem: observed, environment: SeededEnvironment(seed: 1))
    try ledger.append(.test("a"))
    observed.observe { $0.operation == .sync ? .io : nil }
    #expect(throws: LedgerError.self) {
      try ledger.append(.test("b"))
      try ledger.sync()
    }
    observed.observe { _ in nil }
    #expect(
      try #require(throws: LedgerError.self) { try ledger.append(.test("a")) }.log?.code == .outcomeUnknown)
    options.access = .readOnly
    let reader = try Ledger.open(
      at: "log", options: options, fileSystem: disk, environment: SeededEnvironment(seed: 2))
    #expect(try #require(throws: LedgerError.self) { try reader.append(.test("a")) }.log?.code == .readOnly)
  }

  @Test func `a record that is no event keeps a writer out and a reader not`() throws {
    let disk = MemoryFileSystem()
    var options = LogOptions()
    options.creation = .createIfMissing
    options.application = ApplicationTag(id: LedgerOptions.applicationID)
    let log = try SegmentedLog.open(
      at: "log", options: options, fileSystem: disk, environment: SeededEnvironment(seed: 1))
    var batch = RecordBatch()
    try batch.append("no event".utf8Span.span.rawBytes)
    try log.append(&batch)
    try log.close()
    let error = try #require(throws: LedgerError.self) {
      try Ledger.open(
        at: "log", options: LedgerOptions(), fileSystem: disk, environment: SeededEnvironment(seed: 2))
    }
    #expect(error.code == .corruptEvent)
    #expect(error.offset == 1)
    var reading = LedgerOptions()
    reading.access = .readOnly
    let reader = try Ledger.open(
      at: "log", options: reading, fileSystem: disk, environment: SeededEnvironment(seed: 2))
    #expect(try #require(throws: LedgerError.self) { try reader.events() }.code == .corruptEvent)
  }
}
