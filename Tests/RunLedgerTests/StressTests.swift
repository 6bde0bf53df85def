import Foundation
import LogEngine
import PlatformIO
import RunLedger
import StorageTesting
import Testing

/// Everything at once, at random: threads and tasks append, read, sync, copy, trim and reset one ledger of tiny segments, on
/// a disk that may fail; then it is closed and opened again. `RL_STRESS_SECONDS` and `RL_STRESS_SEED` make it longer.
@Suite struct StressTests {
  private static func number(_ name: String) -> UInt64? {
    ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
  }

  @Test(.timeLimit(.minutes(20)), arguments: Backend.allCases)
  func `whatever is done at once, what was acknowledged is there and once`(backend: Backend) async throws {
    let seconds = Double(Self.number("RL_STRESS_SECONDS") ?? 2)
    let end = Date(timeIntervalSinceNow: seconds)
    var seed = Self.number("RL_STRESS_SEED") ?? UInt64.random(in: 0..<1 << 32)
    while Date() < end {
      let stress = try Stress(seed: seed, backend)
      try await stress.run(until: min(end, Date(timeIntervalSinceNow: 0.5)))
      guard stress.failures.isEmpty else {
        Issue.record("seed \(seed), \(stress): \(stress.failures.joined(separator: "; "))")
        return
      }
      seed += 1
    }
  }
}

/// One random round. What was acknowledged is remembered, and everything that is read is compared with it.
private final class Stress: Sendable, CustomStringConvertible {
  enum Faults: CaseIterable { case none, fullDisk, fatal }

  private struct Known: Sendable {
    var acknowledged: [Offset: String] = [:]
    var refused: Set<String> = []
    var durable: Offset = .zero
    /// Resets and trims that began, and that ended.
    var begun = 0
    var ended = 0
    var failures: [String] = []
    var snapshots = 0
    var isOver = false
    /// A close failed, so there may be more than was acknowledged.
    var closedInDoubt = false
    var counts: [String: Int] = [:]
  }

  private let seed: UInt64
  private let place: String
  private let directory: TemporaryDirectory?
  private let base: any FileSystem
  private let observed: ObservedFileSystem
  private let faults: Faults
  private let options: LedgerOptions
  private let ledger: Locked<Ledger>
  private let known = Locked(Known())
  private let chance: Locked<SeededGenerator>

  var failures: [String] { known.withLock { $0.failures } }
  var description: String { "\(options.syncPolicy) \(faults) quota \(options.byteQuota ?? 0)" }

  init(seed: UInt64, _ backend: Backend) throws {
    self.seed = seed
    var generator = SeededGenerator(seed: seed)
    switch backend {
    case .memory: (directory, base, place) = (nil, MemoryFileSystem(), "/")
    case .disk:
      let directory = TemporaryDirectory()
      (self.directory, base, place) = (directory, DiskFileSystem(), directory.path + "/")
    }
    observed = ObservedFileSystem(base)
    faults = Faults.allCases.randomElement(using: &generator) ?? .none
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = [16 << 10, 20 << 10, 64 << 10].randomElement(using: &generator) ?? 16 << 10
    options.syncPolicy =
      [.always, .never, .interval(.milliseconds(1)), .interval(.milliseconds(5))]
      .randomElement(using: &generator) ?? .always
    if Int.random(in: 0..<4, using: &generator) == 0 { options.byteQuota = 200 << 10 }
    self.options = options
    if backend == .memory { _ = try base.createDirectory("/") }
    ledger = Locked(
      try Ledger.open(
        at: place + "ledger", options: options, fileSystem: observed, environment: SystemEnvironment()))
    chance = Locked(generator)
  }

  // MARK: Helpers

  private func random(_ bound: Int) -> Int { chance.withLock { Int.random(in: 0..<bound, using: &$0) } }

  private func fail(_ text: String) {
    known.withLock { known in
      if known.failures.count < 5 { known.failures.append(text) }
      known.isOver = true
    }
  }

