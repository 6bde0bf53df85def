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
        "\(number).\($0) " + String(repeating: "ab", count: 20 + 97 * ($0 + number) % 250)
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

  @Test(arguments: [true, false]) func `every single flipped bit`(closed: Bool) throws {
    let (image, records) = try Self.image(closed: closed)
    #expect(image.segments.count == 2)
    var flips = 0
    for name in image.segments {
      // The sealed segment is the same in both.
      if !closed, name == image.segments.first { continue }
      for byte in 0..<(image.files[name]?.count ?? 0) {
        for bit in 0..<8 {
          var faulty = image
          faulty.flip(name, byte: byte, bit: bit)
          try Self.check(faulty, records, mayLose: closed ? 0 : 3, "\(name) byte \(byte) bit \(bit)")
          flips += 1
        }
      }
    }
    #expect(flips >= 16 * 1024 * 8)
  }
}
