internal import LogEngine
internal import RunLedger
internal import Synchronization

extension Command {
  static let stat = Command(
    name: "stat",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "says what a ledger holds",
    options: [.json],
    notes: """
      `ledger` and `epoch` are identities; `bytes` counts what the segments use. With --json, `metrics` says what this process
      did to open the ledger; the counters of appends are a writer's own, and 0 here.
      """
  ) { (invocation, console) throws(Failure) in
    let ledger = try invocation.openForReading(console)
    let size = ledger.size
    let runs = try onLedger { () throws(LedgerError) in try ledger.runCount }
    if invocation.has("--json") {
      console.output.add(
        JSONLine { line in
          line.member("ledger", "\(ledger.id)")
          line.member("epoch", "\(ledger.epoch.id)")
          line.member("first_offset", ledger.firstOffset)
          line.member("latest_offset", ledger.latestOffset)
          line.member("durable_offset", ledger.durableOffset)
          line.member("events", ledger.eventCount)
          line.member("runs", runs)
          line.member("segments", size.segments)
          line.member("bytes", size.bytes)
          line.member("metrics", object(ledger.metrics))
        }
      )
    } else {
      console.output.add(
        """
        ledger: \(ledger.id)
        epoch: \(ledger.epoch.id)
        first_offset: \(ledger.firstOffset)
        latest_offset: \(ledger.latestOffset)
        durable_offset: \(ledger.durableOffset)
        events: \(ledger.eventCount)
        runs: \(runs)
        segments: \(size.segments)
        bytes: \(size.bytes)

        """
      )
    }
    return invocation.outcome(ledger)
  }

  static let verify = Command(
    name: "verify",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "reads every byte, and exits with 65 if anything is damaged",
    options: [.json],
    notes: """
      Changes nothing, and works on ledgers that cannot be opened. Ranges of bytes and offsets end before their second
      number. The unsynced end of an interrupted write is told on stderr and is no damage.
      """
  ) { (invocation, console) throws(Failure) in
    let path = try invocation.ledgerPath()
    let progress = Mutex(Progress(console.messages))
    defer { progress.withLock { $0.finish() } }
    let found = try onLedger { () throws(LedgerError) in
      try Ledger.verify(at: path) { done, total in
        progress.withLock { $0.show("\(done >> 20) of \(total >> 20) MiB read") }
      }
    }
    progress.withLock { $0.finish() }
    if invocation.has("--json") {
      console.output.add(
        JSONLine { line in
          line.member("ok", found.isSound)
          line.member("events", found.records)
          line.member("damage", found.damage.map(object))
        }
      )
    } else {
      for damage in found.damage { console.output.add(sentence(damage) + "\n") }
      console.output.add(
        found.isSound
          ? "sound: \(counted(found.records, "event"))\n"
          : "damaged: \(counted(found.records, "event")) can be read\n"
      )
    }
    if let torn = found.torn { console.messages.say(sentence(torn, of: path)) }
    return found.isSound ? .done : .badData
  }

  private static func object(_ metrics: LogMetrics) -> JSONLine {
    JSONLine { line in
      line.member("opening_ns", metrics.openingNanoseconds)
      line.member("records_read", metrics.recordsRead)
      line.member("recoveries", metrics.recoveries)
      line.member("mapped_segments", metrics.mappedSegments)
      line.member("mapped_bytes", metrics.mappedBytes)
      line.member("appends", metrics.appends)
      line.member("failed_appends", metrics.failedAppends)
      line.member("records", metrics.records)
      line.member("bytes", metrics.bytes)
      line.member("commits", object(metrics.commits))
      line.member("syncs", object(metrics.syncs))
      line.member("rolls", object(metrics.rolls))
      line.member("sidecars_written", metrics.sidecarsWritten)
      line.member("sidecars_failed", metrics.sidecarsFailed)
    }
  }

  private static func object(_ latencies: LatencyHistogram) -> JSONLine {
    JSONLine { line in
      line.member("count", latencies.count)
      line.member("p50_ns", latencies.quantile(0.5))
      line.member("p99_ns", latencies.quantile(0.99))
      line.member("p999_ns", latencies.quantile(0.999))
      line.member("max_ns", latencies.maximumNanoseconds)
      line.member("total_ns", latencies.totalNanoseconds)
    }
  }

  static func sentence(_ torn: (file: String, bytes: Range<UInt64>), of path: String) -> String {
    "\(path)/\(torn.file): bytes \(torn.bytes.lowerBound)–\(torn.bytes.upperBound) are an interrupted write that was never acknowledged as durable; the next writer sets them aside"
  }

  static func object(_ damage: Damage) -> JSONLine {
    JSONLine { line in
      line.member("file", damage.file)
      line.member("bytes", from: damage.bytes.lowerBound, to: damage.bytes.upperBound)
      line.member("offsets", from: damage.offsets.lowerBound.rawValue, to: damage.offsets.upperBound.rawValue)
      line.member("kind", damage.kind.rawValue)
    }
  }

  static func sentence(_ damage: Damage) -> String {
    let what =
      switch damage.kind {
      case .header: "the segment's header is damaged"
      case .frame: "these bytes are not what was written"
      case .cut: "the file is shorter than it was"
      case .seal: "the seal is missing or does not fit"
      case .missing: "the segment is gone"
      case .foreign: "the segment belongs elsewhere"
      case .tail: "the end is not what an interrupted write leaves"
      case .record: "the record holds no valid event"
      case .unreadable: "the disk does not give these bytes"
      case .snapshot: "the snapshot's list is damaged, or says otherwise"
      }
    let offsets =
      damage.offsets.isEmpty
      ? "no event known to be lost"
      : "offsets \(damage.offsets.lowerBound)–\(damage.offsets.upperBound.rawValue - 1)"
    return
      "\(damage.file), bytes \(damage.bytes.lowerBound)–\(damage.bytes.upperBound), \(offsets): \(what) (\(damage.kind.rawValue))"
  }
}
