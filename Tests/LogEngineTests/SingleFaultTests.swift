import LogEngine
import PlatformIO
import StorageTesting
import Testing

/// Every single flipped bit and every truncation of a small log: the exact records, a reported tear, or a typed error.
@Suite struct SingleFaultTests {
  /// A log of one sealed and one active segment, and the records in it.
  static func image(closed: Bool) throws -> (image: DiskImage, records: [String]) {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    var records: [String] = []
    for number in 0..<12 {
      let batch = (0...number % 3).map {
        "\(number).\($0) " + String(repeating: "ab", count: 10 + 97 * ($0 + number) % 150)
      }
      try TestLog.append(log, batch)
      records += batch
    }
    if closed { try log.close() }
    return (try DiskImage(of: disk), records)
  }

  /// Opens a faulty image for writing and checks what comes out. The last batch is the only one that no later frame
  /// states to be durable, unless the log was closed.
  static func check(
    _ image: DiskImage, _ records: [String], mayLose: Int, _ fault: @autoclosure () -> String
  ) throws {
    let disk = try image.disk()
    let log: SegmentedLog
    do throws(LogError) {
      log = try TestLog.open(disk) { $0.creation = .mustExist }
    } catch {
      return
    }
    let found: [String]
    do throws(LogError) {
      found = try TestLog.records(log)
    } catch {
      Issue.record("\(fault()): opened, but reading fails: \(error)")
      return
    }
    if found == records { return }
    guard found.count < records.count, found == Array(records.prefix(found.count)) else {
      Issue.record("\(fault()): wrong records")
      return
    }
    if log.recovery.outcome != .torn || found.count < records.count - mayLose || log.recovery.keptAs == nil {
      Issue.record("\(fault()): \(records.count - found.count) records lost in silence, \(log.recovery)")
    }
  }

  @Test func `truncation at every length`() throws {
    for closed in [true, false] {
      let (image, records) = try Self.image(closed: closed)
      for name in image.segments {
        for length in 0..<(image.files[name]?.count ?? 0) {
          var faulty = image
          faulty.truncate(name, to: length)
          try Self.check(faulty, records, mayLose: 0, "\(name) cut to \(length)")
        }
      }
    }
  }

  @Test(arguments: [0, 1]) func `every single flipped bit of a closed log`(segment: Int) throws {
    let (image, records) = try Self.image(closed: true)
    try #require(image.segments.count == 2)
    let name = image.segments[segment]
    let count = try #require(image.files[name]).count
    try Self.flipBits(of: name, 0..<count, image, records, mayLose: 0)
    #expect(count * 2 >= 16 << 10)
  }

  @Test func `every single flipped bit of the frames that a killed writer left`() throws {
    let (image, records) = try Self.image(closed: false)
    let name = try #require(image.segments.last)
    let end = try #require(image.files[name]?.lastIndex { $0 != 0 }) + 64
    // The last batch, of three records, is the only one that no later frame states to be durable.
    try Self.flipBits(of: name, 8192..<end, image, records, mayLose: 3)
  }

  static func flipBits(
    of name: String, _ bytes: Range<Int>, _ image: DiskImage, _ records: [String], mayLose: Int
  ) throws {
    var faulty = image
    for byte in bytes {
      for bit in 0..<8 {
        faulty.flip(name, byte: byte, bit: bit)
        try check(faulty, records, mayLose: mayLose, "\(name) byte \(byte) bit \(bit)")
        faulty.flip(name, byte: byte, bit: bit)
      }
    }
  }
}