  private func expect(_ condition: Bool, _ text: @autoclosure () -> String) {
    if !condition { fail(text()) }
  }

  private func count(_ what: String) { known.withLock { $0.counts[what, default: 0] += 1 } }

  private var isOver: Bool { known.withLock { $0.isOver } }

  /// Nothing was dropped since: what was known is still true.
  private struct Epoch: Equatable {
    var begun: Int
    var ended: Int
    var isQuiet: Bool { begun == ended }
  }
  private var epoch: Epoch { known.withLock { Epoch(begun: $0.begun, ended: $0.ended) } }

  private func dropping(_ body: () throws(LedgerError) -> Void) throws(LedgerError) {
    known.withLock { $0.begun += 1 }
    defer { known.withLock { $0.ended += 1 } }
    try body()
  }

  /// What may be thrown at any time where the disk fails.
  private func isExpected(_ error: any Error) -> Bool {
    guard let error = error as? LedgerError, let code = error.log?.code else { return false }
    if code == .quotaExceeded { return options.byteQuota != nil }
    if code == .offsetNotKept || code == .closed { return true }
    return faults != .none && (code == .fileSystem || code == .outcomeUnknown)
  }

  private func tolerating(_ what: String, _ body: () throws -> Void) {
    do {
      try body()
      count(what)
    } catch {
      count(what + " failed")
      if !isExpected(error) { fail("\(what): \(error)") }
    }
  }

  // MARK: Roles

  private func id(_ role: String, _ number: Int) -> String {
    // Some ids are everybody's, and come again after they were dropped.
    random(3) == 0 ? "shared-\(random(40))" : "\(role)-\(number)"
  }

  private func events(_ role: String, _ number: Int) throws -> [Event] {
    let count = random(8) == 0 ? 1 + random(4) : 1
    let size = random(20) == 0 ? random(20 << 10) : random(300)
    var ids: Set<String> = []
    while ids.count < count { ids.insert(id(role, number * 10 + ids.count)) }
    return try ids.map { id in
      try .test(
        id, run: "run-\(id.utf8.reduce(0) { $0 &+ Int($1) } % 5)",
        payload: "\"\(String(repeating: "x", count: id.hasPrefix("shared") ? 30 : size))\"")
    }
  }

  private func durability() -> Bool? { [nil, nil, true, false][random(4)] }

  private func check(_ receipts: [Receipt], _ events: [Event], _ before: Epoch, durably: Bool?) {
    let ledger = ledger.withLock { $0 }
    let durable = ledger.durableOffset
    for (receipt, event) in zip(receipts, events) {
      let other = known.withLock { $0.acknowledged.updateValue(event.id, forKey: receipt.offset) }
      expect(
        other == nil || other == event.id,
        "offset \(receipt.offset) is \(event.id)'s and \(other ?? "")'s")
      if receipt.durability == .durable {
        expect(receipt.offset <= durable, "\(receipt.offset) is durable, but only \(durable) is")
      } else {
        expect(durably != true, "\(receipt) was to be durable")
        expect(durably != nil || options.syncPolicy != .always, "\(receipt) was to be durable by policy")
      }
      tolerating("look up") {
        let found = try ledger.event(id: event.id)
        let there = try ledger.event(at: receipt.offset)
        let after = epoch
        guard before == after, after.isQuiet else { return }
        expect(
          found?.offset == receipt.offset,
          "\(event.id) at \(receipt.offset) is found at \(found.map { "\($0.offset)" } ?? "nil"), \(receipt)")
        expect(there.id == event.id, "at \(receipt.offset) is \(there.id) and not \(event.id)")
      }
    }
  }

  private func refuse(_ events: [Event], _ error: any Error) {
    count("append failed")
    guard isExpected(error) else { return fail("append: \(error)") }
    guard let code = (error as? LedgerError)?.log?.code, code != .offsetNotKept else {
      return fail("append: \(error)")
    }
    guard code == .fileSystem || code == .quotaExceeded else { return }
    known.withLock { known in
      for event in events where !event.id.hasPrefix("shared") { known.refused.insert(event.id) }
    }
  }

