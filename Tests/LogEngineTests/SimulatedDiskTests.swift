import LogEngine
import PlatformIO
import StorageTesting
import Testing

/// The simulated disk can do what its fault model says, and nothing that a sync rules out.
@Suite struct SimulatedDiskTests {
  private static let path = "log/file"

  private static func bytes(_ byte: UInt8, _ count: Int) -> [UInt8] { [UInt8](repeating: byte, count: count) }

  /// What of the file a cut may leave, by content; nil for no file.
  private static func outcomes(_ disk: SimulatedDisk, _ path: String = path) throws -> Set<[UInt8]?> {
    var outcomes: Set<[UInt8]?> = []
    var numbers = SeededGenerator(seed: 1)
    let crash = disk.crashStates()
    try crash.forEachChoice(limit: 4096, &numbers) { choice in
      let after = crash.disk(choice)
      outcomes.insert(try after.status(of: path) == nil ? nil : after.open(path, .readOnly).allBytes())
    }
    return outcomes
  }

  private static func file(_ content: [UInt8], profile: SimulatedDisk.Profile = .strict) throws -> (
    SimulatedDisk, any LogFile
  ) {
    var image = DiskImage()
    image.files["file"] = content
    let disk = SimulatedDisk(image, profile: profile)
    return (disk, try disk.open(path, .readWrite))
  }

  @Test func `of unsynced sectors any combination arrives, and each in part`() throws {
    let (disk, file) = try Self.file(Self.bytes(0, 1024))
    try file.write(Self.bytes(1, 1024).span.rawBytes, at: 0)
    let outcomes = try Self.outcomes(disk)
    for first in [0, 1] as [UInt8] {
      for second in [0, 1] as [UInt8] {
        #expect(outcomes.contains(Self.bytes(first, 512) + Self.bytes(second, 512)))
      }
    }
    #expect(outcomes.contains { $0?.firstIndex(of: 0) ?? 0 % 512 != 0 }, "a torn one")
    #expect(outcomes.allSatisfy { ($0?.firstIndex(of: 0) ?? 0) % 8 == 0 }, "at a multiple of eight")
    try file.sync()
    #expect(try Self.outcomes(disk) == [Self.bytes(1, 1024)])
  }

  @Test func `a sector that was written twice arrives as it was at either time`() throws {
    let (disk, file) = try Self.file(Self.bytes(0, 8))
    try file.write(Self.bytes(1, 8).span.rawBytes, at: 0)
    try file.write(Self.bytes(2, 8).span.rawBytes, at: 0)
    #expect(try Self.outcomes(disk).isSuperset(of: [Self.bytes(0, 8), Self.bytes(1, 8), Self.bytes(2, 8)]))
  }

  @Test func `length and data arrive apart, and a tail may be stale`() throws {
    let (disk, file) = try Self.file([])
    try disk.open("log/other", .createNew).write(Self.bytes(9, 512).span.rawBytes, at: 0)
    try disk.open("log/other", .readWrite).sync()
    try file.write(Self.bytes(1, 512).span.rawBytes, at: 0)
    let outcomes = try Self.outcomes(disk)
    #expect(outcomes.isSuperset(of: [[], Self.bytes(0, 512), Self.bytes(1, 512), Self.bytes(9, 512)]))
    try file.sync()
    #expect(try Self.outcomes(disk) == [Self.bytes(1, 512)])
  }

  @Test func `a file that grows may stop at any sector on the way`() throws {
    let (disk, file) = try Self.file(Self.bytes(1, 700))
    try file.preallocate(2000)
    try file.setLength(1200)
    try file.setLength(2600)
    let lengths = Set(try Self.outcomes(disk).map { $0?.count })
    #expect(lengths == [700, 1024, 1200, 1536, 2000, 2048, 2560, 2600])
    let crash = disk.crashStates()
    for length in 0...3000 {
      var image = DiskImage()
      image.files["file"] = Self.bytes(1, min(length, 700)) + Self.bytes(0, max(0, length - 700))
      #expect((crash.mismatch(image, directory: "log") == nil) == lengths.contains(length), "\(length)")
    }
    try file.sync()
    #expect(try Self.outcomes(disk).map { $0?.count } == [2600])
  }

