import LogEngine
import PlatformIO
import StorageTesting

/// What was done, as a table.
struct Report {
  private var rows: [(name: String, count: Int)] = []
  /// What a run must have met and has not.
  private(set) var shortfalls: [String] = []

  mutating func add(_ name: String, _ count: Int) { rows.append((name, count)) }

  mutating func add(_ found: Exploration.Result, seconds: Double) {
    let counts = found.counts
    add("stories", found.stories)
    add("operations with crashes", counts.points)
    add("distinct crash states", found.distinct)
    add("distinct crash states a second", Int(Double(found.distinct) / max(seconds, 0.001)))
    for (name, count) in counts.distinct.sorted(by: { $0.key < $1.key }) { add("  in \(name)", count) }
    add("nested crash states", counts.nested.values.reduce(0, +))
    for (depth, count) in counts.nested.sorted(by: { $0.key < $1.key }) { add("  at depth \(depth)", count) }
    add("openings", counts.openings)
    for (outcome, count) in counts.outcomes.sorted(by: { $0.key < $1.key }) { add("  \(outcome)", count) }
    for kind in CrashStates.Kind.allCases {
      let count = counts.kinds[kind] ?? 0
      add("states \(kind.rawValue)", count)
      // One in a hundred at least, or the run says little about them.
      if count * 100 < found.distinct { shortfalls.append("only \(count) states were \(kind.rawValue)") }
    }
  }

  mutating func add(lies found: Exploration.Result) {
    add("states after syncs that lied", found.distinct)
    for (outcome, count) in found.counts.outcomes.sorted(by: { $0.key < $1.key }) {
      add("  \(outcome)", count)
    }
    if found.counts.outcomes["refused by a frame's word"] ?? 0 == 0 {
      shortfalls.append("no lie was told by a frame's word")
    }
  }

  mutating func add(_ found: FaultCampaign.Result) {
    add("fault points", found.runs.values.reduce(0, +))
    for (operation, count) in found.runs.sorted(by: { $0.key < $1.key }) { add("  \(operation)", count) }
    for (ending, count) in found.endings.sorted(by: { $0.key < $1.key }) { add("  \(ending)", count) }
    add("crash states after faults", found.crashes)
  }

  mutating func add(_ found: RotCampaign.Result) {
    add("bits flipped", found.flips)
    add("sectors gone astray or stale", found.sectors)
    add("  refused", found.refused)
    add("  intact", found.intact)
    add("  taken for tears", found.takenForTears)
    if found.refused == 0 { shortfalls.append("no damage was refused") }
  }

  var text: String {
    let width = rows.map(\.name.count).max() ?? 0
    return rows.map { row in
      let number = String(row.count)
      let gap = String(repeating: " ", count: max(2, width + 14 - row.name.count - number.count))
      return "\(row.name)\(gap)\(number)\n"
    }.joined()
  }

  func write(to path: String) throws {
    let members = rows.map { row in
      "  \"\(row.name.drop { $0 == " " })\": \(row.count)"
    }
    let file = try DiskFileSystem.shared.open(path, .createIfMissing)
    let text = "{\n" + members.joined(separator: ",\n") + "\n}\n"
    try file.setLength(0)
    try file.write(text.utf8Span.span.rawBytes, at: 0)
  }
}