  private func append(_ role: String, _ number: Int) {
    do {
      let (events, durably, before) = (try events(role, number), durability(), epoch)
      do {
        let ledger = ledger.withLock { $0 }
        check(
          try ledger.extend(events, onConflict: .ignore, durably: durably), events, before, durably: durably)
        count("append")
      } catch { refuse(events, error) }
    } catch { fail("\(error)") }
  }

  private func append(_ role: String, _ number: Int) async {
    do {
      let (events, durably, before) = (try events(role, number), durability(), epoch)
      do {
        let ledger = ledger.withLock { $0 }
        let receipts = try await ledger.extend(events, onConflict: .ignore, durably: durably)
        check(receipts, events, before, durably: durably)
        count("append async")
      } catch { refuse(events, error) }
    } catch { fail("\(error)") }
  }

  private func read() {
    let ledger = ledger.withLock { $0 }
    let before = epoch
    let isEmpty = ledger.latestOffset < ledger.firstOffset
    switch random(6) {
    case 0:
      tolerating("scan") {
        let acknowledged = known.withLock { $0.acknowledged }
        let first = ledger.firstOffset
        let events = try ledger.tail(after: Offset(UInt64(random(Int(ledger.latestOffset.rawValue) + 1))))
        checkScan(events, acknowledged)
        if before == epoch, before.isQuiet, let last = acknowledged.keys.max(), last >= first {
          expect((events.last?.offset ?? ledger.latestOffset) >= last, "the scan misses \(last)")
        }
      }
    case 1:
      tolerating("run") {
        let acknowledged = known.withLock { $0.acknowledged }
        let first = ledger.firstOffset
        let run = "run-\(random(5))"
        let events = try ledger.events(run: run)
        expect(events.allSatisfy { $0.event.runID == run }, "an event of another run")
        expect(zip(events, events.dropFirst()).allSatisfy { $0.offset < $1.offset }, "a run's order")
        guard before == epoch, before.isQuiet else { return }
        let found = Set(events.map(\.offset))
        for (offset, id) in acknowledged where offset >= first {
          guard "run-\(id.utf8.reduce(0) { $0 &+ Int($1) } % 5)" == run else { continue }
          expect(found.contains(offset), "\(id) at \(offset) is not in its run")
        }
      }
    case 2:
      do {
        let last = try ledger.lastEvent()
        if before == epoch, before.isQuiet {
          expect(last != nil || isEmpty, "no last event")
        }
      } catch {
        let code = error.log?.code
        if code == .offsetNotKept || !isExpected(error) { fail("lastEvent: \(error)") }
      }
    case 3:
      tolerating("cursor") {
        let cursor = try ledger.cursor()
        do throws(LedgerError) {
          for event in try ledger.tail(after: cursor) {
            expect(event.offset > cursor.offset, "before the cursor")
          }
        } catch {
          if error.code != .staleEpoch { throw error }
        }
      }
    case 4:
      let metrics = ledger.metrics
      expect(metrics.records >= metrics.appends, "counted records")
      let size = ledger.size
      expect(size.bytes <= options.byteQuota ?? .max, "\(size) is more than the quota")
      let (count, latest) = (ledger.eventCount, ledger.latestOffset)
      tolerating("runCount") { _ = (try ledger.runCount, ledger.indexSize, latest, count) }
    default:
      let durable = ledger.durableOffset
      let (fell, isBeyond) = known.withLock { known in
        defer { known.durable = max(known.durable, durable) }
        return (false, durable > ledger.latestOffset)
      }
      expect(!fell && !isBeyond, "durable is beyond the end")
      let again = ledger.durableOffset
      expect(again >= durable, "durable fell from \(durable) to \(again)")
    }
  }

  private func checkScan(_ events: [StoredEvent], _ acknowledged: [Offset: String]) {
    for (one, next) in zip(events, events.dropFirst()) {
      expect(next.offset.rawValue == one.offset.rawValue + 1, "\(next.offset) behind \(one.offset)")
    }
    expect(Set(events.map(\.event.id)).count == events.count, "an id is stored twice")
    for event in events {
      guard let id = acknowledged[event.offset] else { continue }
      expect(id == event.event.id, "\(event.offset) holds \(event.event.id), not \(id)")
    }
  }