  @Test func `what was cut off before it was synced does not come back when the file grows`() throws {
    let (disk, file) = try Self.file([])
    try file.write(Self.bytes(1, 2000).span.rawBytes, at: 0)
    try file.setLength(100)
    try file.preallocate(2000)
    try file.sync()
    #expect(try Self.outcomes(disk) == [Self.bytes(1, 100) + Self.bytes(0, 1900)])
  }

  @Test func `of a cut file there may be all, or zeros in place of what was cut off`() throws {
    let (disk, file) = try Self.file(Self.bytes(1, 1000))
    try file.setLength(300)
    let outcomes = try Self.outcomes(disk)
    let first = Self.bytes(1, 300) + Self.bytes(0, 212)
    #expect(
      outcomes.isSuperset(of: [
        Self.bytes(1, 300), Self.bytes(1, 1000), first + Self.bytes(1, 488), first + Self.bytes(0, 488),
      ]))
    #expect(outcomes.allSatisfy { $0?.starts(with: Self.bytes(1, 300)) == true })
    try file.sync()
    #expect(try Self.outcomes(disk) == [Self.bytes(1, 300)])
  }

  @Test func `where a cut file grows again there may be zeros, by a write as well`() throws {
    // As ext4 was seen to do it: the cut and the new length are there, and the write is not.
    let (disk, file) = try Self.file(Self.bytes(1, 1536))
    try file.setLength(512)
    try file.write(Self.bytes(2, 1024).span.rawBytes, at: 512)
    let first = Self.bytes(1, 512)
    #expect(
      try Self.outcomes(disk).isSuperset(of: [
        first + Self.bytes(1, 1024), first + Self.bytes(0, 1024), first + Self.bytes(2, 1024),
        first + Self.bytes(0, 512) + Self.bytes(2, 512),
      ]))
    try file.sync()
    #expect(try Self.outcomes(disk) == [first + Self.bytes(2, 1024)])
  }

  @Test func `a name is there once the directory is synced, and not by the sync of the file`() throws {
    let disk = SimulatedDisk()
    let file = try disk.open(Self.path, .createNew)
    try file.sync()
    #expect(try Self.outcomes(disk) == [nil, []])
    try disk.syncDirectory("log")
    #expect(try Self.outcomes(disk) == [[]])
  }

  @Test func `names arrive in any order, a rename and an exchange whole`() throws {
    let (disk, _) = try Self.file([1])
    try disk.link(Self.path, as: "log/second")
    try disk.unlink(Self.path)
    var found: Set<[String]> = []
    var numbers = SeededGenerator(seed: 1)
    var crash = disk.crashStates()
    try crash.forEachChoice(limit: 100, &numbers) {
      found.insert(try crash.disk($0).entries(of: "log").sorted())
    }
    #expect(found == [["file"], ["file", "second"], ["second"], []])

    let (moved, _) = try Self.file([1])
    try moved.rename(Self.path, to: "log/second")
    found = []
    crash = moved.crashStates()
    try crash.forEachChoice(limit: 100, &numbers) {
      found.insert(try crash.disk($0).entries(of: "log").sorted())
    }
    #expect(found == [["file"], ["second"]])
  }

  @Test func `what a failed sync leaves is seen and not written, until it is written again`() throws {
    let (disk, file) = try Self.file(Self.bytes(0, 8))
    try file.write(Self.bytes(1, 8).span.rawBytes, at: 0)
    disk.failNextSync(at: Self.path)
    #expect(throws: FileSystemError.self) { try file.sync() }
    try file.sync()
    #expect(try file.allBytes() == Self.bytes(1, 8))
    #expect(try Self.outcomes(disk).isSuperset(of: [Self.bytes(0, 8), Self.bytes(1, 8)]))
    try file.write(Self.bytes(1, 8).span.rawBytes, at: 0)
    try file.sync()
    #expect(try Self.outcomes(disk) == [Self.bytes(1, 8)])
  }

  @Test func `a lying sync is one that fails and does not say so`() throws {
    let (disk, file) = try Self.file(Self.bytes(0, 8), profile: .lyingSync)
    try file.write(Self.bytes(1, 8).span.rawBytes, at: 0)
    try file.sync()
    #expect(try Self.outcomes(disk).isSuperset(of: [Self.bytes(0, 8), Self.bytes(1, 8)]))
  }

  @Test func `an ordered journal keeps the order of names, and data before the length that shows it`() throws
  {
    let disk = SimulatedDisk(profile: .orderedJournal)
    try disk.open(Self.path, .createNew).write(Self.bytes(1, 512).span.rawBytes, at: 0)
    _ = try disk.open("log/second", .createNew)
    #expect(try Self.outcomes(disk) == [nil, [], Self.bytes(1, 512)])
    #expect(try Self.outcomes(disk, "log/second") == [nil, []])
    var numbers = SeededGenerator(seed: 1)
    let crash = disk.crashStates()
    try crash.forEachChoice(limit: 100, &numbers) { choice in
      let after = crash.disk(choice)
      if try after.status(of: "log/second") != nil { #expect(try after.status(of: Self.path)?.length == 512) }
    }
    // Any sync takes along what came before it.
    try disk.open("log/third", .createNew).sync()
    #expect(try Self.outcomes(disk) == [Self.bytes(1, 512)])
  }

  @Test func `an operation fails as it is told to, with so much of it done`() throws {
    let (disk, file) = try Self.file(Self.bytes(0, 8))
    disk.observe { _, call in call.operation == .write ? SimulatedDisk.Fault(.noSpace, effect: .half) : nil }
    let error = try #require(throws: FileSystemError.self) {
      try file.write(Self.bytes(1, 8).span.rawBytes, at: 0)
    }
    #expect(error.code == .noSpace)
    #expect(try file.allBytes() == Self.bytes(1, 4) + Self.bytes(0, 4))
    disk.observe { _, call in call.operation == .link ? SimulatedDisk.Fault(.io, effect: .whole) : nil }
    #expect(throws: FileSystemError.self) { try disk.link(Self.path, as: "log/second") }
    #expect(try disk.status(of: "log/second") != nil)
  }

  @Test func `what a cut leaves is told from what it cannot leave`() throws {
    var numbers = SeededGenerator(seed: 4)
    for _ in 0..<20 {
      let disk = SimulatedDisk()
      let log = try TestLog.open(disk) { $0.syncPolicy = .never }
      for number in 0..<Int.random(in: 1...30, using: &numbers) {
        try TestLog.append(log, ["\(number) " + String(repeating: "x", count: 400)])
      }
      let crash = disk.crashStates()
      for _ in 0..<20 {
        let choice = crash.random(&numbers)
        if crash.kinds(choice).contains(.staleTailed) { continue }
        var image = try DiskImage(of: crash.disk(choice))
        #expect(crash.mismatch(image, directory: TestLog.path) == nil)
        guard let name = image.segments.last, let count = image.files[name]?.count, count > 0 else {
          continue
        }
        image.flip(name, byte: Int.random(in: 0..<count, using: &numbers), bit: 3)
        #expect(crash.mismatch(image, directory: TestLog.path) != nil)
      }
    }
  }

  @Test func `directories are explained along with the names that lead to them`() throws {
    var image = DiskImage()
    image.files["file"] = [1]
    let disk = SimulatedDisk(image, directory: "disk")
    _ = try disk.createDirectory("disk/new")
    let file = try disk.open("disk/new/file", .createNew)
    try file.write([2].span.rawBytes, at: 0)
    try file.sync()
    try disk.syncDirectory("disk/new")
    try disk.renameNew("disk/new", to: "disk/log")
    func explains(_ found: [String: [String: [UInt8]]], _ disk: SimulatedDisk) -> Bool {
      let images = found.mapValues { files in
        var image = DiskImage()
        image.files = files
        return image
      }
      return disk.crashStates().mismatch(images, parent: "disk") == nil
    }
    try disk.unlink("disk/file")
    #expect(explains([:], disk))
    #expect(explains(["new": ["file": [2]]], disk))
    #expect(explains(["log": ["file": [2]]], disk))
    #expect(!explains(["log": [:]], disk), "its names were synced")
    #expect(!explains(["log": ["file": [3]]], disk))
    #expect(!explains(["log": ["file": [2]], "new": ["file": [2]]], disk), "a rename is whole")
    try disk.syncDirectory("disk")
    #expect(!explains(["new": ["file": [2]]], disk))
    #expect(explains(["log": ["file": [2]]], disk))
  }

  // MARK: Replaying

  /// A life that makes a log's file of eight bytes, durably, and then does more.
  private static func life(_ more: [(TracedOperation.Call, start: UInt64, end: UInt64?)]) -> [TracedOperation]
  {
    let begin: [TracedOperation.Call] = [
      .createDirectory, .open(.createNew), .write(file: 2, position: 0, bytes: bytes(1, 8)), .sync(file: 2),
      .syncDirectory, .syncDirectory,
    ]
    let paths = ["disk/l", "disk/l/f", "disk/l/f", "disk/l/f", "disk/l", "disk"]
    let first = zip(begin, paths).enumerated().map { place, made in
      let start = UInt64(10 * place)
      return TracedOperation(place + 1, made.0, made.1, start: start, end: start + 5)
    }
    return first
      + more.enumerated().map { place, operation in
        TracedOperation(place + 7, operation.0, "disk/l/f", start: operation.start, end: operation.end)
      }
  }

  private static func found(_ content: [UInt8]) -> [String: DiskImage] {
    var image = DiskImage()
    image.files["f"] = content
    return ["l": image]
  }

  @Test func `a replay explains what was under way, and not what was not there`() throws {
    let old = Self.bytes(1, 8)
    let new = Self.bytes(2, 8)
    let life = Self.life([
      (.write(file: 2, position: 0, bytes: new), start: 100, end: 120),
      (.sync(file: 2), start: 130, end: 150),
    ])
    /// At these moments, one after the other.
    func explains(_ contents: [(UInt64, [UInt8])]) throws -> [Bool] {
      var replay = DiskReplay()
      try replay.begin(life)
      return try contents.map { try replay.judge(Self.found($1), at: $0).isPossible }
    }
    #expect(
      try explains([(90, old), (110, old), (125, old), (140, old), (160, old)]) == [
        true, true, true, true, false,
      ])
    #expect(
      try explains([(90, new), (110, new), (125, new), (140, new), (160, new)]) == [
        false, true, true, true, true,
      ])
    #expect(try explains([(160, [2, 2, 2, 3, 2, 2, 2, 2])]) == [false], "one bit")
  }

  @Test func `a sync covers what ended before it began`() throws {
    let old = Self.bytes(1, 8)
    let new = Self.bytes(2, 8)
    var replay = DiskReplay()
    try replay.begin(
      Self.life([
        (.write(file: 2, position: 0, bytes: new), start: 100, end: 120),
        (.sync(file: 2), start: 110, end: 130),
      ]))
    #expect(try replay.judge(Self.found(old), at: 200).isPossible)
    #expect(try replay.judge(Self.found(new), at: 200).isPossible)
  }

  @Test func `what a killed process was about has happened, in part, or not, and from then on always`() throws
  {
    let old = Self.bytes(1, 8)
    let new = Self.bytes(2, 5000)
    // The heir syncs what it finds.
    let heir = [(TracedOperation.Call.open(.readWrite), 200), (.sync(file: 1), 210)].enumerated().map {
      place, operation in
      TracedOperation(place + 1, operation.0, "disk/l/f", start: operation.1, end: operation.1 + 5)
    }
    let outcomes = [old, Array(new[..<4096]), new]
    for outcome in outcomes {
      var replay = DiskReplay()
      try replay.begin(Self.life([(.write(file: 2, position: 0, bytes: new), start: 100, end: nil)]))
      try replay.begin(heir)
      #expect(try replay.judge(Self.found(outcome), at: 300).isPossible)
      for other in outcomes where other != outcome {
        #expect(try !replay.judge(Self.found(other), at: 300).isPossible)
      }
      #expect(try !replay.judge(Self.found(Array(new[..<1000])), at: 300).isPossible)
    }
  }

  @Test func `what cannot be replayed is said to be so`() throws {
    var replay = DiskReplay()
    try replay.begin([TracedOperation(1, .unlink, "disk/nothing", start: 1, end: 2)])
    #expect(throws: DiskReplay.Impossible.self) { try replay.judge([:], at: 10) }
  }
}
