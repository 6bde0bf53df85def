import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Each copying protocol, and retention, stopped after every single file operation and cut off by power at random moments.
@Suite struct CopyProtocolTests {
  static let all = (0..<60).map { RecoveryTests.record($0) }

  /// A log that was closed, of two sealed segments and one that was being written.
  static func image() throws -> DiskImage {
    let disk = MemoryFileSystem()
    try SnapshotTests.filled(disk, count: 60).0.close()
    return try DiskImage(of: disk)
  }

  /// The files of a snapshot of that log.
  static func snapshotImage() throws -> DiskImage {
    let disk = MemoryFileSystem()
    let log = try SnapshotTests.filled(disk, count: 60).0
    try log.snapshot(to: "copy")
    return try DiskImage(of: disk, directory: "copy")
  }

  static func reopened(_ disk: any FileSystem, _ path: String = TestLog.path) throws -> SegmentedLog {
    try SnapshotTests.opened(disk, at: path, seed: 77)
  }

  /// Opens a copy for reading; nil if nothing is there.
  static func copyRecords(_ disk: any FileSystem, _ path: String = "copy") throws -> [String]? {
    guard try disk.status(of: path) != nil else { return nil }
    let copy = try SnapshotTests.opened(disk, at: path) { $0.access = .readOnly }
    #expect(copy.recovery.damage.isEmpty)
    return try TestLog.records(copy)
  }

  // MARK: Two at once

  @Test(.timeLimit(.minutes(1)))
  func `a copy that is given up takes nothing of the next one to the same place along`() throws {
    let disk = MemoryFileSystem()
    let giving = ObservedFileSystem(disk)
    let log = try TestLog.open(giving, at: "other")
    try TestLog.append(log, ["other"])
    let making = ObservedFileSystem(disk)
    let next = try SnapshotTests.filled(making, count: 60).0
    // How far the two have come.
    let isComplete = Monitor(false)
    let isGivenUp = Monitor(false)
    making.observe { call in
      if call.operation == .rename {
        isComplete.update { $0 = true }
        isGivenUp.wait { $0 ? () : nil }
      }
      return nil
    }
    let hasBegun = Locked(false)
    giving.observe { call in
      // It fails when all of it is there.
      if call.operation == .syncDirectory, call.name == "copy.tmp" { return .io }
      guard call.operation == .unlink || call.operation == .removeDirectory else { return nil }
      do {
        // As soon as its LOCK is gone somebody else may begin.
        guard try disk.status(of: "copy.tmp/LOCK") == nil, !hasBegun.withLock({ $0 }) else { return nil }
      } catch {
        Issue.record("\(error)")
      }
      hasBegun.withLock { $0 = true }
      _ = SystemEnvironment().startThread {
        #expect(throws: Never.self) { try next.snapshot(to: "copy") }
        isComplete.update { $0 = true }
        hasBegun.withLock { $0 = false }
      }
      isComplete.wait { $0 ? () : nil }
      return nil
    }
    #expect(throws: LogError.self) { try log.snapshot(to: "copy") }
    #expect(hasBegun.withLock { $0 })
    isGivenUp.update { $0 = true }
    try next.close()
    #expect(try disk.status(of: "copy/SNAPSHOT") != nil)
    #expect(try Self.copyRecords(disk) == Self.all)
  }

