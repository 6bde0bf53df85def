import Foundation
import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Appends that arrive together are committed together, and each hears what became of it.
@Suite struct GroupCommitTests {
  // MARK: The queue

  @Test(arguments: [UInt64](1...20)) func `every entry is taken once, in order, and always by a leader`(
    seed: UInt64
  ) {
    var generator = SeededGenerator(seed: seed)
    var queue = CommitQueue<Int>()
    var next = 0
    var taken: [Int] = []
    // Whose turn it is, and what that leader has taken and not yet handed over.
    var leader: Int?
    var inHand: [Int] = []
    for _ in 0..<5000 {
      switch Int.random(in: 0..<4, using: &generator) {
      case 0:
        let mustLead = queue.add(next)
        #expect(mustLead == (leader == nil))
        if mustLead { leader = next }
        next += 1
      case 1:
        guard let current = leader, inHand.isEmpty else { continue }
        inHand = queue.takeGroup(byteLimit: 50) { $0 % 30 }
        #expect(inHand.first == current, "who has waited longest is in the group")
        #expect(inHand.count == 1 || inHand.reduce(0) { $0 + $1 % 30 } <= 50)
        taken += inHand
      case 2:
        // Without an entry, as who commits at once.
        let leads = queue.takeLead()
        #expect(leads == (leader == nil))
        if leads { (leader, inHand) = (-1, [-1]) }
      default:
        guard !inHand.isEmpty else { continue }
        inHand = []
        leader = queue.handOver() ? taken.count : nil
        #expect(queue.isLed == (leader != nil))
      }
    }
    #expect(taken == Array(0..<taken.count))
    #expect(taken.count + queue.count == next)
  }

  @Test func `what was taken is not kept`() {
    final class Entry {}
    var queue = CommitQueue<Entry>()
    var entries = [Entry(), Entry()]
    weak let first = entries[0]
    for entry in entries { _ = queue.add(entry) }
    var taken = queue.takeGroup(byteLimit: 1) { _ in 1 }
    #expect(taken.count == 1 && taken.first === first)
    entries = []
    taken = []
    #expect(first == nil)
    #expect(queue.count == 1)
  }

  // MARK: Threads

  /// A disk whose syncs of segments wait until they are let through.
  private final class Gate: Sendable {
    private let syncs = Monitor((waiting: 0, isOpen: true))

    func hold() { syncs.update { $0.isOpen = false } }
    func open() { syncs.update { $0.isOpen = true } }
    /// Blocks the caller until some sync waits.
    func awaitSync() { syncs.wait { $0.waiting > 0 ? () : nil } }

    var isSyncWaiting: Bool { syncs.update { $0.waiting > 0 } }

    func pass() {
      syncs.update { $0.waiting += 1 }
      syncs.wait { $0.isOpen ? () : nil }
      syncs.update { $0.waiting -= 1 }
    }
  }

  private func gated(_ recorder: CallRecorder, _ gate: Gate) -> ObservedFileSystem {
    ObservedFileSystem(MemoryFileSystem()) { call in
      _ = recorder.observer(call)
      if call.operation == .sync, call.name.hasSuffix(".seg") { gate.pass() }
      return nil
    }
  }

  @Test(.timeLimit(.minutes(1))) func `what arrives during a sync shares the next write and sync`() throws {
    let recorder = CallRecorder()
    let gate = Gate()
    let log = try TestLog.open(gated(recorder, gate), segmentSize: 1 << 20)
    recorder.clear()
    gate.hold()
    let threads = 33
    DispatchQueue.concurrentPerform(iterations: 2) { role in
      if role == 0 {
        do { try TestLog.append(log, ["first"]) } catch { Issue.record("\(error)") }
      } else {
        gate.awaitSync()
        #expect(log.latestOffset == 0, "what is not durable yet is not shown either")
        let started = Locked(0)
        let group = DispatchGroup()
        for number in 1..<threads {
          group.enter()
          Thread.detachNewThread {
            started.withLock { $0 += 1 }
            do { try TestLog.append(log, ["\(number)"]) } catch { Issue.record("\(error)") }
            group.leave()
          }
        }
        while started.withLock({ $0 }) < threads - 1 || log.waitingAppends < threads - 1 {
          Thread.sleep(forTimeInterval: 0.001)
        }
        gate.open()
        group.wait()
      }
    }
    #expect(Set(try TestLog.records(log)) == Set(["first"] + (1..<threads).map { "\($0)" }))
    // One write and sync for the first, and one for all the others.
    #expect(recorder.mutations.filter { $0.hasPrefix("sync") }.count == 2)
    #expect(recorder.mutations.filter { $0.hasPrefix("write") }.count == 2)
    #expect(log.durableOffset == Offset(UInt64(threads)))
  }

