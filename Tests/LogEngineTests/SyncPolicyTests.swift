import Foundation
import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// When records become durable that nobody waited for.
@Suite struct SyncPolicyTests {
  private let environment = SeededEnvironment(seed: 1)

  private func open(_ disk: any FileSystem, _ policy: SyncPolicy = .interval(.milliseconds(100))) throws
    -> SegmentedLog
  {
    try TestLog.open(disk, environment: environment) { $0.syncPolicy = policy }
  }

  // MARK: Interval

  @Test func `what was appended is durable one interval later, with one sync for all of it`() throws {
    let recorder = CallRecorder()
    let log = try open(ObservedFileSystem(MemoryFileSystem(), recorder.observer))
    recorder.clear()
    try TestLog.append(log, ["one"])
    environment.advance(by: .milliseconds(60))
    for _ in 0..<10 { try TestLog.append(log, ["more"]) }
    environment.advance(by: .milliseconds(39))
    #expect(log.durableOffset == 0)
    #expect(!recorder.mutations.contains { $0.hasPrefix("sync") })
    environment.advance(by: .milliseconds(1))
    #expect(log.durableOffset == 11)
    #expect(recorder.mutations.filter { $0.hasPrefix("sync") } == ["sync 00000001.seg"])
    recorder.clear()
    environment.advance(by: .milliseconds(900))
    #expect(recorder.mutations.isEmpty, "without appends nothing is synced")
    try TestLog.append(log, ["last"])
    environment.advance(by: .milliseconds(100))
    #expect(log.durableOffset == 12)
  }

