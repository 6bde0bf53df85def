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
