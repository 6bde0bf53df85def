internal import Harness

/// What a cell is asked for: words of the form `name=value`, so that they can stand on a command line.
struct Settings {
  private var values: [(name: String, value: String)]

  init(_ values: KeyValuePairs<String, any CustomStringConvertible>) {
    self.values = values.map { ($0.key, "\($0.value)") }
  }

  init(words: [String]) {
    values = words.map { word in
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
    }
  }

  var words: [String] { values.map { "\($0.name)=\($0.value)" } }

  func text(_ name: String) throws -> String {
    guard let value = values.last(where: { $0.name == name })?.value else {
      throw BenchmarkError("the cell was not told '\(name)'")
    }
    return value
  }

  func number(_ name: String) throws -> Int {
    guard let number = Int(try text(name)) else { throw BenchmarkError("'\(name)' is no number") }
    return number
  }

  func seed() throws -> UInt64 { UInt64(try number("seed")) }
}

/// The measurements, each of them a process of its own. `DurabilityCell` and its settings are what the child is told.
enum DurabilityCell: String {
  case concurrent, rows
  case latency, generator
  case scan, prefix, open, more, sqliteSize
  case fill, snapshot, backup, load

  func run(_ settings: Settings, _ findings: inout Findings) async throws {
    switch self {
    case .concurrent: try await ConcurrentCell(settings).run(&findings)
    case .rows: try RowsCell(settings).run(&findings)
    case .latency: try LatencyCell(settings).run(&findings)
    case .generator: try LatencyCell(settings).runAlone(&findings)
    case .scan: try ScanCell(settings).run(&findings)
    case .prefix: try PrefixCell(settings).run(&findings)
    case .open: try OpenCell(settings).run(&findings)
    case .more: try MoreCell(settings).run(&findings)
    case .sqliteSize: try FillCell(settings).runSQLite(&findings)
    case .fill: try FillCell(settings).runLedger(&findings)
    case .snapshot: try SnapshotCell(settings).run(&findings)
    case .backup: try SnapshotCell(settings).runSQLite(&findings)
    case .load: try LoadCell(settings).run(&findings)
    }
  }
}
