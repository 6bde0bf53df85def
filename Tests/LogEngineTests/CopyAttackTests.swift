import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// Copies whose names and moments are chosen to hurt.
@Suite struct CopyAttackTests {
  static func snapshot(_ disk: any FileSystem, _ texts: [String], to path: String) throws {
    let log = try TestLog.open(disk, at: "maker-\(path)")
    for text in texts { try TestLog.append(log, [text]) }
    try log.snapshot(to: path)
    try log.close()
  }

  static func restore(_ disk: any FileSystem, from path: String, to newPath: String, replacing: Bool) throws {
    try SegmentedLog.restore(
      from: path, to: newPath, replacing: replacing, fileSystem: disk, environment: SeededEnvironment(seed: 3)
    )
  }

  static func contents(_ disk: any FileSystem, _ path: String) throws -> [String] {
    try TestLog.records(try SnapshotTests.opened(disk, at: path) { $0.access = .readOnly })
  }

  @Test(arguments: [".tmp", ".replaced"], [false, true])
  func `restoring from a name that the destination works under leaves the source`(
    suffix: String, isThere: Bool
  ) throws {
    let disk = MemoryFileSystem()
    if isThere { try Self.snapshot(disk, ["other"], to: "copy") }
    try Self.snapshot(disk, ["one", "two"], to: "copy" + suffix)
    let error = #expect(throws: LogError.self) {
      try Self.restore(disk, from: "copy" + suffix, to: "copy", replacing: isThere)
    }
    #expect(error?.code == .badDestination)
    #expect(try Self.contents(disk, "copy" + suffix) == ["one", "two"])
    if isThere { #expect(try Self.contents(disk, "copy") == ["other"]) }
  }

  @Test(arguments: [".tmp", ".replaced"], [false, true])
  func `a log at a name that its copy would work under stays where it is`(
    suffix: String, isThere: Bool
  ) throws {
    let disk = MemoryFileSystem()
    if isThere { try Self.snapshot(disk, ["other"], to: "copy") }
    let log = try TestLog.open(disk, at: "copy" + suffix)
    try TestLog.append(log, ["one"])
    let error = #expect(throws: LogError.self) { try log.snapshot(to: "copy", replacing: isThere) }
    #expect(error?.code == .badDestination)
    try TestLog.append(log, ["two"])
    try log.close()
    #expect(try Self.contents(disk, "copy" + suffix) == ["one", "two"])
  }

  @Test(arguments: [false, true])
  func `somebody else's open log is not taken for what an interrupted replacement left`(isThere: Bool) throws
  {
    let disk = MemoryFileSystem()
    if isThere { try Self.snapshot(disk, ["other"], to: "copy") }
    let log = try TestLog.open(disk, at: TestLog.path)
    try TestLog.append(log, ["one"])
    let bystander = try TestLog.open(disk, at: "copy.replaced")
    try TestLog.append(bystander, ["mine"])
    #expect(
      try #require(throws: LogError.self) { try log.snapshot(to: "copy", replacing: true) }.code == .locked)
    try TestLog.append(bystander, ["still mine"])
    try bystander.close()
    #expect(try Self.contents(disk, "copy.replaced") == ["mine", "still mine"])
  }

