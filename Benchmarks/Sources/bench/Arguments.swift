internal import Harness

/// What was asked for on the command line.
struct Arguments {
  var isQuick = false
  var events = [1_000_000]
  /// Of rows that sync each event, with one appender; 8 do twice as many together, 64 four times.
  var syncedEvents = 20_000
  /// nil: life's sizes.
  var payloadByteCount: Int?
  var engines = Set(EngineName.allCases)
  var workloads = Set(Workload.allCases)
  var rounds = 3
  /// A filling, or a pass over reads, ends after so long.
  var limitSeconds = 120
  var seed: UInt64 = 1
  var directory = "bench-data"
  var json: String?
  var html: String?

  static let usage = """
    usage: bench [--quick] [--events N,N,…] [--synced-events N] [--payload real|BYTES] [--engines NAME,…] [--only WORKLOAD,…]
                 [--rounds N] [--limit SECONDS] [--seed S] [--dir DIR] [--json FILE] [--html FILE]
    engines: \(EngineName.allCases.map(\.rawValue).joined(separator: " "))
    workloads: \(Workload.allCases.map(\.rawValue).joined(separator: " "))
    """

  init(_ words: [String]) throws {
    var words = words[...]
    while let name = words.popFirst() {
      if name == "--quick" {
        (isQuick, events, syncedEvents, rounds, limitSeconds, payloadByteCount) = (
          true, [20_000], 64, 1, 5, 300
        )
        continue
      }
      guard let value = words.popFirst() else { throw BenchmarkError(Self.usage) }
      switch name {
      case "--events": events = try value.split(separator: ",").map { try Self.number($0) }
      case "--synced-events": syncedEvents = try Self.number(value)
      case "--payload": payloadByteCount = value == "real" ? nil : try Self.payload(value)
      case "--engines": engines = Set(try Self.names(value))
      case "--only": workloads = Set(try Self.names(value))
      case "--rounds": rounds = try Self.number(value)
      case "--limit": limitSeconds = try Self.number(value)
      case "--seed": seed = UInt64(try Self.number(value))
      case "--dir": directory = value
      case "--json": json = value
      case "--html": html = value
      default: throw BenchmarkError(Self.usage)
      }
    }
    guard !events.isEmpty else { throw BenchmarkError(Self.usage) }
    events.sort()
  }

  /// What a table says of how it was made.
  var facts: [(name: String, value: String)] {
    [
      ("events", events.map { Layout.grouped($0) }.joined(separator: ", ")),
      ("each synced", "\(Layout.grouped(syncedEvents)) events; 8 appenders twice, 64 four times as many"),
      (
        "payload",
        payloadByteCount.map { "\(Layout.grouped($0)) bytes" } ?? "real sizes, about 1,140 bytes on average"
      ),
      (
        "rounds",
        "\(rounds), figures are medians; a filling ends after \(limitSeconds) s, and then its rows say how many events there are"
      ),
      ("seed", "\(seed)"),
    ]
  }

  private static func names<T: RawRepresentable<String>>(_ text: String) throws -> [T] {
    try text.split(separator: ",").map {
      guard let name = T(rawValue: String($0)) else { throw BenchmarkError(usage) }
      return name
    }
  }

  private static func number(_ text: some StringProtocol) throws -> Int {
    guard let number = Int(text), number > 0 else { throw BenchmarkError(usage) }
    return number
  }

  private static func payload(_ text: String) throws -> Int {
    let count = try number(text)
    guard (8...1 << 20).contains(count) else { throw BenchmarkError("a payload has 8 bytes to 1 MiB") }
    return count
  }
}