  @Test(.timeLimit(.minutes(1)))
  func `an append that has to be durable is, behind one in its write that has not`() throws {
    let recorder = CallRecorder()
    let gate = Gate()
    let log = try TestLog.open(gated(recorder, gate), segmentSize: 1 << 20)
    gate.hold()
    DispatchQueue.concurrentPerform(iterations: 2) { role in
      do {
        if role == 0 { return try TestLog.append(log, ["first"]) }
        gate.awaitSync()
        var buffered = RecordBatch()
        var durable = RecordBatch()
        try buffered.append("buffered".utf8Span.span.rawBytes)
        try durable.append("durable".utf8Span.span.rawBytes)
        recorder.clear()
        let pending = [log.submit(buffered, durably: false), log.submit(durable, durably: true)]
        gate.open()
        for pending in pending { _ = try log.outcome(of: pending).get() }
      } catch { Issue.record(error) }
    }
    #expect(log.durableOffset == 3)
    #expect(recorder.mutations.count { $0.hasPrefix("write") } == 1)
  }

  @Test(.timeLimit(.minutes(1)))
  func `a failed sync is told to everybody who waited for it, and to all who come`() throws {
    let gate = Gate()
    let fails = Locked(false)
    let disk = ObservedFileSystem(MemoryFileSystem()) { call in
      guard call.operation == .sync, call.name.hasSuffix(".seg") else { return nil }
      gate.pass()
      return fails.withLock { $0 } ? .io : nil
    }
    let log = try TestLog.open(disk, segmentSize: 1 << 20)
    try TestLog.append(log, ["stored"])
    fails.withLock { $0 = true }
    gate.hold()
    let unknown = Locked(0)
    let group = DispatchGroup()
    let append: @Sendable () -> Void = {
      do throws(LogError) {
        try TestLog.append(log, ["x"])
      } catch {
        if error.code == .outcomeUnknown { unknown.withLock { $0 += 1 } }
      }
      group.leave()
    }
    group.enter()
    Thread.detachNewThread(append)
    gate.awaitSync()
    for _ in 0..<10 {
      group.enter()
      Thread.detachNewThread(append)
    }
    while log.waitingAppends < 10 { Thread.sleep(forTimeInterval: 0.001) }
    gate.open()
    group.wait()
    #expect(unknown.withLock { $0 } == 11)
    #expect(try TestLog.records(log) == ["stored"])
    #expect(log.durableOffset == 1)
  }

