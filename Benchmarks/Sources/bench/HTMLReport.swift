internal import Harness

/// The results as one page that needs nothing else: tables, and plots in SVG.
struct HTMLReport {
  let results: Results
  let facts: [(name: String, value: String)]

  private static let style = """
    body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:1200px;color:#222}
    h2{margin:2em 0 .3em;font-size:1.1em}table{border-collapse:collapse;margin:.5em 0;font-variant-numeric:tabular-nums}
    td,th{padding:.15em .7em;text-align:right;border-bottom:1px solid #ddd;font-weight:normal;white-space:nowrap}
    th{color:#666}td:first-child,th:first-child,.facts td,.goals td:nth-child(2){text-align:left}
    .met{color:#176d2c}.missed{color:#b3261e}svg{display:block;margin:.5em 0}svg text{font:12px system-ui,sans-serif}
    """

  func text() -> String {
    var parts = [
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>RunLedger bench</title>",
      "<style>\(Self.style)</style></head><body><h1>RunLedger beside other engines</h1>",
      Self.table(facts.map { [$0.name, $0.value] }, style: "facts", hasHeading: false),
    ]
    let goals = Goals(results: results).table
    if !goals.isEmpty {
      parts += ["<h2>Goals, ratios round by round</h2>", Self.table([Goals.columns] + goals, style: "goals")]
    }
    let groups = results.groups
    for (place, group) in groups.enumerated() {
      guard let workload = group.first?.workload else { continue }
      parts.append("<h2>\(Self.escaped(TextReport.title(group)))</h2>")
      parts.append(rates(group))
      if group.contains(where: { !$0[.p50].isEmpty }) { parts.append(latencies(group)) }
      parts.append(Self.table(TextReport.table(group), style: ""))
      let isLast = place == groups.count - 1 || groups[place + 1].first?.workload != workload
      if isLast { parts.append(growth(workload)) }
    }
    return parts.joined(separator: "\n") + "\n</body></html>\n"
  }

  // MARK: Plots

  private static func color(_ contender: Contender) -> String {
    switch contender.engine {
    case .disk: "#888888"
    case .ledger: "#c2410c"
    case .sqlite: "#1d6fb8"
    case .lmdb: "#2b8a3e"
    case .leveldb: "#7b4bb3"
    case .rocksdb: "#a8871c"
    }
  }

  /// A dot for the median, a line from least to most.
  private func rates(_ group: [Results.Row]) -> String {
    let metric = group.first?.workload.rateUnit == nil ? Metric.seconds : .rate
    return LogPlot(
      title: group.first.map { metric.unit($0.workload) } ?? "",
      lines: group.compactMap { row in
        row[metric].median.map { median in
          LogPlot.Line(
            label: row.contender.title, color: Self.color(row.contender),
            ends: (row[metric].least, row[metric].most), dots: [median])
        }
      }
    ).svg
  }

  /// Dots from the median over p99 and p99.9 to the longest.
  private func latencies(_ group: [Results.Row]) -> String {
    LogPlot(
      title: "µs: p50, p99, p99.9, max",
      lines: group.compactMap { row in
        let dots = [Metric.p50, .p99, .p999, .max].compactMap { row[$0].median }
        guard let first = dots.first, let last = dots.last else { return nil }
        return LogPlot.Line(
          label: row.contender.title, color: Self.color(row.contender), ends: (first, last), dots: dots)
      }
    ).svg
  }

  /// How the rate changes with the number of events, where several were measured.
  private func growth(_ workload: Workload) -> String {
    let rows = results.rows.filter { $0.workload == workload }
    guard Set(rows.map(\.events)).count > 1 else { return "" }
    let metric = workload.rateUnit == nil ? Metric.seconds : .rate
    let curves = Set(rows.map(\.contender)).sorted().map { contender in
      GrowthPlot.Curve(
        label: contender.title, color: Self.color(contender), isDashed: contender.style != .threads,
        points: rows.filter { $0.contender == contender }.sorted { $0.events < $1.events }.compactMap { row in
          row[metric].median.map { (Double(row.events), $0) }
        })
    }
    return GrowthPlot(title: "\(metric.unit(workload)) by events", curves: curves).svg
  }

  // MARK: Text

  static func escaped(_ text: String) -> String {
    text.map { character in
      switch character {
      case "<": "&lt;"
      case ">": "&gt;"
      case "&": "&amp;"
      default: String(character)
      }
    }.joined()
  }

  private static func table(_ rows: [[String]], style: String, hasHeading: Bool = true) -> String {
    let lines = rows.enumerated().map { number, cells in
      let tag = hasHeading && number == 0 ? "th" : "td"
      return "<tr>"
        + cells.map { cell in
          let mark = cell == "met" || cell == "missed" ? " class=\"\(cell)\"" : ""
          return "<\(tag)\(mark)>\(escaped(cell))</\(tag)>"
        }.joined() + "</tr>"
    }
    return "<table class=\"\(style)\">\n\(lines.joined(separator: "\n"))\n</table>"
  }
}
