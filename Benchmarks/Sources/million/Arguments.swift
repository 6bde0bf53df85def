internal import Harness

/// What was asked for on the command line.
struct Arguments {
  var events = 1_000_000
  /// For rows that sync each event.
  var syncedEvents = 20_000
  var rounds = 3
  var seed: UInt64 = 1
  var directory = "bench-data"
  var json: String?

  static let usage = """
    usage: million [--quick] [--events N] [--synced-events N] [--rounds N] [--seed S] [--dir DIR] [--json FILE]
    """

  init(_ words: [String]) throws {
    var words = words[...]
    while let name = words.popFirst() {
      if name == "--quick" {
        (events, syncedEvents, rounds) = (20_000, 1000, 1)
        continue
      }
      guard let value = words.popFirst() else { throw BenchmarkError(Self.usage) }
      switch name {
      case "--events": events = try Self.number(value)
      case "--synced-events": syncedEvents = try Self.number(value)
      case "--rounds": rounds = try Self.number(value)
      case "--seed": seed = UInt64(try Self.number(value))
      case "--dir": directory = value
      case "--json": json = value
      default: throw BenchmarkError(Self.usage)
      }
    }
    syncedEvents = min(syncedEvents, events)
  }

  private static func number(_ text: String) throws -> Int {
    guard let number = Int(text), number > 0 else { throw BenchmarkError(usage) }
    return number
  }
}
