internal import PlatformIO

extension LogScan {
  mutating func judgeTail(
    _ scan: inout SegmentScan, _ segment: inout Segment, _ visit: (Offset, RawSpan) throws(LogError) -> Void
  ) throws(LogError) {
    var facts = try facts(of: &scan, segment)
    if besideWriter { try settle(&facts, &scan, &segment, visit) }
    tail = facts
    let number = segment.number
    let lost =
      segment
      .nextOffset..<max(
        segment.nextOffset, segment.header.firstOffset.advanced(by: UInt64(facts.nextIndex)))
    switch facts.verdict {
    case .clean, .sealed: break
    case .torn(let end), .unwritten(let end):
      torn = (LogDirectory.name(of: number), facts.end.rawValue..<end.rawValue)
    case .damaged(let kind, let end):
      if facts.end < facts.floor {
        try readPastDamage(&scan, &segment, facts, visit)
        if kind == .cut { add(.cut, .damaged, number, facts.fileLength..<end.rawValue, 0..<0, Self.cutEnd) }
      } else {
        add(
          kind, .damaged, number, facts.end.rawValue..<max(end.rawValue, facts.end.rawValue), lost,
          kind == .cut ? Self.cutEnd : Self.damagedEnd)
      }
    case .suspect(let end):
      add(
        .tail, .suspectTail, number, facts.end.rawValue..<end.rawValue, lost,
        "the unsynced end looks damaged rather than interrupted; open it read-only, restore it from a copy, or accept the loss of these bytes with `acceptSuspectTail`"
      )
    }
  }

  private func facts(of scan: inout SegmentScan, _ segment: Segment) throws(LogError) -> TailFacts {
    var facts = try scan.tailFacts(isSealed: segment.isSealed)
    facts.isQuiet = segment.endsInSyncFrame
    return facts
  }

  /// Beside a writer, what stands behind the last batch may be the next one on its way in, so it is believed only once
  /// two looks agree. While they do not, it is not yet part of the log, and no tear.
  private mutating func settle(
    _ facts: inout TailFacts, _ scan: inout SegmentScan, _ segment: inout Segment,
    _ visit: (Offset, RawSpan) throws(LogError) -> Void
  ) throws(LogError) {
    for _ in 0..<Self.patience {
      if facts.verdict == .clean || facts.verdict == .sealed { return }
      try scan.refresh()
      let before = segment.end
      try read(&scan, into: &segment, visit, isLast: true)
      let again = try self.facts(of: &scan, segment)
      // A batch on its way in raises no floor above itself, so damage below one needs no such proof.
      let isSettled = segment.end == before && (again == facts || again.end < again.floor)
      facts = again
      if isSettled { return }
    }
    facts.ignoreWhatFollows()
  }

  private static let patience = 8
  private static let cutEnd =
    "the file is shorter than it was made, so records may be gone; open it read-only, restore it from a copy, or salvage"
  private static let damagedEnd =
    "durable data at the log's end is damaged, so nothing was cut; open it read-only, restore it from a copy, or salvage"

  /// Reads what is sound behind damage to durable records. Below the floor every frame was durable, so each counts by
  /// itself; from there on batches count whole again.
  private mutating func readPastDamage(
    _ scan: inout SegmentScan, _ segment: inout Segment, _ facts: TailFacts,
    _ visit: (Offset, RawSpan) throws(LogError) -> Void
  ) throws(LogError) {
    let lastNonzero = max(facts.dataEnd, facts.floor)
    var hasFound = false
    scan.takeSingleFrames()
    reading: while true {
      if scan.scanner.position >= facts.floor { scan.takeSingleFrames(false) }
      switch try advance(&scan, &segment, visit) {
      case .batch, .sync: continue
      case .seal: break reading
      case .stopped: break
      }
      guard scan.scanner.position < facts.floor else { break }
      hasFound = true
      let start = scan.scanner.position.rawValue
      let lostFrom = scan.scanner.nextIndex
      guard case .found = try scan.resync(), scan.scanner.position <= facts.floor else {
        // What lies across the floor may be the rest of a batch, so nothing behind counts.
        add(
          .frame, .damaged, segment.number, start..<lastNonzero.rawValue,
          offsets(lostFrom..<max(lostFrom, facts.nextIndex), segment.header), Self.damagedEnd)
        return
      }
      add(
        .frame, .damaged, segment.number, start..<scan.scanner.position.rawValue,
        offsets(lostFrom..<scan.scanner.nextIndex, segment.header), Self.damagedEnd)
      segment.positions.appendLost(upTo: Int(scan.scanner.nextIndex))
    }
    if !hasFound {
      // Every frame is sound, and yet a batch that was durable has no end.
      add(
        .frame, .damaged, segment.number, facts.end.rawValue..<facts.floor.rawValue, 0..<0, Self.damagedEnd)
    }
    if scan.scanner.position < lastNonzero {
      torn = (LogDirectory.name(of: segment.number), scan.scanner.position.rawValue..<lastNonzero.rawValue)
    }
  }
}