  private func maintain() {
    let ledger = ledger.withLock { $0 }
    switch random(12) {
    case 0: tolerating("reset") { try dropping { () throws(LedgerError) in try ledger.reset() } }
    case 1, 2:
      tolerating("trim") {
        let (first, last) = (ledger.firstOffset.rawValue, ledger.latestOffset.rawValue)
        let offset = Offset(first + UInt64(random(Int(max(last, first) - first) + 2)))
        try dropping { () throws(LedgerError) in try ledger.trim(before: offset) }
      }
    case 3:
      tolerating("trim by size") {
        try dropping { () throws(LedgerError) in try ledger.trim(keepingBytes: UInt64(random(200_000))) }
      }
    case 4, 5: copy(ledger)
    case 6: tolerating("sync") { try ledger.sync() }
    case 7 where directory != nil:
      tolerating("verify") {
        do {
          let verification = try Ledger.verify(at: place + "ledger")
          // A write that failed and was not taken back yet is no damage either.
          expect(verification.isSound, "verify: \(verification.damage)")
        } catch let error as LedgerError where error.log?.code == .changedMeanwhile {}
      }
    case 8:
      tolerating("reader") {
        do {
          let acknowledged = known.withLock { $0.acknowledged }
          let before = epoch
          var options = options
          options.access = .readOnly
          let reader = try Ledger.open(
            at: place + "ledger", options: options, fileSystem: base, environment: SystemEnvironment())
          expect(reader.recovery.damage.isEmpty, "reader: \(reader.recovery)")
          let events = try reader.events()
          checkScan(events, faults == .none ? acknowledged : [:])
          if before == epoch, before.isQuiet, let last = acknowledged.keys.max() {
            expect(reader.latestOffset >= last, "the reader misses \(last)")
          }
          for event in events.suffix(3) {
            expect(try reader.event(id: event.event.id)?.offset == event.offset, "reader's index")
          }
        } catch let error as LedgerError where error.log?.code == .changedMeanwhile {}
      }
    default: Thread.sleep(forTimeInterval: 0.001)
    }
  }

  private func copy(_ ledger: Ledger) {
    let number = known.withLock { known in
      known.snapshots += 1
      return known.snapshots
    }
    let path = place + "copy-\(number % 3)"
    tolerating("copy") {
      let isFork = random(2) == 0
      let acknowledged = known.withLock { $0.acknowledged }
      let before = epoch
      let last = ledger.latestOffset.rawValue
      let copy: LogCopy
      do throws(LedgerError) {
        copy =
          isFork
          ? try ledger.fork(
            to: path, through: random(2) == 0 ? nil : Offset(UInt64(random(Int(last) + 1))), replacing: true)
          : try ledger.snapshot(to: path, replacing: true)
      } catch {
        guard let code = error.log?.code, code == .notABatchEnd || code == .locked else { throw error }
        return
      }
      var options = options
      options.access = random(2) == 0 ? .readOnly : .readWrite
      let opened: Ledger
      do throws(LedgerError) {
        opened = try Ledger.open(
          at: path, options: options, fileSystem: base, environment: SystemEnvironment())
      } catch {
        // The next copy has replaced it.
        guard let code = error.log?.code, code == .locked || code == .noSuchLog else { throw error }
        return
      }
      let events = try opened.events()
      guard opened.epoch.id == copy.epoch || options.access == .readWrite else { return }
      expect(opened.recovery.damage.isEmpty, "copy: \(opened.recovery)")
      checkScan(events, acknowledged)
      if !isFork, before == epoch, before.isQuiet, let known = acknowledged.keys.max() {
        expect(copy.latestOffset >= known, "the snapshot misses \(known)")
      }
      if options.access == .readWrite {
        try opened.append(.test("in the copy"))
        try opened.close()
      }
    }
  }

