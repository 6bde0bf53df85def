internal import Harness

/// What was asked for on the command line.
struct Arguments {
  enum Part: String, CaseIterable {
    case concurrent, latency, opening, snapshot
  }

  var parts: Set<Part> = []
  var isQuick = false
  var events = 10_000_000
  /// For one appender; 8 append twice as many together, 64 four times.
  var syncedEvents = 5000
  /// For the size of SQLite's file.
  var sqliteEvents = 1_000_000
  /// How many are appended between opening and kill.
  var killedEvents = 50_000
  /// The size of the ledger of which snapshots are taken.
  var bytes = 2 << 30
  var rounds = 3
  var seed: UInt64 = 1
  var segmentSize = 64 << 20
  var directory = "bench-data"
  var json: String?

  static let usage = """
    usage: durability [concurrent] [latency] [opening] [snapshot] [--quick] [--events N] [--synced-events N]
                      [--sqlite-events N] [--killed-events N] [--bytes N] [--segment-size N] [--rounds N] [--seed S]
                      [--dir DIR] [--json FILE]
    """

  init(_ words: [String]) throws {
    var words = words[...]
    while let name = words.popFirst() {
      if let part = Part(rawValue: name) {
        parts.insert(part)
        continue
      }
      if name == "--quick" {
        isQuick = true
        (events, syncedEvents, sqliteEvents, killedEvents, rounds) = (20_000, 64, 5000, 1500, 1)
        (bytes, segmentSize) = (16 << 20, 4 << 20)
        continue
      }
      guard let value = words.popFirst() else { throw BenchmarkError(Self.usage) }
      switch name {
      case "--events": events = try Self.number(value)
      case "--synced-events": syncedEvents = try Self.number(value)
      case "--sqlite-events": sqliteEvents = try Self.number(value)
      case "--killed-events": killedEvents = try Self.number(value)
      case "--bytes": bytes = try Self.number(value)
      case "--segment-size": segmentSize = try Self.number(value)
      case "--rounds": rounds = try Self.number(value)
      case "--seed": seed = UInt64(try Self.number(value))
      case "--dir": directory = value
      case "--json": json = value
      default: throw BenchmarkError(Self.usage)
      }
    }
    if parts.isEmpty { parts = Set(Part.allCases) }
    // It opens the ledger that the latencies were taken with.
    if parts.contains(.opening) { parts.insert(.latency) }
  }

  private static func number(_ text: String) throws -> Int {
    guard let number = Int(text), number > 0 else { throw BenchmarkError(usage) }
    return number
  }
}
