import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

extension CopyProtocolTests {
  // MARK: Fork and restore

  @Test(arguments: [25, 60] as [Offset])
  func `a fork stopped anywhere leaves nothing at its destination or all of it`(last: Offset) throws {
    let kept = Array(Self.all[..<Int(last.rawValue)])
    var sawNothing = false
    let stops = try ProtocolStopTests.stopEverywhere(from: Self.image()) { disk in
      try Self.reopened(disk).fork(to: "copy", through: last)
    } _: { disk, finished, stop in
      let found = try Self.copyRecords(disk)
      #expect(found == nil && !finished || found == kept, "stop \(stop)")
      if found == nil { sawNothing = true }
      let log = try Self.reopened(disk)
      #expect(try TestLog.records(log) == Self.all)
      try TestLog.append(log, ["later"])
      try log.fork(to: "copy", through: last, replacing: true)
      let copy = try SnapshotTests.opened(disk, at: "copy", seed: 4)
      #expect(copy.epoch.start == last.next)
      try TestLog.append(copy, ["elsewhere"])
      try copy.close()
      #expect(try Self.copyRecords(disk) == kept + ["elsewhere"])
      #expect(try TestLog.records(log) == Self.all + ["later"])
    }
    #expect(sawNothing)
    #expect(stops > 15)
  }

  @Test(arguments: [(false, true), (true, true), (true, false)])
  func `a restore stopped anywhere leaves the old log or the new one`(
    replaces: Bool, exchanges: Bool
  ) throws {
    var outcomes: Set<Int> = []
    let image = try Self.snapshotImage()
    _ = try ProtocolStopTests.stopEverywhere(from: image) { disk in
      if replaces {
        let old = try TestLog.open(disk, at: "copy")
        try TestLog.append(old, ["old"])
        try old.close()
      }
      let plain = ObservedFileSystem(disk) { $0.operation == .exchange && !exchanges ? .notSupported : nil }
      try SegmentedLog.restore(
        from: "log", to: "copy", replacing: replaces, fileSystem: plain,
        environment: SeededEnvironment(seed: 3))
    } _: { disk, finished, stop in
      var found: [String]?
      if (try? disk.entries(of: "copy").contains { $0.hasSuffix(".seg") }) == true {
        found = try Self.copyRecords(disk)
      } else if let aside = try Self.copyRecords(disk, "copy.replaced") {
        #expect(aside == ["old"] && !exchanges)
      }
      #expect(found ?? [] == [] || found == ["old"] || found == Self.all, "stop \(stop)")
      outcomes.insert(found?.count ?? -1)
      if finished { #expect(found == Self.all) }
      #expect(try DiskImage(of: disk) == image, "the snapshot stays as it is")
      let isThere = (try? disk.entries(of: "copy").contains { $0.hasSuffix(".seg") }) == true
      if !isThere, try disk.status(of: "copy") != nil { return }
      try SegmentedLog.restore(
        from: "log", to: "copy", replacing: true, fileSystem: disk, environment: SeededEnvironment(seed: 8))
      let log = try Self.reopened(disk, "copy")
      #expect(try TestLog.records(log) == Self.all)
      #expect(log.epoch.start == 61)
      #expect(try disk.status(of: "copy.tmp") == nil)
      #expect(try disk.status(of: "copy.replaced") == nil)
    }
    #expect(outcomes.isSuperset(of: replaces ? [1, 60] : [-1, 60]))
  }

  @Test(arguments: ["fork", "restore", "replace"])
  func `a power cut during a fork or a restore leaves all of it or what was there`(what: String) throws {
    let image = try what == "fork" ? Self.image() : Self.snapshotImage()
    var kept = 0
    for seed in 1...200 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let disk = SimulatedDisk(image)
      let environment = SeededEnvironment(seed: seed)
      if what == "replace" {
        let old = try TestLog.open(disk, at: "copy")
        try TestLog.append(old, ["old"])
        try old.close()
        try disk.syncDirectory(".")
      }
      let source = what == "fork" ? try TestLog.open(disk, environment: environment) : nil
      disk.failPower(after: Int.random(in: 0...34, using: &generator))
      var finished = true
      do throws(LogError) {
        if let source {
          try source.fork(to: "copy", through: 45)
        } else {
          try SegmentedLog.restore(
            from: "log", to: "copy", replacing: what == "replace", fileSystem: disk,
            environment: environment)
        }
      } catch { finished = false }
      let after = disk.afterPowerCut(&generator)
      let new = what == "fork" ? Array(Self.all[..<45]) : Self.all
      let found = try Self.copyRecords(after)
      #expect(found == new || (found == (what == "replace" ? ["old"] : nil) && !finished), "seed \(seed)")
      if found == new {
        kept += 1
        let copy = try Self.reopened(after, "copy")
        #expect(copy.epoch.start.rawValue == UInt64(new.count) + 1)
        try TestLog.append(copy, ["more"])
      }
      #expect(
        try TestLog.records(SnapshotTests.opened(after, at: "log") { $0.access = .readOnly }) == Self.all)
    }
    #expect(kept > 20, "\(kept)")
  }
}