  private func close() {
    let ledger = ledger.withLock { $0 }
    do throws(LedgerError) {
      try ledger.close()
    } catch {
      known.withLock { $0.closedInDoubt = true }
      expect(isExpected(error), "close: \(error)")
    }
  }

  private func breakDisk() {
    let chance = Locked(SeededGenerator(seed: seed &+ 1))
    switch faults {
    case .none: break
    case .fullDisk:
      observed.observe { call in
        guard [.write, .preallocate, .open].contains(call.operation) else { return nil }
        return chance.withLock { Int.random(in: 0..<40, using: &$0) } == 0 ? .noSpace : nil
      }
    case .fatal:
      observed.observe { call in
        guard call.isMutation || call.operation == .map else { return nil }
        return chance.withLock { Int.random(in: 0..<600, using: &$0) } == 0
          ? (call.operation == .map ? .outOfMemory : .io) : nil
      }
    }
  }

  // MARK: Running

  func run(until end: Date) async throws {
    breakDisk()
    let threads = DispatchGroup()
    func thread(_ body: @escaping @Sendable () -> Void) {
      threads.enter()
      Thread.detachNewThread {
        while Date() < end, !self.isOver { body() }
        threads.leave()
      }
    }
    for role in 0..<3 {
      let number = Locked(0)
      thread {
        self.append(
          "t\(role)",
          number.withLock {
            $0 += 1
            return $0
          })
      }
    }
    for _ in 0..<2 { thread { self.read() } }
    for _ in 0..<2 { thread { self.maintain() } }
    await withTaskGroup(of: Void.self) { group in
      for role in 0..<4 {
        group.addTask {
          var number = 0
          while Date() < end, !self.isOver {
            number += 1
            await self.append("a\(role)", number)
          }
        }
      }
      if random(3) == 0 {
        let moment = Double(random(300)) / 1000
        group.addTask {
          do { try await Task.sleep(for: .seconds(moment)) } catch {}
          self.close()
        }
      }
    }
    await withCheckedContinuation { continuation in
      threads.notify(queue: .global()) { continuation.resume() }
    }
    observed.observe { _ in nil }
    close()
    let wasPoisoned = known.withLock { $0.closedInDoubt }
    let last = ledger.withLock { $0.latestOffset }
    let first = ledger.withLock { $0.firstOffset }
    let durable = ledger.withLock { $0.durableOffset }
    if !wasPoisoned, faults == .none { expect(durable == last, "\(durable) of \(last) after a close") }
    if ProcessInfo.processInfo.environment["RL_STRESS_VERBOSE"] != nil {
      print(seed, self, known.withLock { $0.counts.sorted { $0.key < $1.key } }, last, wasPoisoned)
    }
    let again: Ledger
    do {
      again = try Ledger.open(
        at: place + "ledger", options: options, fileSystem: base, environment: SystemEnvironment())
    } catch {
      return fail("reopening: \(error)")
    }
    let events = try again.events()
    checkScan(events, known.withLock { $0.acknowledged })
    expect(again.firstOffset >= first, "\(again.firstOffset) begins before \(first)")
    expect(again.latestOffset >= last, "\(again.latestOffset) of \(last) are there again")
    if !wasPoisoned {
      expect(again.firstOffset == first, "\(again.firstOffset) is the first and not \(first)")
      expect(again.latestOffset == last, "\(again.latestOffset) is the last and not \(last)")
    }
    expect(again.eventCount == events.count, "\(again.eventCount) of \(events.count) can be found")
    let refused = known.withLock { $0.refused }
    for event in events {
      expect(
        try again.event(id: event.event.id)?.offset == event.offset, "\(event.event.id) is not in the index")
      expect(!refused.contains(event.event.id), "\(event.event.id) was refused, and is there")
    }
    try again.close()
    if directory != nil {
      let verification = try Ledger.verify(at: place + "ledger")
      expect(verification.isSound && verification.torn == nil, "verified: \(verification)")
    }
  }
}
