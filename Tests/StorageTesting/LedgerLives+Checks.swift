internal import LogEngine
internal import PlatformIO
internal import RunLedger

extension LedgerLives {
  func events(of ledger: Ledger) throws -> [Offset: Stored] {
    var found: [Offset: Stored] = [:]
    try ledger.forEachEvent { (view) throws(LedgerError) in
      let event = try view.event()
      found[view.offset] = Stored(
        id: event.id, version: Int(event.turn), attempt: event.createdAt.seconds)
      return true
    }
    return found
  }

  func readBeside(_ ledger: Ledger) throws {
    guard !hasFailed else { return }
    story.append("read beside")
    let reader = try Ledger.open(
      at: path, options: options(.readOnly), fileSystem: disk, environment: SeededEnvironment(seed: 8))
    let found = try events(of: reader)
    try require(found == live && reader.firstOffset == ledger.firstOffset, "a reader sees another ledger")
    try require(reader.recovery.damage.isEmpty, "\(reader.recovery.damage)")
    try check(reader, found, "beside")
  }

  /// Which of the things that the directory may be it is.
  @discardableResult
  func settle(
    _ path: String, _ ledger: Ledger, _ found: [Offset: Stored]
  ) throws -> [Knowledge?] {
    var reasons: [String] = []
    let matching = (known[path] ?? []).filter { knowledge in
      guard let knowledge else { return false }
      let reason = mismatch(knowledge, ledger, found)
      if let reason { reasons.append(reason) }
      return reason == nil
    }
    try require(!matching.isEmpty, "\(path): \(reasons)")
    return matching
  }

  func mismatch(_ known: Knowledge, _ ledger: Ledger, _ found: [Offset: Stored]) -> String? {
    let first = ledger.firstOffset
    if !known.starts.contains(first) { return "starts at \(first)" }
    if ledger.latestOffset < known.latest { return "ends at \(ledger.latestOffset), not \(known.latest)" }
    if UInt64(found.count) != ledger.latestOffset.rawValue + 1 - first.rawValue { return "is not contiguous" }
    for (offset, event) in known.durable where offset >= first && found[offset] != event {
      return "\(offset) is lost: \(event), \(found[offset] as Any)"
    }
    var counts: [Int64: Int] = [:]
    for (offset, event) in found {
      if known.possible[offset]?.contains(event) != true { return "\(offset) was never written: \(event)" }
      counts[event.attempt, default: 0] += 1
    }
    for (attempt, count) in counts where count != sizes[attempt] { return "a part of \(attempt)" }
    if Set(found.values.map(\.id)).count != found.count { return "an id twice" }
    return nil
  }

  static func found(_ ledger: Ledger, _ field: PostingField, _ value: String) throws -> [Offset] {
    var offsets: [Offset] = []
    try ledger.forEachEvent(field, value) { view in
      offsets.append(view.offset)
      return true
    }
    return offsets
  }

  /// Every lookup that the index serves.
  func check(_ ledger: Ledger, _ found: [Offset: Stored], _ what: String) throws {
    try require(ledger.eventCount == found.count, "\(what): \(ledger.eventCount) events of \(found.count)")
    var runs: [String] = []
    var expected: [PostingField: [String: [Offset]]] = [:]
    try ledger.forEachEvent { (view) throws(LedgerError) in
      let event = try view.event()
      if expected[.run]?[event.runID] == nil { runs.append(event.runID) }
      let values: [(PostingField, String?)] = [
        (.run, event.runID), (.kind, event.kind), (.actor, event.actor), (.session, event.sessionID),
        (.model, event.modelID),
      ]
      for (field, value) in values {
        if let value { expected[field, default: [:]][value, default: []].append(view.offset) }
      }
      return true
    }
    for (offset, event) in found {
      let there = try ledger.withEvent(id: event.id) { $0.offset }
      try require(there == offset, "\(what): \(event) is found at \(there as Any), not \(offset)")
    }
    try require(try ledger.runs() == runs && ledger.runCount == runs.count, "\(what): other runs")
    for (field, values) in expected {
      for (value, offsets) in values {
        let there = try Self.found(ledger, field, value)
        try require(there == offsets, "\(what): \(value) is found at \(there), not \(offsets)")
      }
    }
    try require(try ledger.withEvent(id: "nobody", { $0.offset }) == nil, "\(what): nobody is found")
  }
}
