internal import LogEngine
internal import RunLedger

/// An event as the model knows it. The attempt, which is in the creation time, says which call stored it.
struct Stored: Hashable {
  var id: String
  var version: Int
  var attempt: Int64
}

/// What may stand in a ledger's directory, and what must.
struct Knowledge {
  var possible: [Offset: Set<Stored>] = [:]
  var durable: [Offset: Stored] = [:]
  var starts: Set<Offset> = [1]
  /// The highest offset that was ever durable.
  var latest: Offset = .zero

  init() {}

  init(exactly events: [Offset: Stored], start: Offset, latest: Offset) {
    possible = events.mapValues { [$0] }
    durable = events
    starts = [start]
    self.latest = latest
  }
}

extension Knowledge {
  mutating func setDurable(_ events: [Offset: Stored]) {
    for (offset, event) in events { durable[offset] = event }
    latest = max(latest, events.keys.max() ?? .zero)
  }

  /// A trim or a reset is done.
  mutating func drop(below start: Offset) {
    starts = [start]
    durable = durable.filter { $0.key >= start }
    possible = possible.filter { $0.key >= start }
    latest = max(latest, Offset(start.rawValue - 1))
  }
}
