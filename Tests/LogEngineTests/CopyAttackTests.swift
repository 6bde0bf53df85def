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

  @Test func `what is acknowledged in a copy whose maker was killed is still there after a power cut`() throws
  {
    for stop in 0..<40 {
      for seed in 0..<4 as Range<UInt64> {
        var numbers = SeededGenerator(seed: seed)
        let disk = PowerCutFileSystem()
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
      let disk = PowerCutFileSystem()
      _ = try disk.createDirectory("copy")
      for (name, bytes) in image.files {
        try disk.open("copy/" + name, .createNew).write(bytes.span.rawBytes, at: 0)
      }
      try Self.restore(disk, from: "copy", to: "restored", replacing: false)
      #expect(try Self.contents(disk.afterPowerCut(&numbers), "restored") == ["one", "two"], "seed \(seed)")
    }
  }
}
