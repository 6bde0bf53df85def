import Foundation
import LogEngine
import PlatformIO
import RunLedger
import StorageTesting
import Synchronization
import Testing

/// Contract, section 4: snapshots and what becomes of them, with the acceptance cases' numbers; and retention.
@Suite struct CopyContractTests {
  /// A place for copies on the disk, which a ledger in memory is copied to as well.
  private func open(_ path: String, _ change: (inout LedgerOptions) -> Void = { _ in }) throws -> Ledger {
    var options = LedgerOptions()
    change(&options)
    return try Ledger.open(at: path, options: options)
  }

  private func events(_ count: Int, payload: Int = 0) throws -> [Event] {
    let text = #"{"x":"\#(String(repeating: "x", count: payload))"}"#
    return try (1...count).map { number in
      try Event.test(
        "\(number)", run: "run-\(number % 3)", turn: Int64(number), payload: text,
        createdAt: try #require(Timestamp(seconds: 1_700_000_000 + Int64(number))))
    }
  }

  @Test(arguments: Backend.allCases)
  func `Case 18: the snapshot of five events opens with the same events and offsets`(backend: Backend) throws
  {
    let place = backend.place()
    defer { place.stay() }
    let copies = TemporaryDirectory()
    let ledger = try place.open()
    let five = try events(5)
    try ledger.extend(five)
    let copy = try ledger.snapshot(to: copies.path + "/copy")
    #expect(copy.latestOffset == 5)
    let snapshot = try open(copies.path + "/copy") { $0.access = .readOnly }
    #expect(try snapshot.events().map(\.event) == five)
    #expect(try snapshot.events().map(\.offset) == [1, 2, 3, 4, 5])
    #expect(try snapshot.runs() == ledger.runs())
    #expect(snapshot.latestOffset == 5)
  }

  @Test func `Case 19: a ledger as its own snapshot's destination is an error, and nothing is lost`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/ledger"
    let ledger = try open(path) { $0.creation = .createIfMissing }
    try ledger.extend(events(5))
    let link = place.path + "/link"
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
    for destination in [path, path + "/", place.path + "/./ledger", link + "/.", path + "/copy", link] {
      for replacing in [false, true] {
        let error = try #require(throws: LedgerError.self) {
          try ledger.snapshot(to: destination, replacing: replacing)
        }
        #expect([.badDestination, .alreadyExists].contains(error.log?.code), "\(destination): \(error)")
      }
    }
    #expect(try ledger.events().count == 5)
    try ledger.append(.test("six"))
    try ledger.close()
    #expect(try open(path).events().count == 6)
    #expect(try FileManager.default.contentsOfDirectory(atPath: place.path).sorted() == ["ledger", "link"])
  }

  @Test func `Case 19: a snapshot killed midway leaves no file at the destination`() throws {
    for stop in 0..<14 {
      let place = TemporaryDirectory()
      let left = Locked(stop)
      let disk = ObservedFileSystem(DiskFileSystem())
      var options = LedgerOptions()
      options.creation = .createIfMissing
      let ledger = try Ledger.open(
        at: place.path + "/ledger", options: options, fileSystem: disk, environment: SystemEnvironment())
      try ledger.extend(events(5))
      disk.observe { call in
        // Sidecars come when their thread gets to them.
        guard call.isMutation, !call.name.contains(".idx") else { return nil }
        return left.withLock { left in
          left -= 1
          return left < 0 ? .io : nil
        }
      }
      let isMade = (try? ledger.snapshot(to: place.path + "/copy")) != nil
      disk.observe { _ in nil }
      let isThere = FileManager.default.fileExists(atPath: place.path + "/copy")
      // Only its last operation, the sync of the name, can fail behind the name.
      #expect(isThere == isMade || stop == 10, "stop \(stop)")
      if isThere { #expect(try open(place.path + "/copy") { $0.access = .readOnly }.eventCount == 5) }
    }
  }

  @Test func `S2: what is at the destination is an error unless overwriting is requested`() throws {
    let place = TemporaryDirectory()
    let ledger = try open(place.path + "/ledger") { $0.creation = .createIfMissing }
    try ledger.append(.test("a"))
    try ledger.snapshot(to: place.path + "/copy")
    try ledger.append(.test("b"))
    let error = try #require(throws: LedgerError.self) { try ledger.snapshot(to: place.path + "/copy") }
    #expect(error.log?.code == .alreadyExists)
    #expect(try open(place.path + "/copy") { $0.access = .readOnly }.eventCount == 1)
    try ledger.snapshot(to: place.path + "/copy", replacing: true)
    #expect(try open(place.path + "/copy") { $0.access = .readOnly }.eventCount == 2)
  }

  @Test func `S3: a snapshot opened for writing has its own identity and knows its parent's position`() throws
  {
    let place = TemporaryDirectory()
    let ledger = try open(place.path + "/ledger") { $0.creation = .createIfMissing }
    try ledger.extend(events(5))
    let cursor = try ledger.cursor(at: 3)
    try ledger.snapshot(to: place.path + "/copy")
    // As long as nobody writes to it, it is the same history.
    #expect(
      try open(place.path + "/copy") { $0.access = .readOnly }.tail(after: cursor).map(\.offset) == [4, 5])
    let copy = try open(place.path + "/copy")
    #expect(copy.id == ledger.id)
    #expect(copy.epoch.parent == ledger.epoch.id)
    #expect(copy.epoch.parentEnd == 5)
    let error = try #require(throws: LedgerError.self) { try copy.tail(after: cursor) }
    #expect(error.code == .staleEpoch)
    #expect(error.offset == 6)
    #expect(try copy.append(.test("new")).offset == 6)
    // Its ids are known, and the source's are the source's.
    #expect(try copy.append(events(5)[0]).outcome == .duplicate)
    #expect(try ledger.event(id: "new") == nil)
  }

  @Test func `cursors are refused by a fork and by a restored ledger, with the reason`() throws {
    let place = TemporaryDirectory()
    let ledger = try open(place.path + "/ledger") { $0.creation = .createIfMissing }
    for event in try events(5) { try ledger.append(event) }
    let cursor = try ledger.cursor(at: 2)
    try ledger.fork(to: place.path + "/fork", through: 3)
    try ledger.snapshot(to: place.path + "/copy")
    try Ledger.restore(from: place.path + "/copy", to: place.path + "/restored")
    for (name, start) in [("fork", 4), ("restored", 6)] as [(String, Offset)] {
      let other = try open(place.path + "/" + name)
      let error = try #require(throws: LedgerError.self) { try other.tail(after: cursor) }
      #expect(error.code == .staleEpoch)
      #expect(error.offset == start)
      #expect(other.eventCount == Int(start.rawValue) - 1)
      #expect(other.id == ledger.id)
    }
    #expect(
      try #require(throws: LedgerError.self) {
        try Ledger.restore(from: place.path + "/ledger", to: place.path + "/x")
      }.log?.code == .notASnapshot)
  }

  @Test func `a fork within the events of one extend names the nearest ends`() throws {
    let place = TemporaryDirectory()
    let ledger = try open(place.path + "/ledger") { $0.creation = .createIfMissing }
    try ledger.append(.test("a"))
    try ledger.extend(events(5))
    let error = try #require(throws: LedgerError.self) {
      try ledger.fork(to: place.path + "/fork", through: 4)
    }
    #expect(error.log?.code == .notABatchEnd)
    #expect(error.log?.offsets == 2..<7)
    #expect(error.description.contains("1 and 6"))
  }

  @Test func `appends go on while a copy is made, also with a trim waiting for it to end`() throws {
    let place = TemporaryDirectory()
    let disk = ObservedFileSystem(DiskFileSystem())
    var options = LedgerOptions()
    options.creation = .createIfMissing
    let ledger = try Ledger.open(
      at: place.path + "/ledger", options: options, fileSystem: disk, environment: SystemEnvironment())
    try ledger.extend(events(5))
    let worker = Worker()
    let trimmed = Monitor(UInt64?.none)
    disk.observe { call in
      guard call.operation == .link, call.name == "00000001.seg" else { return nil }
      _ = worker.perform {
        do throws(LedgerError) {
          let records = try ledger.trim(before: 100).records
          trimmed.update { $0 = records }
        } catch {
          Issue.record(error)
        }
      }
      Thread.sleep(forTimeInterval: 0.1)
      do {
        #expect(trimmed.update { $0 } == nil, "what is being copied is not dropped")
        #expect(try ledger.append(.test("meanwhile")).offset == 6)
      } catch {
        Issue.record(error)
      }
      return nil
    }
    #expect(try ledger.snapshot(to: place.path + "/copy").latestOffset == 5)
    #expect(trimmed.wait { $0 } == 6)
    #expect(try open(place.path + "/copy") { $0.access = .readOnly }.eventCount == 5)
  }

  // MARK: Retention

  private func small(_ path: String) throws -> Ledger {
    try open(path) {
      $0.creation = .createIfMissing
      $0.segmentSize = 16 << 10
    }
  }

  /// As opening builds it.
  private func expectIndexOfReopened(_ ledger: Ledger, _ path: String) throws {
    let fresh = try open(path) { $0.access = .readOnly }
    #expect(ledger.eventCount == fresh.eventCount)
    #expect(try ledger.runCount == fresh.runCount)
    #expect(try ledger.runs() == fresh.runs())
    #expect(try ledger.events() == fresh.events())
    for run in try fresh.runs() { #expect(try ledger.events(run: run) == fresh.events(run: run)) }
    for field in [PostingField.kind, .actor, .session, .model] {
      for value in ["clue.found", "alice", "s-1", "m-1"] {
        var offsets: [[Offset]] = [[], []]
        for (place, ledger) in [ledger, fresh].enumerated() {
          try ledger.forEachEvent(field, value) { view in
            offsets[place].append(view.offset)
            return true
          }
        }
        #expect(offsets[0] == offsets[1])
      }
    }
  }

  @Test func `what a trim drops is in no index any more, and its ids are free`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/ledger"
    let ledger = try small(path)
    try ledger.append(.test("first", run: "gone", session: "s-1", model: "m-1"))
    let text = #"{"x":"\#(String(repeating: "x", count: 900))"}"#
    for number in 0..<40 {
      // From some offset on the runs come in another order.
      let run = number < 20 ? "run-\(number % 4)" : "run-\(3 - number % 4)"
      try ledger.append(.test("\(number)", run: run, payload: text, session: number % 5 == 0 ? "s-1" : nil))
    }
    let cursor = try ledger.cursor(at: 40)
    let trimmed = try ledger.trim(before: 22)
    #expect(trimmed.records > 15)
    #expect(ledger.firstOffset == Offset(trimmed.records + 1))
    #expect(ledger.eventCount == 41 - Int(trimmed.records))
    #expect(try !ledger.runs().contains("gone"))
    #expect(try ledger.event(id: "first") == nil)
    #expect(try ledger.events(run: "gone").isEmpty)
    #expect(try ledger.tail(after: cursor).map(\.offset) == [41])
    try expectIndexOfReopened(ledger, path)
    #expect(try ledger.append(.test("first", run: "gone", turn: 9)).offset == 42)
    #expect(try ledger.append(.test("39", run: "other"), onConflict: .ignore).outcome == .duplicate)
    try expectIndexOfReopened(ledger, path)
    try ledger.close()
    #expect(try open(path).event(id: "first")?.offset == 42)
  }

  @Test func `segments go by the time of their newest event, and only from the front`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/ledger"
    let ledger = try small(path)
    for event in try events(40, payload: 900) { try ledger.append(event) }
    let time = try #require(Timestamp(seconds: 1_700_000_020))
    #expect(try ledger.trim(olderThan: Timestamp(seconds: 1_700_000_001)).records == 0)
    let trimmed = try ledger.trim(olderThan: time)
    #expect(trimmed.records > 10 && trimmed.records < 20)
    // The first segment that stays holds an event of that time or later.
    #expect(try ledger.events().prefix(4).contains { $0.event.createdAt >= time })
    try expectIndexOfReopened(ledger, path)
    // A new event with an old time keeps nothing, and goes with nothing.
    try ledger.append(.test("old", createdAt: .minimum))
    #expect(try ledger.trim(olderThan: time).records == 0)
    #expect(try ledger.trim(olderThan: .maximum).records > 20)
    #expect(ledger.eventCount == 0)
    #expect(try ledger.lastEvent() == nil)
    #expect(try ledger.append(.test("new")).offset == 42)
  }

  @Test func `so many bytes are kept at most, the last events always, and again drops nothing`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/ledger"
    let ledger = try small(path)
    for event in try events(40, payload: 900) { try ledger.append(event) }
    for limit in [80 << 10, 50 << 10, 0] as [UInt64] {
      let trimmed = try ledger.trim(keepingBytes: limit)
      #expect(trimmed.records > 0)
      #expect(ledger.eventCount > 0)
      if limit > 0 { #expect(ledger.size.bytes <= limit + 2 * 8192 + 200) }
      #expect(try ledger.trim(keepingBytes: limit) == ledger.trim(before: 0))
    }
    #expect(ledger.latestOffset == 40)
    try expectIndexOfReopened(ledger, path)
  }

  @Test func `a reader of a run goes on behind a trim of what it has read, and is told of more`() throws {
    let place = TemporaryDirectory()
    let ledger = try small(place.path + "/ledger")
    for number in 0..<600 {
      try ledger.append(
        .test("\(number)", run: "one", payload: #"{"x":"\#(String(repeating: "x", count: 500))"}"#))
    }
    var seen: [Offset] = []
    try ledger.forEachEvent(run: "one") { view throws(LedgerError) in
      seen.append(view.offset)
      // Offsets are looked up 256 at a time.
      if view.offset == 300 { try ledger.trim(before: 200) }
      return true
    }
    #expect(seen == (1...600).map { Offset(UInt64($0)) })
    #expect(ledger.firstOffset > 190)
    let error = try #require(throws: LedgerError.self) {
      try ledger.forEachEvent(run: "one") { view throws(LedgerError) in
        if view.offset == 300 { try ledger.trim(before: 590) }
        return true
      }
    }
    #expect(error.log?.code == .offsetNotKept)
  }

  @Test func `appends, lookups, snapshots and trims at once agree`() throws {
    let place = TemporaryDirectory()
    let path = place.path + "/ledger"
    let ledger = try open(path) {
      $0.creation = .createIfMissing
      $0.segmentSize = 64 << 10
      $0.syncPolicy = .never
    }
    let ended = Monitor(0)
    let workers = (0..<2).map { _ in Worker() }
    for (number, worker) in workers.enumerated() {
      _ = worker.perform {
        do {
          for turn in 0..<3000 {
            let receipt = try ledger.append(.test("\(number)-\(turn)", run: "run-\(number)"))
            #expect(receipt.outcome == .appended)
            _ = try ledger.event(id: "\(number)-\(turn / 2)")
          }
        } catch {
          Issue.record(error)
        }
        ended.update { $0 += 1 }
      }
    }
    var round = 0
    while ended.update({ $0 }) < 2 {
      let known = ledger.latestOffset
      if known.rawValue > 200 { try ledger.trim(before: Offset(known.rawValue - 200)) }
      let copy = try ledger.snapshot(to: place.path + "/copy", replacing: round > 0)
      #expect(copy.latestOffset >= known)
      round += 1
    }
    #expect(ledger.latestOffset == 6000)
    try expectIndexOfReopened(ledger, path)
    let copy = try open(place.path + "/copy")
    #expect(copy.recovery.damage.isEmpty)
  }
}
