internal import Harness

/// The results as a text table and as JSON.
struct Report {
  let arguments: Arguments
  let results: Results
  let machine: Machine

  // MARK: Text

  func text() -> String {
    var lines = machine.facts.map { "\(Layout.left($0.name, 14))\($0.value)" }
    lines.append("\(Layout.left("seed", 14))\(arguments.seed); rounds \(arguments.rounds)")
    if arguments.parts.contains(.concurrent) {
      for appenders in ConcurrentPart.appenders { lines += concurrent(appenders) }
    }
    if arguments.parts.contains(.latency) { lines += latency() + slowest() + memory() }
    if arguments.parts.contains(.opening) { lines += openings() }
    if arguments.parts.contains(.snapshot) { lines += snapshots() }
    return lines.joined(separator: "\n") + "\n"
  }

  private func concurrent(_ appenders: Int) -> [String] {
    let layout = Layout(titleWidth: 40, widths: [10, 16, 9, 11, 12, 12, 13])
    let count = ConcurrentPart.count(appenders, arguments)
    var lines = [
      "",
      "CONCURRENT, \(appenders) \(appenders == 1 ? "appender" : "appenders"), one event an append, each on the disk; \(Layout.grouped(count)) events",
      layout.line("", ["events/s", "least–most", "× SQLite", "p50 µs", "p99 µs", "max µs", "syncs/append"]),
    ]
    let rows = ConcurrentPart.styles(appenders).map { style in
      (style: style, row: results[.concurrent, ConcurrentPart.title(style, appenders)])
    }
    // Whichever of its two ways is the quicker.
    let sqlite = rows.filter { $0.style.engine == .sqlite }.compactMap { $0.row["rate"].median }.max()
    for (style, row) in rows {
      let rate = row["rate"]
      lines.append(
        layout.line(
          style.title,
          [Layout.grouped(rate.median), Layout.range(rate), Layout.ratio(rate.median, sqlite)]
            + ["append.p50", "append.p99", "append.max"].map { Layout.grouped(row[$0].median) }
            + [row["syncsPerAppend"].median.map { Layout.decimals($0, 3) } ?? "n/a"]))
    }
    return lines
  }

  private static let figures = Layout(titleWidth: 58, widths: [14, 26])

  /// One line for each name that was measured: its median, and least and most.
  private func lines(
    of row: Results.Row, _ names: [(name: String, title: String, factor: Double, places: Int)]
  ) -> [String] {
    names.compactMap { name, title, factor, places in
      let sample = row[name]
      guard let median = sample.median else { return nil }
      return Self.figures.line(
        title, [Layout.decimals(median * factor, places), Layout.range(sample, places, times: factor)])
    }
  }

  private func latency() -> [String] {
    let row = results[.latency, LatencyPart.append]
    var lines = [
      "",
      Self.figures.line(
        "LATENCY, .never, \(Layout.grouped(arguments.events)) events, one an append", ["", "least–most"]),
    ]
    for (prefix, title) in [("append", "append"), ("roll", "append that rolled"), ("plain", "any other")] {
      // Rolls are too few for further percentiles.
      let figures = Histogram.figures.filter { prefix != "roll" || ["p50", "p99", "max"].contains($0.name) }
      lines += self.lines(
        of: row, figures.map { ("\(prefix).\($0.name)", "\(title), \($0.name), µs", 1, 1) })
    }
    lines += self.lines(
      of: row,
      [
        ("rolls", "rolls", 1, 0), ("unseenRolls", "rolls that no slow append explains", 1, 0),
        ("clockNanoseconds", "of each, the clock's own, ns", 1, 0),
        ("rate", "events/s while appending", 1, 0),
        ("wallSeconds", "seconds, with making the events between", 1, 1),
        ("closeSeconds", "close, s", 1, 4),
      ])
    return lines
  }

  private func slowest() -> [String] {
    ["", "THE SLOWEST APPENDS"] + results[.latency, LatencyPart.append].notes
  }

  private func memory() -> [String] {
    let layout = Layout(titleWidth: 58, widths: [12, 20, 12])
    var lines = [
      "", layout.line("MEMORY, anonymous resident, and disk", ["B/event", "least–most", "MiB in all"]),
    ]
    /// Subtracts, round by round, what is not to be counted.
    func add(_ title: String, _ row: Results.Row, _ name: String, less: [Sample] = [], events: Int? = nil) {
      var sample = Sample()
      for (place, value) in row[name].values.enumerated() {
        let rest = less.reduce(0.0) {
          $0 + ($1.values.isEmpty ? 0 : $1.values[min(place, $1.values.count - 1)])
        }
        sample.add(value - rest)
      }
      guard let median = sample.median else { return }
      let factor = 1 / Double(events ?? arguments.events)
      lines.append(
        layout.line(
          title,
          [
            Layout.decimals(median * factor, 2), Layout.range(sample, 2, times: factor),
            Layout.decimals(median / 1_048_576, 1),
          ]))
    }
    let row = results[.latency, LatencyPart.append]
    let alone = results[.latency, LatencyPart.generator]
    add("appending: growth, at its peak", row, "memoryPeak")
    add("the generator alone: growth, at its peak", alone, "memoryPeak")
    let names = row["nameBytes"]
    add("appending, less generator and names", row, "memoryPeak", less: [alone["memoryPeak"], names])
    add("indexSize.index before closing", row, "indexBytes")
    add("indexSize.names before closing", row, "nameBytes")
    for (way, title) in [("clean, to read", "reading"), ("clean, to append", "appending")] {
      let opened = results[.opening, LatencyPart.title(way, cold: false)]
      add("opened for \(title), first use, less names", opened, "memory", less: [opened["nameBytes"]])
      add("and an id looked up, less names", opened, "memoryTouched", less: [opened["nameBytes"]])
      add("indexSize.names, opened for \(title)", opened, "nameBytes")
    }
    add("VmHWM of the appending process", row, "residentPeak")
    add("pages of mapped files in it, at their peak", row, "filePeak")
    add("disk: segments, as far as used", row, "segmentBytes")
    add("disk: sidecars", row, "sidecarBytes")
    add("disk: both", row, "segmentBytes", less: [row["sidecarBytes"].negative])
    add(
      "disk: \(LatencyPart.sqlite), of \(Layout.grouped(arguments.sqliteEvents)) events",
      results[.opening, LatencyPart.sqlite], "bytes", events: arguments.sqliteEvents)
    add("of both: payloads", row, "payloadBytes")
    if let runs = row["runs"].median {
      lines.append(
        layout.line("events a run", [Layout.decimals(Double(arguments.events) / runs, 1)]))
    }
    return lines
  }

