internal import AgentEvents
internal import Harness
internal import RunLedger

/// What every cell is told, and what cells share.
struct CellContext {
  let settings: Settings
  let engine: EngineName
  let path: String
  let seed: UInt64
  let payloadByteCount: Int?
  /// Of the stored events, or of those to be stored.
  let count: Int
  let limitNanoseconds: UInt64

  /// Events are made this many at a time, off the clock; fewer of large ones, but a batch at least.
  let chunkCount: Int

  init(_ settings: Settings) throws {
    self.settings = settings
    guard let engine = EngineName(rawValue: try settings.text("engine")) else {
      throw BenchmarkError("no such engine")
    }
    self.engine = engine
    path = try settings.text("path")
    seed = try settings.seed()
    let payload = try settings.number("payload")
    payloadByteCount = payload > 0 ? payload : nil
    chunkCount = payload > 4096 ? 1000 : 4000
    count = try settings.number("count")
    limitNanoseconds = UInt64(try settings.number("limit")) * 1_000_000_000
  }

  func generator() -> EventGenerator { EventGenerator(seed: seed, payloadByteCount: payloadByteCount) }

  /// Events that are in no store; each number once for a store.
  func generator(extra number: Int) -> EventGenerator {
    EventGenerator(extra: number, seed: seed, payloadByteCount: payloadByteCount)
  }

  /// About what so many events take, for whoever reserves it.
  func byteCount(of count: Int) -> Int { count * ((payloadByteCount ?? 1200) + 400) + (8 << 20) }

  func open(_ access: Access) throws -> any Engine { try engine.type.init(opening: path, access) }

  /// Makes and closes a small store of other events beside the store, so that code, clocks and the disk are awake. The
  /// parent process removes it: freeing a file's blocks keeps the disk busy for a while.
  func warmUp(_ policy: Policy, events count: Int, batchSize: Int = 1) throws {
    let engine = try engine.type.init(creating: path + ".warm", policy, byteCount: byteCount(of: count))
    var events = generator(extra: 1 << 18)
    let appender = try engine.appender()
    try appender.stage(events.take(count))
    for start in stride(from: 0, to: count, by: batchSize) {
      try appender.commit(start..<min(start + batchSize, count))
    }
    try appender.finish()
    try engine.close()
  }
}

/// Times operations that follow each other with one reading of the clock for each.
struct Stopwatch {
  private(set) var latencies = Histogram()
  private(set) var busy: UInt64 = 0
  private var last: UInt64 = 0

  mutating func start() { last = SystemCall.nanoseconds() }

  /// An operation has ended; the next begins. Returns how long it took.
  @discardableResult
  mutating func lap() -> UInt64 {
    let now = SystemCall.nanoseconds()
    let nanoseconds = now - last
    last = now
    latencies.add(nanoseconds)
    busy += nanoseconds
    return nanoseconds
  }
}

/// A prime step visits numbers in an order that no cache expects.
func scattered(_ number: Int, below bound: Int) -> Int {
  Int(UInt64(number + 1) &* 2_654_435_761 % UInt64(bound))
}
