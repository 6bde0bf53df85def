import LogEngine
import PlatformIO
import StorageTesting
import Testing

@Suite struct SegmentedLogTests {
  @Test func `records come back in order with their bytes`() throws {
    let disk = MemoryFileSystem()
    let log = try TestLog.open(disk)
    for number in 0..<100 { try TestLog.append(log, ["record \(number)"]) }
    #expect(log.latestOffset == 100)
    #expect(try TestLog.records(log) == (0..<100).map { "record \($0)" })
    try log.close()
    let again = try TestLog.open(disk)
    #expect(again.recovery.outcome == .clean)
    #expect(again.recovery.records == 100)
    #expect(try TestLog.records(again) == (0..<100).map { "record \($0)" })
  }
}
