import PlatformIO
import StorageTesting
import Testing

@testable import LogEngine

@Suite struct VerifyTests {
  private func verify(_ disk: any FileSystem, threads: Int) -> Result<SegmentedLog.Verification, LogError> {
    do throws(LogError) {
      guard threads > 0 else {
        return .success(
          try SegmentedLog.verify(
            at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, check: { _, _ in true }))
      }
      return .success(
        try SegmentedLog.verify(
          at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, threads: threads,
          progress: { _, _ in }, check: { _, _ in true }))
    } catch {
      return .failure(error)
    }
  }

  @Test func `several threads find what one thread finds, whatever happened to the files`() throws {
    let (image, texts) = try SidecarTests.closed(200)
    #expect(try verify(image.disk(), threads: 4).get().records == UInt64(texts.count))
    var generator = SeededGenerator(seed: 1)
    var damaged = 0
    for round in 0..<400 {
      var spoiled = image
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let name = image.segments.randomElement(using: &generator)!
        let length = spoiled.files[name]?.count ?? 0
        guard length > 0 else { continue }
        switch Int.random(in: 0..<10, using: &generator) {
        case 0: spoiled.files[name] = nil
        case 1: spoiled.files[name] = image.files[image.segments.randomElement(using: &generator)!]
        case 2: spoiled.truncate(name, to: Int.random(in: 0..<length, using: &generator))
        case 3: spoiled.files[name]?.append(1)
        default: spoiled.flip(name, byte: Int.random(in: 0..<length, using: &generator), bit: 1)
        }
      }
      let disk = try spoiled.disk()
      let (one, several) = (verify(disk, threads: 0), verify(disk, threads: 4))
      switch (one, several) {
      case (.success(let one), .success(let several)):
        #expect(one.damage == several.damage, "round \(round)")
        #expect(one.torn?.bytes == several.torn?.bytes, "round \(round)")
        // Segments that are there twice have their records told once by one thread.
        #expect(several.records >= one.records, "round \(round)")
        if !one.isSound { damaged += 1 }
      case (.failure(let one), .failure(let several)): #expect(one == several, "round \(round)")
      default: Issue.record("round \(round): \(one) and \(several)")
      }
    }
    #expect(damaged > 200)
  }

  @Test func `the records of a segment that is gone, or whose header is, are named`() throws {
    let (image, texts) = try SidecarTests.closed(200)
    let disk = try image.disk()
    var starts: [Offset] = []
    for name in image.segments {
      let number = try #require(LogDirectory.segment(named: name))
      starts.append(
        try #require(try LogDirectory(TestLog.path, in: disk).openSegment(number).header).firstOffset)
    }
    let ends = Array(starts.dropFirst()) + [Offset(UInt64(texts.count) + 1)]
    try #require(starts.count >= 4)
    for place in 0..<starts.count - 1 {
      let lost = starts[place]..<ends[place]
      var broken = image
      broken.flip(image.segments[place], byte: 100, bit: 0)
      broken.flip(image.segments[place], byte: 4196, bit: 0)
      let headers = broken
      broken.files[image.segments[place]] = nil
      for (spoiled, kind) in [(headers, Damage.Kind.header), (broken, .missing)] {
        for threads in [0, 3] {
          let found = try verify(spoiled.disk(), threads: threads).get()
          #expect(found.damage.map(\.offsets) == [lost], "segment \(place + 1), \(kind)")
          #expect(found.damage.map(\.kind) == [kind])
          #expect(found.records + lost.upperBound.rawValue - lost.lowerBound.rawValue == UInt64(texts.count))
        }
      }
      #expect(try RecoveryTests.refusal(broken).offsets == lost)
    }
    // Two beside each other are one gap.
    var broken = image
    broken.files[image.segments[1]] = nil
    broken.files[image.segments[2]] = nil
    #expect(try verify(broken.disk(), threads: 2).get().damage.map(\.offsets) == [starts[1]..<ends[2]])
  }

  @Test func `progress ends with all bytes read`() throws {
    let (image, _) = try SidecarTests.closed()
    let told = Locked([(UInt64, UInt64)]())
    _ = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: image.disk(), threads: 2,
      progress: { done, total in told.withLock { $0.append((done, total)) } }, check: { _, _ in true })
    let total = UInt64(image.segments.reduce(0) { $0 + image.files[$1]!.count })
    #expect(told.withLock { $0.count } == image.segments.count)
    #expect(told.withLock { $0.allSatisfy { $0.1 == total && $0.0 <= total } })
    #expect(told.withLock { $0.last!.0 } == total)
  }
}
