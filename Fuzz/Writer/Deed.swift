internal import LogEngine
internal import RunLedger

/// SplitMix64: the same numbers for the same seed.
struct Dice: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64...) {
    state = 0
    for part in seed {
      state ^= part
      state = next()
    }
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

/// An event by its identity: who wrote it, and the how manieth of theirs it is. All else follows from that and the seed, so
/// that whoever reads it can tell whether every byte is as it was written.
struct Deed: Equatable {
  var life: UInt64
  var counter: UInt64

  init(life: UInt64, counter: UInt64) {
    self.life = life
    self.counter = counter
  }

  /// Reads an event's id; nil if it is none of ours.
  init?(id: String) {
    let parts = id.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let life = UInt64(parts[0]), let counter = UInt64(parts[1]) else { return nil }
    self.init(life: life, counter: counter)
  }

  func event(_ seed: UInt64) -> Event {
    var dice = Dice(seed, life, counter)
    let label = dice.next()
    return Event(
      uncheckedID: "\(life)-\(counter)", runID: "run-\(life)-\(counter / 20)",
      turn: Int64(truncatingIfNeeded: dice.next()), kind: label & 1 == 0 ? "deed.done" : "deed.told",
      actor: label & 2 == 0 ? "writer" : "Prüfer", payload: Self.payload(&dice),
      createdAt: Timestamp(
        uncheckedSeconds: Int64(label >> 32), nanoseconds: UInt32(counter % 1_000_000_000)),
      schemaVersion: Int64(label & 0xFF), sessionID: label & 4 == 0 ? nil : "session-\(label & 0xFF00)",
      modelProfile: label & 8 == 0 ? nil : "", modelID: label & 16 == 0 ? nil : "model-\(label >> 60)",
      kindRule: .dotted)
  }

  private static func payload(_ dice: inout Dice) -> [UInt8] {
    let draw = Int.random(in: 0..<1000, using: &dice)
    let count =
      switch draw {
      case ..<850: Int.random(in: 0...600, using: &dice)
      case ..<960: Int.random(in: 600...5_000, using: &dice)
      case ..<995: Int.random(in: 5_000...20_000, using: &dice)
      // More than any segment here.
      default: Int.random(in: 20_000...90_000, using: &dice)
      }
    // Runs of zeros, which a lost sector would leave too, and whole sectors of them.
    let isSparse = dice.chance(25)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count {
      if isSparse, dice.chance(30) {
        bytes.append(contentsOf: repeatElement(0, count: Int.random(in: 1...1500, using: &dice)))
      } else {
        let word = dice.next()
        for shift: UInt64 in [0, 8, 16, 24, 32, 40, 48, 56] {
          bytes.append(UInt8(truncatingIfNeeded: word >> shift))
        }
      }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }
}

/// What an open ledger holds, read through and compared byte by byte with what was written.
struct Inventory {
  private let ledger: Ledger
  private let name: String
  private let seed: UInt64

  init(_ ledger: Ledger, _ name: String, _ seed: UInt64) {
    self.ledger = ledger
    self.name = name
    self.seed = seed
  }

  /// Says it on one line: how the log ended, first and next offset, the durable one, the epoch, and the events as runs of
  /// rising counters of one life.
  func report(_ letter: String) throws(Ending) {
    let recovery = ledger.recovery
    guard recovery.damage.isEmpty else { throw broken("opening finds \(recovery.damage)") }
    var runs: [(first: Deed, count: UInt64)] = []
    var next = ledger.firstOffset
    var flaw: String?
    do throws(LedgerError) {
      try ledger.forEachEvent { (view) throws(LedgerError) in
        let event = try view.event()
        guard view.offset == next else {
          flaw = "offset \(view.offset) follows where \(next) should"
          return false
        }
        next = Offset(next.rawValue + 1)
        guard let deed = Deed(id: event.id), deed.event(seed) == event else {
          flaw = "offset \(view.offset): '\(event.id)' is not what was written"
          return false
        }
        if let last = runs.last, last.first.life == deed.life,
          deed.counter == last.first.counter + last.count
        {
          runs[runs.count - 1].count += 1
        } else {
          runs.append((deed, 1))
        }
        return true
      }
      if flaw == nil { flaw = try flawOfIndex(runs) }
    } catch {
      Report.fail("read \(name)", error)
      throw .cannotRead
    }
    if let flaw { throw broken(flaw) }
    guard next == Offset(ledger.latestOffset.rawValue + 1) else {
      throw broken("reading ends before \(next), the ledger says \(ledger.latestOffset)")
    }
    let text = runs.map { "\($0.first.life):\($0.first.counter)+\($0.count)" }.joined(separator: ",")
    Report.say(
      "\(letter) \(name) \(recovery.outcome) \(ledger.firstOffset) \(next) \(ledger.durableOffset) \(ledger.epoch.id) "
        + (text.isEmpty ? "-" : text))
  }

  /// The index, which may come from sidecars, says of events what the segments say.
  private func flawOfIndex(_ runs: [(first: Deed, count: UInt64)]) throws(LedgerError) -> String? {
    let count = runs.reduce(0) { $0 + $1.count }
    guard ledger.eventCount == count else {
      return "the index has \(ledger.eventCount) events, the segments \(count)"
    }
    var offset = ledger.firstOffset.rawValue
    for run in runs {
      for place in Set([0, run.count / 2, run.count - 1]) {
        let id = "\(run.first.life)-\(run.first.counter + place)"
        guard try ledger.event(id: id)?.offset.rawValue == offset + place else {
          return "the index does not find '\(id)' at \(offset + place)"
        }
      }
      offset += run.count
    }
    return nil
  }

  private func broken(_ what: String) -> Ending {
    Report.say("x \(name) \(what)")
    return .broken
  }
}
