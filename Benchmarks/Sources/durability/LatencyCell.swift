internal import AgentEvents
internal import Harness
internal import LogEngine
internal import RunLedger

/// Appends events one by one under `.never`, each timed.
struct LatencyCell {
  let count: Int
  let seed: UInt64
  let path: String
  let segmentSize: Int

  init(_ settings: Settings) throws {
    count = try settings.number("count")
    seed = try settings.seed()
    path = try settings.text("path")
    segmentSize = try settings.number("segmentSize")
  }

  /// Events are made this many at a time, off the clock; memory is sampled as often.
  private static let chunkCount = 4000
  /// What took longer is looked into. A roll takes three syncs, so none is quicker.
  private static let slowNanoseconds: UInt64 = 5000

  /// A slow append and what happened meanwhile.
  private struct Slow {
    var number: Int
    var nanoseconds: UInt64
    var second: Double
    var rolls: Int
    var usage: SystemCall.ThreadUsage
    var indexGrowth: Int

    var text: String {
      var causes: [String] = []
      if rolls > 0 { causes.append(rolls == 1 ? "rolled" : "rolled \(rolls)×") }
      if usage.waits > 0 { causes.append("waited \(usage.waits)×") }
      if usage.preemptions > 0 { causes.append("preempted \(usage.preemptions)×") }
      if usage.pageFaults > 0 { causes.append("\(Layout.grouped(usage.pageFaults)) page faults") }
      if indexGrowth >= 1024 { causes.append("index grew by \(indexGrowth >> 10) KiB") }
      let time = Layout.decimals(Double(nanoseconds) / 1000, 0)
      return
        "\(time) µs, event \(Layout.grouped(number + 1)), second \(Layout.decimals(second, 1)): \(causes.isEmpty ? "nothing known" : causes.joined(separator: ", "))"
    }
  }

  /// The ten slowest, slowest first.
  private struct Slowest {
    private(set) var appends: [Slow] = []

    func takes(_ nanoseconds: UInt64) -> Bool {
      appends.count < 10 || nanoseconds > appends[9].nanoseconds
    }

    mutating func add(_ append: Slow) {
      let place = appends.firstIndex { $0.nanoseconds < append.nanoseconds } ?? appends.count
      appends.insert(append, at: place)
      if appends.count > 10 { appends.removeLast() }
    }
  }

  func run(_ findings: inout Findings) throws {
    try EngineName.ledger.warmUp(
      beside: path, .unsynced, byteCount: 1 << 20, events: Self.chunkCount, batchSize: 1, seed: seed)
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = .never
    options.segmentSize = UInt64(segmentSize)
    let ledger = try Ledger.open(at: path, options: options)

    var (all, rolled, plain) = (Histogram(), Histogram(), Histogram())
    var slowest = Slowest()
    var (busy, unseenRolls) = (UInt64(0), 0)
    var segments = ledger.size.segments
    var indexBytes = ledger.indexSize.index
    var stream = Stream(seed: seed, count: count)
    let start = SystemCall.nanoseconds()
    while let chunk = try stream.next() {
      let first = stream.made - chunk.count
      var usage = SystemCall.threadUsage()
      for place in chunk.indices {
        let before = SystemCall.nanoseconds()
        try ledger.append(chunk[place])
        let nanoseconds = SystemCall.nanoseconds() - before
        all.add(nanoseconds)
        busy += nanoseconds
        let usageAfter = SystemCall.threadUsage()
        if nanoseconds > Self.slowNanoseconds {
          let segmentsAfter = ledger.size.segments
          if segmentsAfter > segments { rolled.add(nanoseconds) } else { plain.add(nanoseconds) }
          if slowest.takes(nanoseconds) {
            let indexAfter = ledger.indexSize.index
            slowest.add(
              Slow(
                number: first + place, nanoseconds: nanoseconds, second: SystemCall.seconds(since: start),
                rolls: segmentsAfter - segments, usage: usageAfter - usage,
                indexGrowth: indexAfter - indexBytes))
            indexBytes = indexAfter
          }
          segments = segmentsAfter
        } else {
          plain.add(nanoseconds)
          if place % 64 == 0 { indexBytes = ledger.indexSize.index }
        }
        usage = usageAfter
      }
      unseenRolls += ledger.size.segments - segments
      segments = ledger.size.segments
    }
    findings["wallSeconds"] = SystemCall.seconds(since: start)
    findings["rate"] = Double(count) / (Double(busy) / 1e9)
    findings["clockNanoseconds"] = Self.clockNanoseconds()
    all.report(as: "append") { findings[$0] = $1 }
    rolled.report(as: "roll") { findings[$0] = $1 }
    plain.report(as: "plain") { findings[$0] = $1 }
    findings["rolls"] = Double(segments - 1)
    findings["unseenRolls"] = Double(unseenRolls)
    findings.notes = slowest.appends.map(\.text)
    try finish(ledger, &stream, &findings)
  }

