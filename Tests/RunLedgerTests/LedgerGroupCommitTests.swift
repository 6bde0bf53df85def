import Foundation
import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// Calls that meet while what they decided is still on its way to the disk.
@Suite struct LedgerGroupCommitTests {
  /// A ledger whose syncs of segments can be held.
  private struct Held {
    let gate = Monitor((waiting: 0, isOpen: true, fails: false))
    let ledger: Ledger

    init() throws {
      let gate = gate
      let disk = ObservedFileSystem(MemoryFileSystem()) { call in
        guard call.operation == .sync, call.name.hasSuffix(".seg") else { return nil }
        gate.update { $0.waiting += 1 }
        let fails = gate.wait { $0.isOpen ? $0.fails : nil }
        gate.update { $0.waiting -= 1 }
        return fails ? .io : nil
      }
      var options = LedgerOptions()
      options.creation = .createIfMissing
      ledger = try Ledger.open(
        at: "log", options: options, fileSystem: disk, environment: SeededEnvironment(seed: 1))
    }

    func hold() { gate.update { $0.isOpen = false } }
    func awaitSync() { gate.wait { $0.waiting > 0 ? () : nil } }
    func open(failing: Bool = false) {
      gate.update { gate in
        gate.isOpen = true
        gate.fails = failing
      }
    }
  }

  private typealias Outcomes = Locked<[Result<Receipt, LedgerError>]>

  private func append(_ event: Event, to ledger: Ledger, _ outcomes: Outcomes, _ group: DispatchGroup) {
    group.enter()
    Thread.detachNewThread {
      let outcome = Result { () throws(LedgerError) in try ledger.append(event) }
      outcomes.withLock { $0.append(outcome) }
      group.leave()
    }
  }