  /// A process dies at any operation of a replacement, the next one replaces again, and then the power goes.
  @Test(arguments: [true, false])
  func `a replacement after a killed one never leaves less than one of the copies`(exchanges: Bool) throws {
    for stop in 4..<34 {
      for seed in 0..<8 as Range<UInt64> {
        var numbers = SeededGenerator(seed: seed)
        let disk = SimulatedDisk()
        let plain = ObservedFileSystem(disk) {
          $0.operation == .exchange && !exchanges ? .notSupported : nil
        }
        var log = try TestLog.open(disk)
        try TestLog.append(log, ["one"])
        try log.snapshot(to: "copy")
        try TestLog.append(log, ["two"])
        disk.failPower(after: stop)
        do { try log.snapshot(to: "copy", replacing: true, in: plain) } catch {}
        disk.failPower(after: .max)
        disk.dropLocks()
        log = try TestLog.open(disk, environment: SeededEnvironment(seed: 2))
        try TestLog.append(log, ["three"])
        disk.failPower(after: Int.random(in: 0..<40, using: &numbers))
        do { try log.snapshot(to: "copy", replacing: true, in: plain) } catch {}
        let after = disk.afterPowerCut(&numbers)
        if !exchanges, try after.status(of: "copy") == nil {
          // Between the two renames.
          #expect(try Self.contents(after, "copy.replaced").count >= 1, "stop \(stop), seed \(seed)")
          continue
        }
        let found = try? Self.contents(after, "copy")
        #expect(
          found == ["one"] || found == ["one", "two"] || found == ["one", "two", "three"],
          "stop \(stop), seed \(seed): \(found as Any)")
      }
    }
  }

  @Test func `an exchange that is said to have failed and has not leaves the old copy or the new one`() throws
  {
    for seed in 0..<20 as Range<UInt64> {
      var numbers = SeededGenerator(seed: seed)
      let disk = SimulatedDisk()
      let log = try TestLog.open(disk)
      try TestLog.append(log, ["one"])
      try log.snapshot(to: "copy")
      try TestLog.append(log, ["two"])
      disk.observe { _, call in
        call.operation == .exchange ? SimulatedDisk.Fault(.io, effect: .whole) : nil
      }
      #expect(throws: LogError.self) { try log.snapshot(to: "copy", replacing: true) }
      disk.observe(nil)
      let found = try Self.contents(disk.afterPowerCut(&numbers), "copy")
      #expect(found == ["one"] || found == ["one", "two"], "seed \(seed)")
      // The next one clears up.
      try log.snapshot(to: "copy", replacing: true)
      #expect(try Self.contents(disk, "copy") == ["one", "two"])
      #expect(try disk.status(of: "copy.tmp") == nil)
    }
  }

  @Test func `what is acknowledged in a copy whose maker was killed is still there after a power cut`() throws
  {
    for stop in 0..<40 {
      for seed in 0..<4 as Range<UInt64> {
        var numbers = SeededGenerator(seed: seed)
        let disk = SimulatedDisk()
        let log = try TestLog.open(disk)
        try TestLog.append(log, ["one"])
        disk.failPower(after: stop)
        do { try log.snapshot(to: "copy") } catch {}
        disk.failPower(after: .max)
        guard try disk.status(of: "copy") != nil else { continue }
        let copy = try SnapshotTests.opened(disk, at: "copy", seed: 5)
        try TestLog.append(copy, ["two"])
        #expect(copy.durableOffset == 2)
        let after = disk.afterPowerCut(&numbers)
        #expect(try after.status(of: "copy") != nil, "stop \(stop), seed \(seed)")
        guard try after.status(of: "copy") != nil else { continue }
        #expect(try Self.contents(after, "copy") == ["one", "two"], "stop \(stop), seed \(seed)")
      }
    }
  }

  @Test func `a restore of files that somebody copied without a sync is durable`() throws {
    let source = MemoryFileSystem()
    try Self.snapshot(source, ["one", "two"], to: "made")
    let image = try DiskImage(of: source, directory: "made")
    for seed in 0..<10 as Range<UInt64> {
      var numbers = SeededGenerator(seed: seed)
      let disk = SimulatedDisk()
      _ = try disk.createDirectory("copy")
      for (name, bytes) in image.files {
        try disk.open("copy/" + name, .createNew).write(bytes.span.rawBytes, at: 0)
      }
      try Self.restore(disk, from: "copy", to: "restored", replacing: false)
      #expect(try Self.contents(disk.afterPowerCut(&numbers), "restored") == ["one", "two"], "seed \(seed)")
    }
  }
}
