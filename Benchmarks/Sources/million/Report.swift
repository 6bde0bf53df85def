/// A campaign's results as a text table and as JSON.
struct Report {
  let campaign: Campaign
  let machine: Machine

  private func sample(_ group: Plan.Group, _ row: Plan.Row, _ name: String) -> Sample {
    campaign.samples[Campaign.key(group, row)]?[name] ?? Sample()
  }

  // MARK: Text

  func text() -> String {
    var lines = machine.facts.map { "\(Self.left($0.name, 14))\($0.value)" }
    let arguments = campaign.arguments
    lines.append(
      "\(Self.left("events", 14))\(Self.grouped(arguments.events)); \(Self.grouped(arguments.syncedEvents)) where each is synced; seed \(arguments.seed); rounds \(arguments.rounds)"
    )
    if let payload = sample(Plan.groups[0], Plan.groups[0].rows[0], "payloadBytes").median,
      let runs = sample(Plan.groups[0], Plan.groups[0].rows[0], "runs").median
    {
      lines.append(
        "\(Self.left("", 14))payload \(Self.decimals(payload / Double(arguments.events), 0)) bytes on average; \(Self.decimals(Double(arguments.events) / runs, 1)) events a run"
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
            Self.grouped(rate.median), Self.range(rate), Self.ratio(rate.median, disk),
            Self.ratio(rate.median, sqlite),
            sample(group, row, "diskBytes").median.map { Self.decimals($0 / Double(count), 0) } ?? "–",
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
            [Self.grouped(rate.median), Self.range(rate), "", Self.ratio(rate.median, sqlite), ""]
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
                time.median.map { Self.decimals($0, 4) } ?? "–",
                "\(Self.decimals(time.least, 4))–\(Self.decimals(time.most, 4))", "",
                Self.ratio(time.median, sqlite), "",
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
              Self.decimals((median - without) / events, 2),
              "\(Self.decimals((sample.least - without) / events, 2))–\(Self.decimals((sample.most - without) / events, 2))",
              "", "", Self.decimals((median - without) / 1_048_576, 1),
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
    var parts = machine.facts.map { "\(Self.quoted($0.name)):\(Self.quoted($0.value))" }
    let arguments = campaign.arguments
    parts += [
      "\"events\":\(arguments.events)", "\"synced_events\":\(arguments.syncedEvents)",
      "\"rounds\":\(arguments.rounds)",
      "\"seed\":\(arguments.seed)",
    ]
    let rows = Plan.groups.flatMap { group in
      group.rows.map { row in
        let key = Campaign.key(group, row)
        let samples = (campaign.samples[key] ?? [:]).sorted { $0.key < $1.key }.filter {
          !$0.value.values.isEmpty
        }
        let values = samples.map {
          "\(Self.quoted($0.key)):[\($0.value.values.map { "\($0)" }.joined(separator: ","))]"
        }
        return
          "{\"group\":\(Self.quoted(group.title)),\"engine\":\(Self.quoted(row.title)),\"batch\":\(row.batchSize),\"killed\":\(row.isKilled),\(values.joined(separator: ","))}"
      }
    }
    parts.append("\"rows\":[\n\(rows.joined(separator: ",\n"))\n]")
    return "{\(parts.joined(separator: ",\n"))}\n"
  }

  private static func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"", "\\": "\\\(scalar)"
      case _ where scalar.value < 0x20: " "
      default: "\(scalar)"
      }
    }
    return "\"\(escaped.joined())\""
  }

  // MARK: Layout

  private static func engineTitle(_ engine: EngineName) -> String {
    switch engine {
    case .disk: "disk"
    case .ledger: "RunLedger"
    case .sqlite: "SQLite"
    }
  }

  private static let widths = [12, 23, 9, 9, 13]

  private static func header(_ title: String, _ columns: [String]) -> String { line(title, columns) }

  private static func line(_ title: String, _ columns: [String]) -> String {
    var text = left(title, 50)
    for (column, width) in zip(columns, widths) { text += right(column, width) }
    while text.last == " " { text.removeLast() }
    return text
  }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private static func ratio(_ value: Double?, _ base: Double?) -> String {
    guard let value, let base, base > 0 else { return "–" }
    return decimals(value / base, 2)
  }

  private static func range(_ sample: Sample) -> String { "\(grouped(sample.least))–\(grouped(sample.most))" }

  private static func grouped(_ value: Double?) -> String { value.map { grouped(Int($0.rounded())) } ?? "–" }

  private static func grouped(_ value: Int) -> String {
    let digits = Array(String(value))
    var text = ""
    for (place, digit) in digits.enumerated() {
      if place > 0, (digits.count - place) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }

  static func decimals(_ value: Double, _ places: Int) -> String {
    var scale = 1
    for _ in 0..<places { scale *= 10 }
    let scaled = Int((value.magnitude * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard places > 0 else { return sign + String(scaled) }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
  }
}