  @Test func `a snapshot that is replaced while it is being restored is not mixed with the other`() throws {
    let disk = MemoryFileSystem()
    try SnapshotTests.filled(disk, count: 60).0.snapshot(to: "copy")
    let other = try TestLog.open(disk, environment: SeededEnvironment(seed: 5), at: "other")
    for number in 0..<60 { try TestLog.append(other, ["other \(number)" + RecoveryTests.record(number)]) }
    let isFirst = Locked(true)
    let replacing = ObservedFileSystem(disk) { call in
      guard call.operation == .link,
        isFirst.withLock({ isFirst in
          defer { isFirst = false }
          return isFirst
        })
      else { return nil }
      #expect(throws: Never.self) { try other.snapshot(to: "copy", replacing: true) }
      return nil
    }
    let error = try #require(throws: LogError.self) {
      try SegmentedLog.restore(
        from: "copy", to: "new", replacing: false, fileSystem: replacing,
        environment: SeededEnvironment(seed: 6))
    }
    #expect(error.code == .changedMeanwhile)
    #expect(try disk.status(of: "new") == nil)
    #expect(try disk.status(of: "new.tmp") == nil)
  }

  // MARK: Snapshot

  @Test(arguments: [false, true])
  func `a snapshot stopped anywhere leaves nothing at its destination or all of it`(copies: Bool) throws {
    var sawNothing = false
    let stops = try ProtocolStopTests.stopEverywhere(from: Self.image()) { disk in
      let refusing = ObservedFileSystem(disk) { copies && $0.operation == .link ? .crossDevice : nil }
      let log = try Self.reopened(copies ? refusing : disk)
      try log.snapshot(to: "copy")
    } _: { disk, finished, stop in
      let found = try Self.copyRecords(disk)
      #expect(found == nil || found == Self.all, "stop \(stop)")
      if finished { #expect(found == Self.all) }
      if found == nil { sawNothing = true }
      // The source is what it was, and the snapshot can be had now.
      let log = try Self.reopened(disk)
      #expect(try TestLog.records(log) == Self.all)
      try TestLog.append(log, ["later"])
      try log.snapshot(to: "copy", replacing: true)
      #expect(try Self.copyRecords(disk) == Self.all + ["later"])
      #expect(try disk.status(of: "copy.tmp") == nil)
      try log.close()
      #expect(try TestLog.records(try Self.reopened(disk)) == Self.all + ["later"])
    }
    #expect(sawNothing)
    #expect(stops > 12)
  }

  @Test(arguments: [true, false])
  func `a replacing snapshot stopped anywhere leaves the old one or the new one`(exchanges: Bool) throws {
    var outcomes: Set<String> = []
    _ = try ProtocolStopTests.stopEverywhere(from: nil) { disk in
      let log = try TestLog.open(disk)
      try TestLog.append(log, ["one"])
      try log.snapshot(to: "copy")
      try TestLog.append(log, ["two"])
      let plain = ObservedFileSystem(disk) { $0.operation == .exchange && !exchanges ? .notSupported : nil }
      try log.snapshot(to: "copy", replacing: true, in: plain)
    } _: { disk, finished, stop in
      let found = try Self.copyRecords(disk)
      let aside = try Self.copyRecords(disk, "copy.replaced")
      #expect(found == nil || found == ["one"] || found == ["one", "two"], "stop \(stop)")
      if finished { #expect(found == ["one", "two"]) }
      outcomes.insert("\(found?.count ?? 0) \(aside?.count ?? 0)")
      guard (try? disk.status(of: "log/00000001.seg")) ?? nil != nil else { return }
      let log = try Self.reopened(disk)
      if aside != nil, found == nil {
        // Between the two renames: the next copy to there puts the old one back first.
        #expect(aside == ["one"])
        #expect(!exchanges)
        #expect(try #require(throws: LogError.self) { try log.snapshot(to: "copy") }.code == .alreadyExists)
        #expect(try Self.copyRecords(disk) == ["one"])
      }
      try log.snapshot(to: "copy", replacing: true)
      #expect(try Self.copyRecords(disk) == TestLog.records(log))
      #expect(try disk.status(of: "copy.tmp") == nil)
      #expect(try disk.status(of: "copy.replaced") == nil)
    }
    #expect(outcomes.isSuperset(of: ["0 0", "1 0", exchanges ? "2 0" : "2 1"]))
    #expect(outcomes.contains("0 1") == !exchanges)
  }

  @Test func `opening a snapshot for writing stopped anywhere leaves a snapshot or a log of its own`() throws
  {
    let image = try Self.snapshotImage()
    var outcomes: Set<String> = []
    _ = try ProtocolStopTests.stopEverywhere(from: image) { disk in
      _ = try Self.reopened(disk)
    } _: { disk, _, stop in
      let found = try DiskImage(of: disk)
      outcomes.insert("\(found.files["SNAPSHOT"] != nil) \(found.segments.count)")
      #expect(try Self.copyRecords(disk, "log") == Self.all, "stop \(stop)")
      for name in image.segments { #expect(found.files[name] == image.files[name]) }
      let log = try Self.reopened(disk)
      #expect(log.epoch.start == 61)
      #expect(try TestLog.records(log) == Self.all)
      try TestLog.append(log, ["later"])
      try log.close()
      #expect(try DiskImage(of: disk).files["SNAPSHOT"] == nil)
      #expect(try TestLog.records(try Self.reopened(disk)) == Self.all + ["later"])
    }
    #expect(outcomes == ["true 3", "true 4", "false 4"])
  }

  @Test func `a power cut during a snapshot loses nothing of the source and leaves no half of a copy`() throws
  {
    var kept = 0
    for seed in 1...300 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let disk = SimulatedDisk()
      let log = try TestLog.open(disk, environment: SeededEnvironment(seed: seed)) { $0.syncPolicy = .never }
      for record in Self.all { try TestLog.append(log, [record]) }
      disk.failPower(after: Int.random(in: 0...30, using: &generator))
      var finished = true
      do throws(LogError) {
        try log.snapshot(to: "copy")
        try TestLog.append(log, ["later"], durably: false)
      } catch { finished = false }
      let after = disk.afterPowerCut(&generator)
      if let found = try Self.copyRecords(after) {
        kept += 1
        #expect(found == Self.all, "seed \(seed)")
        let copy = try Self.reopened(after, "copy")
        try TestLog.append(copy, ["elsewhere"])
      } else {
        #expect(!finished, "seed \(seed)")
      }
      let again = try Self.reopened(after)
      let records = try TestLog.records(again)
      #expect(records == Array((Self.all + ["later"]).prefix(records.count)), "seed \(seed)")
      if try after.status(of: "copy") != nil { #expect(records.count >= Self.all.count, "seed \(seed)") }
      try again.snapshot(to: "copy", replacing: true)
      #expect(try Self.copyRecords(after) == records)
    }
    #expect(kept > 30)
  }

  @Test func `a power cut while a snapshot is opened for writing leaves all of it`() throws {
    let image = try Self.snapshotImage()
    for seed in 1...200 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let disk = SimulatedDisk(image)
      disk.failPower(after: Int.random(in: 0...16, using: &generator))
      var acknowledged = false
      do throws(LogError) {
        let log = try TestLog.open(disk, environment: SeededEnvironment(seed: seed))
        try TestLog.append(log, ["later"])
        acknowledged = true
      } catch {}
      let after = disk.afterPowerCut(&generator)
      let log = try Self.reopened(after)
      let records = try TestLog.records(log)
      #expect(records == Self.all + (acknowledged ? ["later"] : []) || records == Self.all + ["later"])
      #expect(log.epoch.start == 61, "seed \(seed)")
    }
  }

  // MARK: Retention

  @Test func `a trim leaves the whole log or the trimmed one`() throws {
    let image = try Self.image()
    let second = try Self.reopened(image.disk()).segmentSpans()[1].offsets.lowerBound
    let trimmed = Array(Self.all[Int(second.rawValue - 1)...])
    var sawGarbage = false
    let stops = try ProtocolStopTests.stopEverywhere(from: image) { disk in
      try Self.reopened(disk).trim(before: second)
    } _: { disk, finished, stop in
      let hadFirst = try DiskImage(of: disk).files["00000001.seg"] != nil
      let log = try Self.reopened(disk)
      let records = try TestLog.records(log)
      #expect(records == trimmed || records == Self.all && !finished, "stop \(stop)")
      if records == trimmed, hadFirst { sawGarbage = true }
      #expect(log.firstOffset == (records == trimmed ? second : 1))
      #expect(log.latestOffset == 60)
      try TestLog.append(log, ["later"])
      try log.close()
      #expect(try TestLog.records(try Self.reopened(disk)) == records + ["later"])
      if records == trimmed { #expect(try DiskImage(of: disk).files["00000001.seg"] == nil) }
    }
    #expect(sawGarbage)
    #expect(stops > 8)
  }

  @Test func `a power cut during a trim leaves the whole log or the trimmed one`() throws {
    let image = try Self.image()
    let second = try Self.reopened(image.disk()).segmentSpans()[1].offsets.lowerBound
    let trimmed = Array(Self.all[Int(second.rawValue - 1)...])
    var counts: [Int: Int] = [:]
    for seed in 1...300 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let disk = SimulatedDisk(image)
      let log = try TestLog.open(disk, environment: SeededEnvironment(seed: seed))
      disk.failPower(after: Int.random(in: 0...18, using: &generator))
      var acknowledged = false
      do throws(LogError) {
        try log.trim(before: second)
        try TestLog.append(log, ["later"])
        acknowledged = true
      } catch {}
      let again = try Self.reopened(disk.afterPowerCut(&generator))
      let records = try TestLog.records(again)
      let expected = [Self.all, trimmed, trimmed + ["later"]]
      #expect(expected.contains(records) && (!acknowledged || records == expected[2]), "seed \(seed)")
      counts[records.count, default: 0] += 1
      try TestLog.append(again, ["more"])
    }
    #expect(counts.count == 3)
  }
}
