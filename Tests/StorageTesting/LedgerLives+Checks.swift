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

  /// Every lookup that the index serves.
  func check(_ ledger: Ledger, _ found: [Offset: Stored], _ what: String) throws {
    try require(ledger.eventCount == found.count, "\(what): \(ledger.eventCount) events of \(found.count)")
    let wrong = try ledger.wrongLookup()
    try require(wrong == nil, "\(what): \(wrong ?? "")")
  }
}
