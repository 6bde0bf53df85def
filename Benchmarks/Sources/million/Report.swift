internal import Harness

/// A campaign's results as a text table and as JSON.
struct Report {
  let campaign: Campaign
  let machine: Machine

  private func sample(_ group: Plan.Group, _ row: Plan.Row, _ name: String) -> Sample {
    campaign.samples[Campaign.key(group, row)]?[name] ?? Sample()
  }

  // MARK: Text

  func text() -> String {
    var lines = machine.facts.map { "\(Layout.left($0.name, 14))\($0.value)" }
    let arguments = campaign.arguments
    lines.append(
      "\(Layout.left("events", 14))\(Layout.grouped(arguments.events)); \(Layout.grouped(arguments.syncedEvents)) where each is synced; seed \(arguments.seed); rounds \(arguments.rounds)"
    )
    if let payload = sample(Plan.groups[0], Plan.groups[0].rows[0], "payloadBytes").median,
      let runs = sample(Plan.groups[0], Plan.groups[0].rows[0], "runs").median
    {
      lines.append(
        "\(Layout.left("", 14))payload \(Layout.decimals(payload / Double(arguments.events), 0)) bytes on average; \(Layout.decimals(Double(arguments.events) / runs, 1)) events a run"
      )
    }
    for group in Plan.groups { lines += rates(group) }
    lines += reads()
    lines += openings()
    lines += memory()
    return lines.joined(separator: "\n") + "\n"
  }

  private func rates(_ group: Plan.Group) -> [String] {
    var lines = [
      "",
      Self.header("WRITING, \(group.title)", ["events/s", "min–max", "× disk", "× SQLite", "disk B/event"]),
    ]
    let disk = group.rows.first { $0.engine == .disk }.flatMap { sample(group, $0, "rate").median }
    let sqlite = group.rows.first { $0.engine == .sqlite }.flatMap { sample(group, $0, "rate").median }
    let count = group.isSynced ? campaign.arguments.syncedEvents : campaign.arguments.events
    for row in group.rows {
      let rate = sample(group, row, "rate")
      lines.append(
        Self.line(
          row.title,
          [
            Layout.grouped(rate.median), Layout.range(rate), Layout.ratio(rate.median, disk),
            Layout.ratio(rate.median, sqlite),
            sample(group, row, "diskBytes").median.map { Layout.decimals($0 / Double(count), 0) } ?? "–",
          ]
        )
      )
    }
    return lines
  }

  private var readRows: [(Plan.Group, Plan.Row)] {
    Plan.groups.flatMap { group in group.rows.filter(\.isRead).map { (group, $0) } }
  }

  private func reads() -> [String] {
    var lines = [
      "", Self.header("READING, page cache warm, one thread", ["per second", "min–max", "", "× SQLite", ""]),
    ]
    let names = [
      ("scanRate", "scan, events"), ("hitRate", "get by id, found"), ("missRate", "get by id, absent"),
      ("runRate", "runs read"), ("runEventRate", "events of runs read"),
    ]
    for (name, title) in names {
      let sqlite = readRows.first { $0.1.engine == .sqlite }.flatMap { sample($0.0, $0.1, name).median }
      for (group, row) in readRows {
        let rate = sample(group, row, name)
        lines.append(
          Self.line(
            "\(title): \(Self.engineTitle(row.engine))",
            [Layout.grouped(rate.median), Layout.range(rate), "", Layout.ratio(rate.median, sqlite), ""]
          )
        )
      }
    }
    return lines
  }

  private func openings() -> [String] {
    var lines = ["", Self.header("OPENING, page cache warm", ["seconds", "min–max", "", "× SQLite", ""])]
    for (name, title) in [("openSeconds", "read-only"), ("openForWritingSeconds", "for writing")] {
      for isKilled in [false, true] {
        let rows = Plan.groups.prefix(2).flatMap { group in
          group.rows.filter { isKilled ? $0.isKilled : $0.isRead }.map { (group, $0) }
        }
        let sqlite = rows.first { $0.1.engine == .sqlite }.flatMap { sample($0.0, $0.1, name).median }
        for (group, row) in rows {
          let time = sample(group, row, name)
          lines.append(
            Self.line(
              "\(title) after a \(isKilled ? "kill" : "clean close"): \(Self.engineTitle(row.engine))",
              [
                time.median.map { Layout.decimals($0, 4) } ?? "–",
                "\(Layout.decimals(time.least, 4))–\(Layout.decimals(time.most, 4))", "",
                Layout.ratio(time.median, sqlite), "",
              ]
            )
          )
        }
      }
    }
    return lines
  }

  private func memory() -> [String] {
    var lines = [
      "", Self.header("MEMORY, anonymous resident", ["B/event", "min–max", "", "", "MiB in all"]),
    ]
    for (group, row) in readRows {
      let names = sample(group, row, "nameBytes").median ?? 0
      func add(_ title: String, _ name: String, without: Double = 0) {
        let sample = sample(group, row, name)
        guard let median = sample.median else { return }
        let events = Double(campaign.arguments.events)
        lines.append(
          Self.line(
            "\(Self.engineTitle(row.engine)): \(title)",
            [
              Layout.decimals((median - without) / events, 2),
              "\(Layout.decimals((sample.least - without) / events, 2))–\(Layout.decimals((sample.most - without) / events, 2))",
              "", "", Layout.decimals((median - without) / 1_048_576, 1),
            ]
          )
        )
      }
      add("growth while appending", "memoryGrowth")
      add("opened read-only", "memoryOpen")
      add("and every index touched", "memoryTouched")
      if row.engine == .ledger { add("and without names", "memoryTouched", without: names) }
      add("indexSize.index", "indexBytes")
      add("indexSize.names", "nameBytes")
    }
    return lines
  }

  // MARK: JSON

  func json() -> String {
    var parts = machine.facts.map { "\(Layout.quoted($0.name)):\(Layout.quoted($0.value))" }
    let arguments = campaign.arguments
    parts += [
      "\"events\":\(arguments.events)", "\"synced_events\":\(arguments.syncedEvents)",
      "\"rounds\":\(arguments.rounds)",
      "\"seed\":\(arguments.seed)",
    ]
    let rows = Plan.groups.flatMap { group in
      group.rows.map { row in
        let key = Campaign.key(group, row)
        let values = Layout.members(campaign.samples[key] ?? [:])
        return
          "{\"group\":\(Layout.quoted(group.title)),\"engine\":\(Layout.quoted(row.title)),\"batch\":\(row.batchSize),\"killed\":\(row.isKilled),\(values.joined(separator: ","))}"
      }
    }
    parts.append("\"rows\":[\n\(rows.joined(separator: ",\n"))\n]")
    return "{\(parts.joined(separator: ",\n"))}\n"
  }

  // MARK: Layout

  private static func engineTitle(_ engine: EngineName) -> String {
    switch engine {
    case .disk: "disk"
    case .ledger: "RunLedger"
    case .sqlite: "SQLite"
    }
  }

  private static let layout = Layout(titleWidth: 50, widths: [12, 23, 9, 9, 13])

  private static func header(_ title: String, _ columns: [String]) -> String { line(title, columns) }

  private static func line(_ title: String, _ columns: [String]) -> String { layout.line(title, columns) }
}
