internal import AgentEvents
internal import Harness
internal import RunLedger

/// One measurement of a store, in a process of its own.
enum StoreCell {
  case write(Write)
  case read(Read)

  /// Creates a store and fills it.
  struct Write {
    var engine: EngineName
    var durability: Durability
    var batchSize: Int
    var count: Int
    var seed: UInt64
    var path: String
    /// End without closing, as a crash of the process does.
    var isKilled: Bool
  }

  /// Opens a store and reads it; then opens it for writing and closes it.
  struct Read {
    var engine: EngineName
    var count: Int
    var seed: UInt64
    var path: String
    /// How many runs the events are of.
    var runCount: Int
    /// How many ids to look up; 0 for no more than opening, scanning and comparing.
    var lookUps: Int
  }

  var words: [String] {
    switch self {
    case .write(let cell):
      [
        "write", cell.engine.rawValue, cell.durability.rawValue, "\(cell.batchSize)", "\(cell.count)",
        "\(cell.seed)",
        cell.path, cell.isKilled ? "kill" : "close",
      ]
    case .read(let cell):
      [
        "read", cell.engine.rawValue, "\(cell.count)", "\(cell.seed)", cell.path, "\(cell.runCount)",
        "\(cell.lookUps)",
      ]
    }
  }

  init?(words: [String]) {
    if words.count == 8, words[0] == "write", let engine = EngineName(rawValue: words[1]),
      let durability = Durability(rawValue: words[2]), let batchSize = Int(words[3]),
      let count = Int(words[4]),
      let seed = UInt64(words[5])
    {
      self = .write(
        Write(
          engine: engine,
          durability: durability,
          batchSize: batchSize,
          count: count,
          seed: seed,
          path: words[6],
          isKilled: words[7] == "kill"
        )
      )
    } else if words.count == 7, words[0] == "read", let engine = EngineName(rawValue: words[1]),
      let count = Int(words[2]), let seed = UInt64(words[3]), let runCount = Int(words[5]),
      let lookUps = Int(words[6])
    {
      self = .read(
        Read(engine: engine, count: count, seed: seed, path: words[4], runCount: runCount, lookUps: lookUps)
      )
    } else {
      return nil
    }
  }

  /// Measures; the last thing a write cell does may be to kill its process.
  func run(reportingTo path: String) throws {
    var findings = Findings()
    switch self {
    case .write(let cell):
      let engine = try cell.run(&findings)
      try SystemCall.write(findings.text, to: path)
      if cell.isKilled { SystemCall.killSelf() }
      let start = SystemCall.nanoseconds()
      try engine.close()
      findings["closeSeconds"] = SystemCall.seconds(since: start)
    case .read(let cell):
      try cell.run(&findings)
    }
    try SystemCall.write(findings.text, to: path)
  }
}

extension StoreCell.Write {
  /// Events are made this many at a time, off the clock.
  private static let chunkCount = 4000

  func run(_ findings: inout Findings) throws -> any Engine {
    var events = EventGenerator(seed: seed)
    try engine.warmUp(
      beside: path, durability, byteCount: 32 << 20, events: durability == .synced ? 100 : Self.chunkCount,
      batchSize: batchSize, seed: seed)
    let engine = try engine.type.init(creating: path, durability, byteCount: count * 1600 + (8 << 20))
    var digest = RowDigest()
    var (busy, payloadBytes) = (UInt64(0), 0)
    var memoryBefore: Int?
    while events.count < count {
      let chunk = events.take(min(Self.chunkCount, count - events.count))
      for event in chunk {
        digest.add(event)
        payloadBytes += event.payload.count
      }
      try engine.stage(chunk)
      // By now the generator's own memory is in use.
      let before = try memoryBefore ?? SystemCall.anonymousMemory()
      memoryBefore = before
      let start = SystemCall.nanoseconds()
      try engine.commit(batchSize: batchSize)
      busy += SystemCall.nanoseconds() - start
    }
    try engine.stage([])
    findings["seconds"] = Double(busy) / 1e9
    findings["memoryGrowth"] = Double(try SystemCall.anonymousMemory() - (memoryBefore ?? 0))
    findings["payloadBytes"] = Double(payloadBytes)
    findings["runs"] = Double(events.runCount)
    findings["diskBytes"] = Double(SystemCall.allocatedBytes(path))
    findings.digest = digest.value
    for fact in engine.facts { findings[fact.name] = fact.value }
    return engine
  }
}

extension StoreCell.Read {
  func run(_ findings: inout Findings) throws {
    // The library's own first steps are not the store's memory.
    try engine.warmUp(
      beside: path, .unsynced, byteCount: 1 << 20, events: 100, batchSize: 100, seed: seed)
    let memoryBefore = try SystemCall.anonymousMemory()
    var start = SystemCall.nanoseconds()
    let store = try engine.type.init(opening: path, forWriting: false)
    findings["openSeconds"] = SystemCall.seconds(since: start)
    findings["memoryOpen"] = Double(try SystemCall.anonymousMemory() - memoryBefore)
    for fact in store.facts { findings[fact.name] = fact.value }
    if lookUps > 0 {
      guard try store.find(id: EventGenerator.eventID(count - 1, seed: seed)) != nil,
        try store.read(run: EventGenerator.runID(0, seed: seed)).events > 0
      else { throw BenchmarkError("\(path): the last event or the first run is missing") }
      findings["memoryTouched"] = Double(try SystemCall.anonymousMemory() - memoryBefore)
    }

    var digest = RowDigest()
    start = SystemCall.nanoseconds()
    try store.scan { digest.add(id: $0, run: $1, payload: $2) }
    findings["scanRate"] = Double(digest.count) / SystemCall.seconds(since: start)
    findings["rows"] = Double(digest.count)
    findings.digest = digest.value
    if lookUps > 0 { try lookUp(store, &findings) }
    try store.close()

    start = SystemCall.nanoseconds()
    let writable = try engine.type.init(opening: path, forWriting: true)
    findings["openForWritingSeconds"] = SystemCall.seconds(since: start)
    try writable.close()
  }

  private func lookUp(_ store: any Engine, _ findings: inout Findings) throws {
    // A prime step visits indexes in an order that no cache expects.
    let indexes = (0..<lookUps).map { Int(UInt64($0 + 1) &* 2_654_435_761 % UInt64(count)) }
    let present = indexes.map { EventGenerator.eventID($0, seed: seed) }
    let absent = indexes.map { EventGenerator.eventID($0 + count, seed: seed) }
    var start = SystemCall.nanoseconds()
    for id in present {
      guard try store.find(id: id) != nil else { throw BenchmarkError("\(path): event \(id) is missing") }
    }
    findings["hitRate"] = Double(lookUps) / SystemCall.seconds(since: start)
    start = SystemCall.nanoseconds()
    for id in absent {
      guard try store.find(id: id) == nil else {
        throw BenchmarkError("\(path): event \(id) was never stored")
      }
    }
    findings["missRate"] = Double(lookUps) / SystemCall.seconds(since: start)

    let runs = (0..<max(1, lookUps / 50)).map {
      EventGenerator.runID(Int(UInt64($0 + 1) &* 2_654_435_761 % UInt64(runCount)), seed: seed)
    }
    var events = 0
    start = SystemCall.nanoseconds()
    for run in runs {
      let read = try store.read(run: run).events
      guard read > 0 else { throw BenchmarkError("\(path): run \(run) is missing") }
      events += read
    }
    let elapsed = SystemCall.seconds(since: start)
    findings["runRate"] = Double(runs.count) / elapsed
    findings["runEventRate"] = Double(events) / elapsed
  }
}