  @Test func `a power cut takes at most what was appended within the interval`() throws {
    for seed in 1...200 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let environment = SeededEnvironment(seed: seed)
      let disk = SimulatedDisk()
      let log = try TestLog.open(disk, environment: environment) {
        $0.syncPolicy = .interval(.milliseconds(100))
      }
      var now = 0
      var written: [(time: Int, record: String)] = []
      for number in 0..<Int.random(in: 1...80, using: &generator) {
        let record = "\(number) " + String(repeating: "x", count: Int.random(in: 0...900, using: &generator))
        try TestLog.append(log, [record])
        written.append((now, record))
        let pause = Int.random(in: 0...40, using: &generator)
        environment.advance(by: .milliseconds(pause))
        now += pause
      }
      let again = try TestLog.open(disk.afterPowerCut(&generator), environment: SeededEnvironment(seed: 2))
      let found = try TestLog.records(again)
      #expect(found == written.prefix(found.count).map(\.record), "seed \(seed)")
      #expect(found.count >= written.count { $0.time <= now - 100 }, "seed \(seed)")
    }
  }

  @Test func `a sync that fails behind the appends stops the writer for good`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem())
    let log = try open(disk)
    try TestLog.append(log, ["one"])
    disk.observe { $0.operation == .sync ? .io : nil }
    environment.advance(by: .milliseconds(100))
    disk.observe { _ in nil }
    #expect(log.durableOffset == 0)
    #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["two"]) }.code == .outcomeUnknown)
    #expect(try #require(throws: LogError.self) { try log.close() }.code == .outcomeUnknown)
  }

  @Test(.timeLimit(.minutes(1)))
  func `appends do not wait for a sync behind them, and one that must be durable does`() throws {
    let gate = Monitor((waiting: 0, isOpen: true, fails: false))
    let disk = ObservedFileSystem(MemoryFileSystem()) { call in
      guard call.operation == .sync, call.name.hasSuffix(".seg") else { return nil }
      gate.update { $0.waiting += 1 }
      let fails = gate.wait { $0.isOpen ? $0.fails : nil }
      gate.update { gate in
        gate.waiting -= 1
        // The system tells of an error once.
        gate.fails = false
      }
      return fails ? .io : nil
    }
    let log = try open(disk)
    try TestLog.append(log, ["one"])
    gate.update { $0.isOpen = false }
    let environment = environment
    let group = DispatchGroup()
    group.enter()
    Thread.detachNewThread {
      environment.advance(by: .milliseconds(100))
      group.leave()
    }
    gate.wait { $0.waiting > 0 ? () : nil }
    try TestLog.append(log, ["two"])
    #expect(try TestLog.records(log) == ["one", "two"])
    #expect(log.durableOffset == 0)
    // The system tells one of two syncs of a failure. The other must not take its own success for an answer.
    let outcome = Locked<LogError?>(nil)
    group.enter()
    Thread.detachNewThread {
      do throws(LogError) {
        try TestLog.append(log, ["three"], durably: true)
      } catch {
        outcome.withLock { $0 = error }
      }
      group.leave()
    }
    Thread.sleep(forTimeInterval: 0.05)
    #expect(gate.update { $0.waiting } == 1, "one sync at a time")
    gate.update { gate in
      gate.fails = true
      gate.isOpen = true
    }
    group.wait()
    #expect(outcome.withLock { $0?.code } == .outcomeUnknown)
    #expect(log.durableOffset == 0)
  }

  @Test(.timeLimit(.minutes(1))) func `a task's append does not wait for a sync behind it`() async throws {
    let gate = Monitor((waiting: 0, isOpen: true))
    let disk = ObservedFileSystem(MemoryFileSystem()) { call in
      guard call.operation == .sync, call.name.hasSuffix(".seg") else { return nil }
      gate.update { $0.waiting += 1 }
      gate.wait { $0.isOpen ? () : nil }
      return nil
    }
    let log = try TestLog.open(disk, environment: SystemEnvironment()) {
      $0.syncPolicy = .interval(.milliseconds(1))
    }
    gate.update { $0 = (0, false) }
    try TestLog.append(log, ["one"])
    gate.wait { $0.waiting > 0 ? () : nil }
    var batch = RecordBatch()
    try batch.append("two".utf8Span.span.rawBytes)
    try await log.append(batch)
    #expect(try TestLog.records(log) == ["one", "two"])
    #expect(log.durableOffset == 0)
    gate.update { $0.isOpen = true }
  }

  @Test func `what stood before a failed write is durable one interval later`() throws {
    let disk = ObservedFileSystem(MemoryFileSystem())
    let log = try open(disk)
    try TestLog.append(log, ["one"])
    disk.observe { $0.operation == .write ? .noSpace : nil }
    let error = try #require(throws: LogError.self) { try TestLog.append(log, ["two"]) }
    #expect(error.code == .outcomeUnknown, "it cannot be taken back yet")
    environment.advance(by: .milliseconds(100))
    #expect(log.durableOffset == 1)
    disk.observe { _ in nil }
    try TestLog.append(log, ["three"])
    #expect(try TestLog.records(log) == ["one", "three"])
  }

  @Test func `a timer for which there was no thread is set by the next append`() throws {
    let log = try open(MemoryFileSystem())
    environment.setThreads(false)
    try TestLog.append(log, ["one"])
    environment.advance(by: .seconds(1))
    #expect(log.durableOffset == 0)
    environment.setThreads(true)
    try TestLog.append(log, ["two"])
    environment.advance(by: .milliseconds(100))
    #expect(log.durableOffset == 2)
  }

  @Test func `an interval below a millisecond is refused`() throws {
    let error = try #require(throws: LogError.self) {
      try open(MemoryFileSystem(), .interval(.microseconds(999)))
    }
    #expect(error.code == .invalidOption)
  }

  // MARK: One append's own wish

  @Test func `an append can ask for more than the policy, and for less`() throws {
    let log = try open(MemoryFileSystem(), .never)
    try TestLog.append(log, ["one"])
    #expect(log.durableOffset == 0)
    try TestLog.append(log, ["two"], durably: true)
    #expect(log.durableOffset == 2)
    try log.close()
    let other = try open(MemoryFileSystem(), .always)
    try TestLog.append(other, ["one"], durably: false)
    #expect(other.durableOffset == 0)
    try TestLog.append(other, ["two"])
    #expect(other.durableOffset == 2)
  }

  // MARK: Quiet

  @Test(arguments: [SyncPolicy.always, .interval(.milliseconds(100))])
  func `a second after the last append damage to it is not taken for a tear any more`(policy: SyncPolicy)
    throws
  {
    let disk = MemoryFileSystem()
    let recorder = CallRecorder()
    let log = try open(ObservedFileSystem(disk, recorder.observer), policy)
    for number in 0..<3 {
      try TestLog.append(log, [RecoveryTests.record(number)])
      environment.advance(by: .milliseconds(600))
    }
    var busy = try DiskImage(of: disk)
    busy.overwrite(
      RecoveryTests.first, at: RecoveryTests.frame(2) + 64, with: [UInt8](repeating: 0, count: 72))
    #expect(try RecoveryTests.opened(busy).log.recovery.outcome == .torn)

    environment.advance(by: .seconds(2))
    var quiet = try DiskImage(of: disk)
    quiet.overwrite(
      RecoveryTests.first, at: RecoveryTests.frame(2) + 64, with: [UInt8](repeating: 0, count: 72))
    #expect(try RecoveryTests.refusal(quiet).code == .damaged)

    recorder.clear()
    environment.advance(by: .seconds(60))
    #expect(recorder.mutations.isEmpty, "one frame is enough")
    try TestLog.append(log, [RecoveryTests.record(3)])
    try log.close()
    #expect(try TestLog.records(try TestLog.open(disk, environment: SeededEnvironment(seed: 2))).count == 4)
  }

  @Test func `a quiet second for which there was no thread is waited for by the next sync`() throws {
    let recorder = CallRecorder()
    let log = try open(ObservedFileSystem(MemoryFileSystem(), recorder.observer), .always)
    environment.setThreads(false)
    try TestLog.append(log, ["one"])
    environment.setThreads(true)
    try TestLog.append(log, ["two"])
    recorder.clear()
    environment.advance(by: .seconds(1))
    #expect(recorder.mutations == ["write 00000001.seg @12288 +32", "sync 00000001.seg"])
  }

  @Test func `what nobody asked to sync gets no frame that says so`() throws {
    let recorder = CallRecorder()
    let log = try open(ObservedFileSystem(MemoryFileSystem(), recorder.observer), .never)
    try TestLog.append(log, ["one"])
    recorder.clear()
    environment.advance(by: .seconds(10))
    // The next segment may be prepared meanwhile.
    #expect(recorder.mutations.filter { !$0.contains("00000002") }.isEmpty)
    #expect(log.durableOffset == 0)
  }
}