  @Test(.timeLimit(.minutes(1)), arguments: [false, true])
  func `an event that is on its way is acknowledged once it is durable, to everybody or to nobody`(
    fails: Bool
  ) throws {
    let held = try Held()
    let outcomes = Outcomes([])
    let group = DispatchGroup()
    held.hold()
    let event = try Event.test("one")
    append(event, to: held.ledger, outcomes, group)
    held.awaitSync()
    // It is in the file, and nobody may hear of it.
    #expect(try held.ledger.event(id: "one") == nil)
    #expect(held.ledger.latestOffset == 0)
    for _ in 0..<4 { append(event, to: held.ledger, outcomes, group) }
    append(try .test("one", payload: "\"other\""), to: held.ledger, outcomes, group)
    while held.ledger.log.waitingAppends < 5 { Thread.sleep(forTimeInterval: 0.001) }
    #expect(outcomes.withLock { $0.isEmpty })
    held.open(failing: fails)
    group.wait()
    let words = outcomes.withLock { $0 }.map { outcome in
      switch outcome {
      case .success(let receipt): "\(receipt.outcome) \(receipt.offset) \(receipt.durability)"
      case .failure(let error): error.log?.code.description ?? error.code.description
      }
    }
    if fails {
      #expect(words == Array(repeating: "outcomeUnknown", count: 6))
    } else {
      #expect(
        words.sorted() == ["appended 1 durable", "conflict"]
          + Array(repeating: "duplicate 1 durable", count: 4))
      #expect(try held.ledger.events().count == 1)
    }
  }

  @Test(.timeLimit(.minutes(1)), arguments: [false, true])
  func `a call waits for the events of a task, and not for the task`(fails: Bool) async throws {
    let armed = Locked(false)
    let disk = ObservedFileSystem(MemoryFileSystem()) { call in
      guard call.operation == .write else { return nil }
      return armed.withLock { armed in
        defer { armed = false }
        return armed ? .noSpace : nil
      }
    }
    var options = LedgerOptions()
    options.creation = .createIfMissing
    let ledger = try Ledger.open(
      at: "log", options: options, fileSystem: disk, environment: SeededEnvironment(seed: 1))
    armed.withLock { $0 = fails }
    let event = try Event.test("one")
    let executor = HeldExecutor()
    let task = Task(executorPreference: executor) { try await ledger.append(event) }
    // It decides and queues, and will not hear what becomes of that until it is let go.
    executor.step()
    #expect(try append(event, to: ledger).outcome == (fails ? .appended : .duplicate))
    executor.letGo()
    if fails {
      await #expect(throws: LedgerError.self) { try await task.value }
    } else {
      #expect(try await task.value.outcome == .appended)
    }
  }

  /// The blocking append, which an asynchronous test would else not get.
  private func append(_ event: Event, to ledger: Ledger) throws(LedgerError) -> Receipt {
    try ledger.append(event)
  }

  @Test(.timeLimit(.minutes(1))) func `what was decided before a reset is stored before it`() throws {
    let held = try Held()
    let ledger = held.ledger
    try ledger.append(.test("stored"))
    let outcomes = Outcomes([])
    let group = DispatchGroup()
    held.hold()
    append(try .test("first"), to: ledger, outcomes, group)
    held.awaitSync()
    let receipts = Locked<[Receipt]>([])
    let events = [try Event.test("stored"), try Event.test("new")]
    group.enter()
    Thread.detachNewThread {
      do {
        let stored = try ledger.extend(events)
        receipts.withLock { $0 = stored }
      } catch {
        Issue.record("\(error)")
      }
      group.leave()
    }
    while ledger.log.waitingAppends < 1 { Thread.sleep(forTimeInterval: 0.001) }
    group.enter()
    Thread.detachNewThread {
      do { try ledger.reset() } catch { Issue.record("\(error)") }
      group.leave()
    }
    // The reset takes its place in the order, too.
    for _ in 0..<1000 where ledger.log.waitingAppends < 2 { Thread.sleep(forTimeInterval: 0.001) }
    #expect(ledger.log.waitingAppends == 2)
    held.open()
    group.wait()
    #expect(receipts.withLock { $0.map(\.offset) } == [1, 3])
    #expect(try ledger.events().isEmpty)
    #expect(ledger.firstOffset == 4)
    #expect(try ledger.append(.test("new")).outcome == .appended)
  }

  @Test(.timeLimit(.minutes(1))) func `tasks append at once, each event once, and find what they stored`()
    async throws
  {
    let place = Backend.disk.place()
    defer { place.stay() }
    let ledger = try place.open()
    try await withThrowingTaskGroup(of: Receipt.self) { group in
      for number in 0..<300 {
        group.addTask {
          let event = try Event.test("e-\(number / 3)", run: "run")
          let receipt = try await ledger.append(event)
          #expect(try ledger.event(id: event.id)?.offset == receipt.offset)
          #expect(receipt.durability == .durable)
          return receipt
        }
      }
      var appended = 0
      for try await receipt in group where receipt.outcome == .appended { appended += 1 }
      #expect(appended == 100)
    }
    #expect(try ledger.events(run: "run").map(\.offset.rawValue) == Array(1...100))
    try ledger.close()
  }

  @Test(.timeLimit(.minutes(1))) func `appends and resets at once leave an index that is the log's`() throws {
    let place = Backend.disk.place()
    defer { place.stay() }
    let ledger = try place.open { $0.syncPolicy = .never }
    DispatchQueue.concurrentPerform(iterations: 6) { thread in
      do {
        for number in 0..<200 {
          if thread == 0, number % 20 == 10 { try ledger.reset() }
          try ledger.append(.test("\(thread)-\(number % 50)", run: "run-\(thread)"))
        }
      } catch {
        Issue.record("\(error)")
      }
    }
    let events = try ledger.events()
    #expect(Set(events.map(\.event.id)).count == events.count, "no id is stored twice in an epoch")
    for stored in events { #expect(try ledger.event(id: stored.event.id)?.offset == stored.offset) }
    for thread in 0..<6 {
      let run = events.filter { $0.event.runID == "run-\(thread)" }
      #expect(try ledger.events(run: "run-\(thread)") == run)
    }
    #expect(ledger.eventCount == events.count)
  }

  @Test(arguments: [1, 3]) func `what one thread appends under an interval is durable when it has passed`(
    count: Int
  ) throws {
    let environment = SeededEnvironment(seed: 1)
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.syncPolicy = .interval(.milliseconds(100))
    let ledger = try Ledger.open(
      at: TestLog.path, options: options, fileSystem: MemoryFileSystem(), environment: environment)
    let events = try (0..<count).map { try Event.test("id-\($0)", run: "run") }
    if count == 1 { try ledger.append(events[0]) } else { try ledger.extend(events) }
    environment.advance(by: .milliseconds(99))
    #expect(ledger.durableOffset == 0)
    environment.advance(by: .milliseconds(1))
    #expect(ledger.durableOffset == Offset(UInt64(count)))
  }
}
