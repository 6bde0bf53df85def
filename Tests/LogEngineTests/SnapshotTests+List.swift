import LogEngine
import PlatformIO
import StorageTesting
import Testing

extension SnapshotTests {
  // MARK: What the list is for

  /// A snapshot's files, changed.
  private func changed(_ change: (inout DiskImage) -> Void) throws -> MemoryFileSystem {
    let disk = MemoryFileSystem()
    try Self.filled(disk).0.snapshot(to: Self.path)
    var image = try DiskImage(of: disk, directory: Self.path)
    change(&image)
    return try image.disk(directory: Self.path)
  }

  @Test func `a listed segment that is missing, changed or foreign keeps writers out and is named`() throws {
    let other = MemoryFileSystem()
    let log = try TestLog.open(other)
    for number in 0..<100 { try TestLog.append(log, [RecoveryTests.record(number + 7)]) }
    let foreign = try DiskImage(of: other)
    let changes: [(String, (inout DiskImage) -> Void)] = [
      ("00000003.seg", { $0.files["00000003.seg"] = nil }),
      ("00000002.seg", { $0.files["00000002.seg"] = nil }),
      ("00000001.seg", { $0.files["00000001.seg"] = nil }),
      ("00000001.seg", { $0.flip("00000001.seg", byte: 9000, bit: 3) }),
      ("00000003.seg", { $0.truncate("00000003.seg", to: 9000) }),
      ("00000001.seg", { $0.files["00000001.seg"] = foreign.files["00000001.seg"] }),
      ("00000003.seg", { $0.rewriteHeaders("00000003.seg") { $0[176] ^= 1 } }),
    ]
    for (name, change) in changes {
      let disk = try changed(change)
      let before = try DiskImage(of: disk, directory: Self.path)
      let error = try #require(throws: LogError.self) { try Self.opened(disk) }
      #expect([.damaged, .missingSegment, .foreignSegment].contains(error.code), "\(name): \(error)")
      #expect(error.path.contains("seg") || error.code == .missingSegment, "\(name): \(error)")
      #expect(try DiskImage(of: disk, directory: Self.path) == before)
      #expect(
        try !SegmentedLog.verify(at: Self.path, application: .init(id: 0), fileSystem: disk) { _, _ in true }
          .isSound)
    }
  }

  @Test func `every flipped bit and every cut of SNAPSHOT is refused for writing, and reading goes on`()
    throws
  {
    let disk = MemoryFileSystem()
    let (log, records) = try Self.filled(disk, count: 60)
    try log.snapshot(to: Self.path)
    let image = try DiskImage(of: disk, directory: Self.path)
    let bytes = try #require(image.files["SNAPSHOT"])
    #expect(bytes.count == 80 + 3 * 32 + 8)
    for bit in 0..<bytes.count * 8 {
      var flipped = bytes
      flipped[bit / 8] ^= 1 << (bit % 8)
      #expect(SnapshotManifest.decode(flipped.span.rawBytes) == .invalid)
    }
    for length in 0..<bytes.count {
      #expect(SnapshotManifest.decode(Array(bytes[..<length]).span.rawBytes) == .invalid)
    }
    for place in [0, 9, 40, 90, 150] {
      var damaged = image
      damaged.flip("SNAPSHOT", byte: place, bit: 1)
      let disk = try damaged.disk(directory: Self.path)
      let error = try #require(throws: LogError.self) { try Self.opened(disk) }
      #expect(error.code == .damaged)
      #expect(error.path.hasSuffix("SNAPSHOT"))
      #expect(try DiskImage(of: disk, directory: Self.path) == damaged)
      let reader = try Self.opened(disk) { $0.access = .readOnly }
      #expect(try TestLog.records(reader) == records)
      #expect(reader.recovery.damage.map(\.kind) == [.snapshot])
    }
  }

  @Test func `hostile lists under a right checksum never trap`() throws {
    let disk = MemoryFileSystem()
    let (log, _) = try Self.filled(disk, count: 60)
    try log.snapshot(to: Self.path)
    let bytes = try #require(try DiskImage(of: disk, directory: Self.path).files["SNAPSHOT"])
    var generator = SeededGenerator(seed: 4)
    var refused = 0
    for _ in 0..<3000 {
      var hostile = bytes
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let place = Int.random(in: 8..<hostile.count - 8, using: &generator)
        hostile[place] =
          [0, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &generator)][
            Int.random(in: 0..<5, using: &generator)]
      }
      Self.resum(&hostile)
      if SnapshotManifest.decode(hostile.span.rawBytes) == .invalid { refused += 1 }
      // Whatever it says, opening says no or yes, and does not trap.
      var image = try DiskImage(of: disk, directory: Self.path)
      image.files["SNAPSHOT"] = hostile
      do { _ = try Self.opened(try image.disk(directory: Self.path)) } catch is LogError {}
    }
    #expect(refused > 500)
  }

  static func resum(_ bytes: inout [UInt8]) {
    let sum = XXH3.hash64(bytes.span.rawBytes.extracting(0..<bytes.count - 8))
    for index in 0..<8 {
      bytes[bytes.count - 8 + index] = UInt8(truncatingIfNeeded: sum >> UInt64(8 * index))
    }
  }

  @Test func `a list of a later version is refused by its number`() throws {
    let disk = try changed { image in
      image.files["SNAPSHOT"]?[8] = 2
      Self.resum(&image.files["SNAPSHOT"]!)
    }
    let error = try #require(throws: LogError.self) { try Self.opened(disk) }
    #expect(error.code == .newerFormat)
    #expect(error.detail.contains("version 2"))
  }

  @Test func `SNAPSHOT alone is no empty directory to create a log in`() throws {
    let disk = try changed { image in image.files = image.files.filter { $0.key == "SNAPSHOT" } }
    for access in [LogOptions.Access.readOnly, .readWrite] {
      #expect(throws: LogError.self) {
        try TestLog.open(disk, at: Self.path) { $0.access = access }
      }
    }
    #expect(try Self.names(disk) == ["SNAPSHOT"])
  }
}