  private func finish(_ ledger: Ledger, _ stream: inout Stream, _ findings: inout Findings) throws {
    guard ledger.eventCount == count, ledger.runCount == stream.runCount else {
      throw BenchmarkError("the ledger holds \(ledger.eventCount) events of \(ledger.runCount) runs")
    }
    let (indexBytes, nameBytes) = ledger.indexSize
    (findings["indexBytes"], findings["nameBytes"]) = (Double(indexBytes), Double(nameBytes))
    findings["segmentBytes"] = Double(ledger.size.bytes)
    findings["segments"] = Double(ledger.size.segments)
    let closing = SystemCall.nanoseconds()
    try ledger.close()
    findings["closeSeconds"] = SystemCall.seconds(since: closing)
    let sidecars = SystemCall.entries(path).filter { $0.hasSuffix(".idx") }
    findings["sidecars"] = Double(sidecars.count)
    findings["sidecarBytes"] = Double(
      sidecars.reduce(0) { $0 + (SystemCall.length("\(path)/\($1)") ?? 0) })
    findings["allocatedBytes"] = Double(SystemCall.allocatedBytes(path))
    try stream.report(&findings)
  }

  /// What timing adds to each append: about one reading of the clock, half of it before and half behind.
  private static func clockNanoseconds() -> Double {
    let start = SystemCall.nanoseconds()
    for _ in 0..<100_000 { _ = SystemCall.nanoseconds() }
    return Double(SystemCall.nanoseconds() - start) / 100_000
  }

  /// The same without a ledger: what the generator's own memory grows by.
  func runAlone(_ findings: inout Findings) throws {
    var stream = Stream(seed: seed, count: count)
    while try stream.next() != nil {}
    try stream.report(&findings)
  }

  /// The events, chunk by chunk, with the process's memory sampled before each.
  private struct Stream {
    private var events: EventGenerator
    private let count: Int
    private var digest = RowDigest()
    private var payloadBytes = 0
    private var first: SystemCall.Memory?
    private var peak = SystemCall.Memory()

    init(seed: UInt64, count: Int) {
      events = EventGenerator(seed: seed)
      self.count = count
    }

    var made: Int { events.count }
    var runCount: Int { events.runCount }

    mutating func next() throws -> [Event]? {
      guard events.count < count else { return nil }
      let chunk = events.take(min(LatencyCell.chunkCount, count - events.count))
      for event in chunk {
        digest.add(event)
        payloadBytes += event.payload.count
      }
      try sample()
      return chunk
    }

    private mutating func sample() throws {
      let now = try SystemCall.memory()
      // By now the generator's own memory is in use.
      if first == nil { first = now }
      peak.anonymous = max(peak.anonymous, now.anonymous)
      peak.file = max(peak.file, now.file)
      peak.peak = now.peak
    }

    mutating func report(_ findings: inout Findings) throws {
      try sample()
      let end = try SystemCall.memory()
      let before = first?.anonymous ?? 0
      findings["memoryBefore"] = Double(before)
      findings["memoryPeak"] = Double(peak.anonymous - before)
      findings["memoryEnd"] = Double(end.anonymous - before)
      findings["filePeak"] = Double(peak.file)
      findings["residentPeak"] = Double(peak.peak)
      findings["payloadBytes"] = Double(payloadBytes)
      findings["runs"] = Double(runCount)
      findings.digest = digest.value
    }
  }
}
