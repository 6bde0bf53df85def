internal import Harness

/// What was found, for people; the same tables go into the page of `HTMLReport`.
struct TextReport {
  let results: Results
  /// Machine and settings, by name.
  let facts: [(name: String, value: String)]

  func text() -> String {
    var lines = facts.map { "\(Layout.left($0.name, 16))\($0.value)" }
    for group in results.groups {
      lines += ["", Self.title(group)] + Self.lines(Self.table(group))
      lines += group.flatMap { row in
        row.contender == .ledger && row.workload == .appendNever
          ? ["slowest commits of \(row.contender.title):"] + row.notes.map { "  \($0)" } : []
      }
    }
    let goals = Goals(results: results).table
    if !goals.isEmpty { lines += ["", "GOALS, ratios round by round"] + Self.lines([Goals.columns] + goals) }
    return lines.joined(separator: "\n") + "\n"
  }

  static func title(_ group: [Results.Row]) -> String {
    guard let row = group.first else { return "" }
    return "\(row.workload.rawValue), \(Layout.grouped(row.events)) events: \(row.workload.title)"
  }

  /// A row for each engine under one of headings.
  static func table(_ group: [Results.Row]) -> [[String]] {
    guard let first = group.first else { return [] }
    let main = first.workload.rateUnit == nil ? Metric.seconds : .rate
    let others = Metric.allCases.filter { metric in
      metric != main
        && group.contains { !$0[metric].isEmpty && ($0[metric].median ?? 0) != Double($0.events) }
    }
    let ledger = group.first { $0.contender == .ledger }
    let heading =
      ["", main.title(first.workload), "min–max", "RunLedger ×"] + others.map { $0.title(first.workload) }
    return [heading]
      + group.map { row in
        let ratio = ledger.flatMap { ($0.score / row.score).median }
        return [
          row.contender.title, row[main].median.map { Layout.figure($0) } ?? "–",
          "\(Layout.figure(row[main].least))–\(Layout.figure(row[main].most))",
          ratio.map { Layout.figure($0) } ?? "–",
        ] + others.map { row[$0].median.map { Layout.figure($0) } ?? "–" }
      }
  }

  private static func lines(_ table: [[String]]) -> [String] {
    guard let heading = table.first else { return [] }
    let widths = heading.indices.map { column in (table.map { $0[column].count }.max() ?? 0) + 2 }
    let layout = Layout(titleWidth: widths[0], widths: Array(widths.dropFirst()))
    return table.map { layout.line($0[0], Array($0.dropFirst())) }
  }
}

/// Every figure as a list of objects, for programs.
struct JSONReport {
  let results: Results

  func text() -> String {
    let objects = results.groups.flatMap { group in
      group.flatMap { row in
        var metrics = Metric.allCases.map { ($0.rawValue, $0.unit(row.workload), row[$0]) }
        if let ledger = group.first(where: { $0.contender == .ledger }), row.contender != .ledger {
          metrics.append(("ledger ratio", "×", ledger.score / row.score))
        }
        return metrics.compactMap { name, unit, sample in object(row, name, unit, sample) }
      }
    }
    return "[\n\(objects.joined(separator: ",\n"))\n]\n"
  }

  private func object(_ row: Results.Row, _ metric: String, _ unit: String, _ sample: Sample) -> String? {
    guard let median = sample.median else { return nil }
    let texts = [
      ("workload", row.workload.rawValue), ("engine", row.contender.title), ("metric", metric),
      ("unit", unit),
    ]
    let numbers = [("median", median), ("min", sample.least), ("max", sample.most)]
    let members =
      texts.map { "\"\($0.0)\":\(Layout.quoted($0.1))" } + ["\"events\":\(row.events)"]
      + numbers.map { "\"\($0.0)\":\($0.1)" }
    return "{\(members.joined(separator: ","))}"
  }
}