  @Test func `groups cross segments, and every batch is whole in one`() throws {
    let place = TemporaryDirectory()
    var options = LogOptions()
    options.creation = .createIfMissing
    options.segmentSize = 32 << 10
    let log = try SegmentedLog.open(at: place.path + "/log", options: options)
    let opened = log
    let offsets = Locked<[Int: [Range<Offset>]]>([:])
    DispatchQueue.concurrentPerform(iterations: 8) { thread in
      do {
        for number in 0..<100 {
          var batch = RecordBatch()
          for part in 0...number % 3 {
            let text = "\(thread)-\(number)-\(part)-" + String(repeating: "x", count: number * 5)
            try batch.append(text.utf8Span.span.rawBytes)
          }
          let stored = try opened.append(&batch, durably: number % 4 != 0)
          offsets.withLock { $0[thread, default: []].append(stored) }
        }
      } catch {
        Issue.record("\(error)")
      }
    }
    #expect(log.size.segments > 3)
    try log.close()
    let again = try SegmentedLog.open(at: place.path + "/log", options: options)
    let records = try TestLog.records(again)
    #expect(records.count == 8 * (34 + 2 * 33 + 3 * 33))
    for (thread, ranges) in offsets.withLock({ $0 }) {
      #expect(
        ranges.map(\.lowerBound) == ranges.map(\.lowerBound).sorted(), "a thread's appends keep their order")
      for (number, range) in ranges.enumerated() {
        for (part, offset) in (range.lowerBound.rawValue..<range.upperBound.rawValue).enumerated() {
          #expect(records[Int(offset) - 1].hasPrefix("\(thread)-\(number)-\(part)-"))
        }
      }
    }
  }

  // MARK: Limits and states

  private func batch(_ count: Int) throws -> RecordBatch {
    var batch = RecordBatch()
    try batch.append([UInt8](repeating: 7, count: count).span.rawBytes)
    return batch
  }

  @Test func `an append of nothing does not let those behind it pass the quota`() throws {
    let quota: UInt64 = 60_000
    let log = try TestLog.open(MemoryFileSystem(), segmentSize: 1 << 20) { $0.byteQuota = quota }
    // The first of them is to lead, and takes all of them.
    let nothing = log.submit(RecordBatch())
    let appends = try (0..<100).map { _ in log.submit(try batch(1000)) }
    #expect(throws: Never.self) { try log.outcome(of: nothing).get() }
    let errors = appends.compactMap { append in
      do throws(LogError) {
        _ = try log.outcome(of: append).get()
        return nil as LogError?
      } catch {
        return error
      }
    }
    #expect(log.size.bytes <= quota)
    #expect(log.latestOffset.rawValue + UInt64(errors.count) == 100)
    #expect(errors.count > 40 && errors.allSatisfy { $0.code == .quotaExceeded })
  }

  @Test func `a handle that cannot write says so, whatever the quota is`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem())
    let log = try TestLog.open(disk) { $0.byteQuota = 30_000 }
    try TestLog.append(log, ["one"])
    disk.observe { $0.operation == .sync ? .io : nil }
    #expect(throws: LogError.self) { try TestLog.append(log, ["two"]) }
    let large = [String(repeating: "x", count: 20_000)]
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, large) }.code == .outcomeUnknown)
    #expect(throws: LogError.self) { try log.close() }
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, large) }.code == .closed)
  }

  // MARK: Tasks

  @Test(.timeLimit(.minutes(1)), arguments: [true, false])
  func `a task that has no thread to run on holds nobody up`(isFirst: Bool) async throws {
    let gate = Gate()
    let log = try TestLog.open(gated(CallRecorder(), gate), segmentSize: 1 << 20)
    let group = DispatchGroup()
    let append: @Sendable (String) -> Void = { text in
      group.enter()
      Thread.detachNewThread {
        do { try TestLog.append(log, [text]) } catch { Issue.record("\(error)") }
        group.leave()
      }
    }
    if !isFirst {
      gate.hold()
      append("first")
      gate.awaitSync()
    }
    let executor = HeldExecutor()
    let task = Task(executorPreference: executor) {
      var batch = RecordBatch()
      try batch.append("of the task".utf8Span.span.rawBytes)
      return try await log.append(batch)
    }
    // It takes its place in the queue, and that is all it does.
    executor.step()
    append("behind")
    if !isFirst { while log.waitingAppends < 2 { await Task.yield() } }
    gate.open()
    await withCheckedContinuation { continuation in group.notify(queue: .global()) { continuation.resume() } }
    #expect(try TestLog.records(log) == (isFirst ? [] : ["first"]) + ["of the task", "behind"])
    executor.letGo()
    #expect(try await task.value.lowerBound == (isFirst ? 1 : 2))
  }

  @Test func `the application hears of records before anybody can read them`() throws {
    let log = try TestLog.open(MemoryFileSystem())
    let heard = Locked<[String]>([])
    let pending = log.submit(try batch(1)) { stage, _ in
      heard.withLock { heard in
        switch stage {
        case .stored(let first): heard.append("\(first) is stored, \(log.latestOffset) can be read")
        case .settled: heard.append("\(log.latestOffset) can be read")
        }
      }
    }
    _ = try log.outcome(of: pending).get()
    #expect(heard.withLock { $0 } == ["1 is stored, 0 can be read", "1 can be read"])
    var alone = try batch(1)
    #expect(log.takeLead())
    _ = try log.commitLeading(&alone, durably: nil) { _, first in
      heard.withLock { $0 = ["\(first) is stored, \(log.latestOffset) can be read"] }
    }
    log.handOverLead()
    #expect(heard.withLock { $0 } == ["2 is stored, 1 can be read"])
    #expect(log.latestOffset == 2)
  }

  @Test(.timeLimit(.minutes(1))) func `without a thread to be had, whoever comes leads for the tasks`() throws
  {
    let environment = SeededEnvironment(seed: 1)
    let gate = Gate()
    let log = try TestLog.open(
      gated(CallRecorder(), gate), environment: environment, segmentSize: 1 << 20)
    environment.setThreads(false)
    let alone = log.submit(try batch(1), byTask: true)
    #expect(log.latestOffset == 1)
    gate.hold()
    let group = DispatchGroup()
    group.enter()
    Thread.detachNewThread {
      do { try TestLog.append(log, ["first"]) } catch { Issue.record("\(error)") }
      group.leave()
    }
    gate.awaitSync()
    let behind = [log.submit(try batch(1), byTask: true), log.submit(try batch(1), byTask: true)]
    gate.open()
    group.wait()
    for (place, append) in ([alone] + behind).enumerated() {
      let offsets = try log.outcome(of: append).get()
      #expect(offsets.lowerBound == [1, 3, 4][place])
    }
  }

  @Test(.timeLimit(.minutes(1))) func `tasks that append keep no thread of the pool waiting`() async throws {
    let gate = Gate()
    let disk = ObservedFileSystem(MemoryFileSystem()) { call in
      if call.operation == .sync, call.name.hasSuffix(".seg") { gate.pass() }
      return nil
    }
    let log = try TestLog.open(disk, segmentSize: 1 << 20)
    let started = Locked(0)
    gate.hold()
    // More tasks than the pool has threads wait for one sync, and yet another task runs, which lets the sync go on.
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<200 {
        group.addTask {
          started.withLock { $0 += 1 }
          var batch = RecordBatch()
          try batch.append("\(number)".utf8Span.span.rawBytes)
          try await log.append(batch)
        }
      }
      group.addTask {
        while started.withLock({ $0 }) < 200 || !gate.isSyncWaiting { await Task.yield() }
        gate.open()
      }
      try await group.waitForAll()
    }
    #expect(log.durableOffset == 200)
  }
}