  private func openings() -> [String] {
    let layout = Layout(titleWidth: 42, widths: [11, 18, 12, 20, 9, 14, 15])
    var lines = [
      "",
      "OPENING until the first event and the first run are read, or the first append is durable",
      layout.line(
        "",
        [
          "seconds", "least–most", "of a scan", "of a scanning open", "goal", "records read",
          "then by id, s",
        ]),
    ]
    for cold in [false, true] {
      // What the goals are shares of: reading all through an open ledger, and opening by reading all.
      let bases = [LatencyPart.scan, LatencyPart.scanningOpen].map {
        results[.opening, LatencyPart.title($0, cold: cold)]["seconds"].median
      }
      for way in [LatencyPart.scan] + LatencyPart.ways {
        let row = results[.opening, LatencyPart.title(way, cold: cold)]
        guard let seconds = row["seconds"].median else { continue }
        let goal =
          way == LatencyPart.scan || way == LatencyPart.scanningOpen
          ? "" : way.hasSuffix("read") ? "≤ 1/50" : "≤ 1/10"
        lines.append(
          layout.line(
            row.title,
            [
              Layout.decimals(seconds, 4), Layout.range(row["seconds"], 4),
            ] + bases.map { base in base.map { "1/\(Layout.decimals($0 / seconds, 1))" } ?? "–" } + [
              goal,
              row["recordsRead"].median.map { Layout.grouped($0) } ?? "",
              row["lookUpSeconds"].median.map { Layout.decimals($0, 4) } ?? "",
            ]))
      }
    }
    return lines
  }

  private func snapshots() -> [String] {
    let row = results[.snapshot, SnapshotPart.snapshot]
    let backup = results[.snapshot, SnapshotPart.backup]
    let load = results[.snapshot, SnapshotPart.load]
    var lines = ["", Self.figures.line("SNAPSHOT", ["", "least–most"])]
    lines += self.lines(
      of: row,
      [
        ("bytes", "the ledger, MiB", 1 / 1_048_576, 0), ("segments", "segments", 1, 0),
        ("seconds", "\(SnapshotPart.snapshot), s", 1, 4),
      ])
    lines += self.lines(
      of: backup,
      [
        ("bytes", "SQLite's main file, MiB", 1 / 1_048_576, 0),
        ("seconds", "\(SnapshotPart.backup) of the same events, s", 1, 4),
      ])
    if let mine = row["seconds"].median, let other = backup["seconds"].median {
      lines.append(Self.figures.line("SQLite's time ÷ ours", [Layout.decimals(other / mine, 1)]))
    } else {
      lines.append("this version of the ledger takes no snapshots")
    }
    lines += self.lines(of: load, [("longestSeconds", "longest snapshot while 8 threads append, s", 1, 4)])
    lines += self.lines(
      of: load,
      [
        ("appendsDuring", "appends that one of them touched", 1, 0),
        ("appendsWithout", "other appends", 1, 0),
      ])
    for (prefix, title) in [("during", "during one"), ("without", "without")] {
      lines += self.lines(
        of: load,
        [
          ("\(prefix).p50", "append \(title), p50, µs", 1, 0),
          ("\(prefix).p99", "append \(title), p99, µs", 1, 0),
          ("\(prefix).max", "append \(title), longest, µs", 1, 0),
        ])
    }
    return lines
  }

  // MARK: JSON

  func json() -> String {
    var parts = machine.facts.map { "\(Layout.quoted($0.name)):\(Layout.quoted($0.value))" }
    parts += [
      "\"events\":\(arguments.events)", "\"synced_events\":\(arguments.syncedEvents)",
      "\"sqlite_events\":\(arguments.sqliteEvents)", "\"killed_events\":\(arguments.killedEvents)",
      "\"bytes\":\(arguments.bytes)", "\"segment_size\":\(arguments.segmentSize)",
      "\"rounds\":\(arguments.rounds)", "\"seed\":\(arguments.seed)",
    ]
    let rows = results.rows.map { row in
      let members = [
        "\"part\":\(Layout.quoted(row.part.rawValue))", "\"row\":\(Layout.quoted(row.title))",
        "\"notes\":[\(row.notes.map(Layout.quoted).joined(separator: ","))]",
      ]
      return "{\((members + Layout.members(row.samples)).joined(separator: ","))}"
    }
    parts.append("\"rows\":[\n\(rows.joined(separator: ",\n"))\n]")
    return "{\(parts.joined(separator: ",\n"))}\n"
  }
}
