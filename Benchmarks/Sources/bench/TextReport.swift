internal import Harness

/// The results as a text table.
struct TextReport {
  let arguments: Arguments
  let results: Results
  let machine: Machine

  func text() -> String {
    var lines = machine.facts.map { "\(Layout.left($0.name, 14))\($0.value)" }
    for group in results.groups { lines += table(group) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func table(_ rows: [Results.Row]) -> [String] {
    guard let first = rows.first else { return [] }
    let metrics = Metric.allCases.filter { metric in rows.contains { !$0[metric].isEmpty } }
    var lines = [
      "", "\(first.workload.rawValue): \(first.workload.title); \(Layout.grouped(first.events)) events",
    ]
    var cells: [[String]] = [["", "min–max", "RunLedger ×"] + metrics.map(\.title)]
    cells[0][0] = ""
    let ledger = rows.first { $0.contender == .ledger }
    for row in rows {
      let main = row.workload.rateUnit == nil ? row[.seconds] : row[.rate]
      let ratio = ledger.flatMap { ($0.score / row.score).median }
      cells.append(
        [
          row.contender.title, "\(Layout.figure(main.least))–\(Layout.figure(main.most))",
          ratio.map { Layout.figure($0) } ?? "–",
        ] + metrics.map { row[$0].median.map { Layout.figure($0) } ?? "–" })
    }
    let widths = cells[0].indices.map { column in (cells.map { $0[column].count }.max() ?? 0) + 2 }
    let layout = Layout(titleWidth: 20, widths: Array(widths.dropFirst()))
    lines += cells.map { layout.line($0[0], Array($0.dropFirst())) }
    return lines
  }
}
