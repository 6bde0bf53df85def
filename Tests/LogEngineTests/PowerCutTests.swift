import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

/// What was acknowledged as durable is there after any power cut, whole and in order, and nothing that was never written.
@Suite struct PowerCutTests {
  /// What is known of a log across the lives of its disk.
  private struct Knowledge {
    /// What may stand at an offset: what was handed to an append that did not say that it failed.
    var written: [Offset: Set<String>] = [:]
    var durable: [Offset: String] = [:]
    /// Where the log may start: at 1, or where a reset was asked for.
    var starts: Set<Offset> = [1]
  }

  @Test(arguments: [SyncPolicy.always, .never])
  func `power cuts at random moments of random lives lose nothing durable`(
    policy: SyncPolicy
  ) throws {
    var torn = 0
    var restored = 0
    for seed in 1...600 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: policy == .always ? seed : seed + 1_000_000)
      var disk = SimulatedDisk()
      var known = Knowledge()
      for life in 0..<4 {
        disk.failPower(after: Int.random(in: 1...(life == 0 ? 120 : 60), using: &generator))
        do throws(LogError) {
          let index = TextIndex()
          let environment = SeededEnvironment(seed: seed * 31 + UInt64(life))
          let log = try TestLog.open(disk, index: index, environment: environment) { $0.syncPolicy = policy }
          if log.recovery.outcome == .torn { torn += 1 }
          restored += index.segmentsRestored
          try check(log, index, &known, "seed \(seed), life \(life)")
          try use(log, index, environment, disk, &known, "\(seed)-\(life)", &generator)
        } catch {
          // The power went, or the disk was full for a reset or a close; nothing else may have happened.
          try #require(
            error.code == .outcomeUnknown || error.cause?.code == .io || error.cause?.code == .noSpace,
            "seed \(seed), life \(life): \(error)")
        }
        disk = disk.afterPowerCut(&generator)
      }
    }
    #expect(torn > 50, "the cuts leave tears to recover from")
    #expect(restored > 200, "and sidecars to open from")
  }

  private func check(
    _ log: SegmentedLog, _ index: TextIndex, _ known: inout Knowledge, _ place: String
  ) throws(LogError) {
    var found: [Offset: String] = [:]
    try log.forEachRecord(from: 1) { offset, record in
      found[offset] = TestLog.text(record)
      return true
    }
    #expect(index.texts == found, "\(place): sidecars hide and invent nothing")
    #expect(known.starts.contains(log.firstOffset), "\(place)")
    for (offset, record) in known.durable where offset >= log.firstOffset {
      #expect(found[offset] == record, "\(place): durable offset \(offset)")
    }
    for (offset, record) in found {
      #expect(
        known.written[offset]?.contains(record) == true, "\(place): offset \(offset) was never written so")
    }
    // Opening for writing has vouched for what it found.
    known.written = found.mapValues { [$0] }
    known.durable = found
  }

  private func use(
    _ log: SegmentedLog, _ index: TextIndex, _ environment: SeededEnvironment, _ disk: SimulatedDisk,
    _ known: inout Knowledge, _ name: String,
    _ generator: inout SeededGenerator
  ) throws(LogError) {
    defer { disk.setRoom() }
    for step in 0..<200 {
      switch Int.random(in: 0..<40, using: &generator) {
      case 0:
        known.starts.insert(log.latestOffset.next)
        try log.reset()
        known.durable = [:]
      case 1: try log.sync()
      case 2, 3:
        return try log.close()
      case 4...6: environment.advance(by: .zero)
      case 7:
        let spans = try log.segmentSpans()
        for span in spans { known.starts.formUnion([span.offsets.lowerBound, span.offsets.upperBound]) }
        try log.trim(before: spans[Int.random(in: 0..<spans.count, using: &generator)].offsets.upperBound)
      default:
        var records: [String] = []
        for part in 0..<Int.random(in: 1...3, using: &generator) {
          let filling = Character(Unicode.Scalar(UInt8.random(in: 97...122, using: &generator)))
          let length = Int.random(in: 0...1500, using: &generator)
          records.append("\(name)-\(step)-\(part) " + String(repeating: filling, count: length))
        }
        if Int.random(in: 0..<30, using: &generator) == 0 {
          disk.setRoom(Int.random(in: 0...3000, using: &generator))
        }
        try append(records, log, index, disk, &known)
      }
      for (offset, records) in known.written where offset <= log.durableOffset && offset >= log.firstOffset {
        #expect(records.count == 1)
        known.durable[offset] = records.first
      }
    }
  }

  private func append(
    _ records: [String], _ log: SegmentedLog, _ index: TextIndex, _ disk: SimulatedDisk,
    _ known: inout Knowledge
  ) throws(LogError) {
    let before = known.written
    let first = log.latestOffset.next
    for (place, record) in records.enumerated() {
      known.written[first.advanced(by: UInt64(place)), default: []].insert(record)
    }
    do throws(LogError) {
      try TestLog.append(log, index, records)
      for (place, record) in records.enumerated() {
        known.written[first.advanced(by: UInt64(place))] = [record]
      }
      if log.syncPolicy == .always { #expect(log.durableOffset == log.latestOffset) }
    } catch {
      // A full disk: nothing of the call can be read, and the next one succeeds when there is room.
      guard error.cause?.code == .noSpace else { throw error }
      #expect(log.latestOffset.next == first)
      if error.code == .fileSystem { known.written = before }
      disk.setRoom()
    }
  }

  @Test func `torn bytes whose clearing failed to reach the disk do not come back as records`() throws {
    // One record is durable; of two more, each a page long, the first lacks a sector and the second arrived.
    var image = try RecoveryTests.killed(durable: 1, buffered: 2, segmentSize: 64 << 10, size: 4055)
    let second = RecoveryTests.frame(1, size: 4055)
    try #require(second == 12288)
    image.overwrite(RecoveryTests.first, at: second + 1024, with: [UInt8](repeating: 0, count: 512))
    let disk = SimulatedDisk(image)
    disk.failNextSync(of: RecoveryTests.first)
    #expect(try #require(throws: LogError.self) { try TestLog.open(disk) }.cause?.code == .io)

    // The cache shows zeros by now, and no sync will write them again.
    let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 6))
    #expect(log.recovery.outcome == .torn)
    #expect(log.recovery.keptAs != nil)
    // The application repeats what it had no word of. In the old place it would have the old third record behind it.
    try TestLog.append(log, [RecoveryTests.record(2, 4055)])
    let acknowledged = try TestLog.records(log)
    var generator = SeededGenerator(seed: 1)
    let again = try TestLog.open(disk.afterPowerCut(&generator), environment: SeededEnvironment(seed: 7))
    #expect(try TestLog.records(again) == acknowledged)
  }

  @Test(arguments: [true, false])
  func `a failed write that was taken back in the cache alone does not come back`(isQuiet: Bool) throws {
    let environment = SeededEnvironment(seed: 1)
    let disk = SimulatedDisk()
    func batch(_ number: Int) throws -> RecordBatch {
      var batch = RecordBatch()
      // Each frame ends with a sector, also behind a sync frame.
      let count = isQuiet && number == 2 ? 448 : 480
      try batch.append([UInt8](repeating: UInt8(number), count: count).span.rawBytes)
      return batch
    }
    do {
      let log = try TestLog.open(disk, environment: environment, segmentSize: 64 << 10)
      var first = try batch(1)
      try log.append(&first)
      if isQuiet { environment.advance(by: .seconds(1)) }
      // Of three batches that are written together two arrive whole, and the system writes them to the disk by and by.
      disk.setRoom(1200)
      let appends = try (2...4).map { log.submit(try batch($0)) }
      for append in appends { #expect(throws: LogError.self) { try log.outcome(of: append).get() } }
      try disk.open(TestLog.path + "/" + RecoveryTests.first, .readWrite).sync()
      // They are overwritten with zeros, which the disk does not take.
      disk.setRoom()
      disk.failNextSync(of: RecoveryTests.first)
      #expect(try #require(throws: LogError.self) { try TestLog.append(log, ["x"]) }.code == .outcomeUnknown)
    }

    disk.dropLocks()
    let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 6))
    #expect(again.recovery.outcome == .clean)
    // The application repeats the first of them, which goes where it went before.
    var repeated = try batch(2)
    try again.append(&repeated)
    let acknowledged = try TestLog.records(again)
    #expect(acknowledged.count == 2)
    var generator = SeededGenerator(seed: 1)
    let last = try TestLog.open(disk.afterPowerCut(&generator), environment: SeededEnvironment(seed: 7))
    #expect(try TestLog.records(last) == acknowledged)
  }

  @Test func `a batch that failed in a segment of its own does not come back`() throws {
    for seed in 1...40 as ClosedRange<UInt64> {
      var generator = SeededGenerator(seed: seed)
      let disk = SimulatedDisk()
      let log = try TestLog.open(disk)
      try TestLog.append(log, [RecoveryTests.record(0, 7000)])
      // The first of two that are written together goes into the next segment whole, the second does not.
      disk.setRoom(9400)
      let appends = try [500, 3000].map { count in
        var batch = RecordBatch()
        try batch.append([UInt8](repeating: 7, count: count).span.rawBytes)
        return log.submit(batch)
      }
      for append in appends {
        #expect(try #require(throws: LogError.self) { try log.outcome(of: append).get() }.code == .fileSystem)
      }
      let again = try TestLog.open(disk.afterPowerCut(&generator), environment: SeededEnvironment(seed: 2))
      #expect(try TestLog.records(again) == [RecoveryTests.record(0, 7000)], "seed \(seed)")
    }
  }

  @Test(arguments: [false, true])
  func `what a failed sync left in the cache alone is written again before it counts`(
    rolls: Bool
  ) throws {
    for seed in 1...20 as ClosedRange<UInt64> {
      let disk = SimulatedDisk()
      do {
        let log = try TestLog.open(disk) { $0.syncPolicy = .never }
        try TestLog.append(log, ["one"])
        try log.sync()
        try TestLog.append(log, ["two"])
        disk.failNextSync(of: RecoveryTests.first)
        #expect(throws: LogError.self) {
          if rolls {
            try TestLog.append(log, [String(repeating: "x", count: 20_000)])
          } else {
            try log.sync()
          }
        }
      }
      // The cache shows all of it, and a sync alone would say that it is durable.
      disk.dropLocks()
      let again = try TestLog.open(disk, environment: SeededEnvironment(seed: 2))
      #expect(again.recovery.outcome == (rolls ? .sealed : .clean))
      try TestLog.append(again, ["three"])
      #expect(try TestLog.records(again) == ["one", "two", "three"])
      var generator = SeededGenerator(seed: seed)
      let last = try TestLog.open(disk.afterPowerCut(&generator), environment: SeededEnvironment(seed: 3))
      #expect(try TestLog.records(last) == ["one", "two", "three"])
    }
  }
}
