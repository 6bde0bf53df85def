package import LogEngine
package import RunLedger

extension Ledger {
  /// Where a field has a value, by the index.
  package func offsets(of field: PostingField, _ value: String) throws(LedgerError) -> [Offset] {
    var offsets: [Offset] = []
    try forEachEvent(field, value) { view in
      offsets.append(view.offset)
      return true
    }
    return offsets
  }

  /// Asks the index for everything that it serves, and holds it against a reading of all events. nil if it is right.
  package func wrongLookup() throws(LedgerError) -> String? {
    var ids: [(id: String, offset: Offset)] = []
    var runs: [String] = []
    var expected: [PostingField: [String: [Offset]]] = [:]
    try forEachEvent { (view) throws(LedgerError) in
      let event = try view.event()
      ids.append((event.id, view.offset))
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
    if eventCount != ids.count { return "\(eventCount) events are counted, and \(ids.count) are there" }
    for (id, offset) in ids {
      let there = try withEvent(id: id) { $0.offset }
      if there != offset { return "\(id) is found at \(there as Any), not \(offset)" }
    }
    let (runsThere, runCount) = (try self.runs(), try self.runCount)
    if runsThere != runs || runCount != runs.count {
      return "other runs, or \(runCount) of \(runs.count)"
    }
    for (field, values) in expected {
      for (value, offsets) in values {
        let there = try self.offsets(of: field, value)
        if there != offsets { return "\(field) \(value) is found at \(there), not \(offsets)" }
      }
    }
    let nobody = try withEvent(id: "nobody") { $0.offset }
    let nobodysRun = try offsets(of: .run, "nobody")
    if nobody != nil || !nobodysRun.isEmpty { return "nobody is found" }
    return nil
  }
}
