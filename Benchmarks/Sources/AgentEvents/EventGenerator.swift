public import RunLedger

/// An endless, reproducible stream of agent events as they come in life.
///
/// About 50 runs are under way at once and take turns; a run has 50 events on average, from 2 to 146. Ids are UUIDs, so
/// they share no prefix and rise in no order. The same seed gives the same events on every platform.
public struct EventGenerator: Sequence, IteratorProtocol {
  private struct Run {
    var id: String
    var session: String?
    var model: Int
    var turn: Int64
    var remaining: Int
  }

  private static let activeRuns = 50
  private static let models = [
    (profile: "fast", id: "claude-sonnet-4-5"), (profile: "deep", id: "claude-opus-4-5"),
    (profile: "fast", id: "gpt-4o"), (profile: "local", id: "qwen3-coder-30b"),
  ]

  private let seed: UInt64
  private let payloadByteCount: Int?
  private let text: PayloadText
  private var random: SplitMix64
  private var runs: [Run] = []
  private var microseconds: Int64 = 1_767_225_600_000_000
  private var lastSession: String?
  /// How many events were made.
  public private(set) var count = 0
  /// How many runs were started.
  public private(set) var runCount = 0

  /// Makes the stream of a seed, with payloads of life's sizes, or of one size, at most 1 MiB, that is given. Cost: building
  /// 4 MiB of text.
  public init(seed: UInt64 = 1, payloadByteCount: Int? = nil) {
    self.seed = seed
    self.payloadByteCount = payloadByteCount
    text = PayloadText(seed: seed)
    random = SplitMix64(seed: SplitMix64.mix(seed) ^ 0xE7E7)
  }

  /// The id of the event at an index, from 0 on, of a seed's stream; an index beyond what was stored makes an id that was
  /// not.
  public static func eventID(_ index: Int, seed: UInt64) -> String { uuid(1, index, seed) }

  /// The id of a run by its number, from 0 on, in order of first appearance.
  public static func runID(_ number: Int, seed: UInt64) -> String { uuid(2, number, seed) }

  /// The next event; never nil.
  public mutating func next() -> Event? {
    microseconds += Int64(random.below(4000))
    var kind = EventKind.started
    let slot: Int
    if runs.count < Self.activeRuns {
      slot = runs.count
      runs.append(startRun())
    } else {
      slot = random.below(runs.count)
      if runs[slot].remaining == 0 {
        runs[slot] = startRun()
      } else {
        runs[slot].remaining -= 1
        runs[slot].turn += 1
        kind =
          runs[slot].remaining == 0
          ? EventKind.finished : EventKind.inner[Int(EventKind.wheel[random.below(EventKind.wheel.count)])]
      }
    }
    defer { count += 1 }
    return event(kind, runs[slot])
  }

  /// The next `count` events.
  public mutating func take(_ count: Int) -> [Event] {
    var events: [Event] = []
    events.reserveCapacity(count)
    while events.count < count, let event = next() { events.append(event) }
    return events
  }

  /// The stream of other events than those of `seed` and of any other number. Ids are made of seed and number in such a way
  /// that seeds have to lie further apart than numbers, or two streams would share an id.
  public init(extra number: Int, seed: UInt64, payloadByteCount: Int? = nil) {
    self.init(seed: seed &+ UInt64(number) << 44, payloadByteCount: payloadByteCount)
  }

  private mutating func event(_ kind: EventKind, _ run: Run) -> Event {
    let model = random.below(100) < kind.modelPercent ? Self.models[run.model] : nil
    guard
      let time = Timestamp(
        seconds: microseconds / 1_000_000,
        nanoseconds: UInt32(microseconds % 1_000_000) * 1000
      )
    else { preconditionFailure("the stream passed the year 9999") }
    do {
      return try Event(
        id: Self.eventID(count, seed: seed),
        runID: run.id,
        turn: run.turn,
        kind: kind.name,
        actor: kind.actors[random.below(kind.actors.count)],
        payload: payload(kind),
        createdAt: time,
        sessionID: run.session,
        modelProfile: model?.profile,
        modelID: model?.id
      )
    } catch {
      preconditionFailure("the generator broke an event's rule: \(error)")
    }
  }

  /// Both sizes take the same draws, so that all else about an event is the same.
  private mutating func payload(_ kind: EventKind) -> [UInt8] {
    let size = kind.size(&random)
    return text.payload(byteCount: payloadByteCount ?? size, &random)
  }

  private mutating func startRun() -> Run {
    defer { runCount += 1 }
    // Most runs have a session of their own, some share the last one's, some have none.
    switch random.below(10) {
    case 0: lastSession = nil
    case 1, 2, 3: break
    default: lastSession = Self.uuid(3, runCount, seed)
    }
    let draw = random.below(1 << 10)
    return Run(
      id: Self.runID(runCount, seed: seed),
      session: lastSession,
      model: random.below(Self.models.count),
      turn: 0,
      remaining: 1 + ((draw * draw * 145) >> 20)
    )
  }

  private static let digits = Array("0123456789abcdef".utf8)

  /// A random-looking UUID of version 4.
  private static func uuid(_ stream: UInt64, _ number: Int, _ seed: UInt64) -> String {
    var random = SplitMix64(seed: SplitMix64.mix(seed &* 4 &+ stream) ^ SplitMix64.mix(UInt64(number)))
    let high = random.next() & ~0xF000 | 0x4000
    let low = random.next() & ~(3 << 62) | (2 << 62)
    var text: [UInt8] = []
    text.reserveCapacity(36)
    for (word, dashes) in [(high, [8, 12]), (low, [4])] {
      for digit in 0..<16 {
        if dashes.contains(digit) { text.append(UInt8(ascii: "-")) }
        text.append(digits[Int(word >> UInt64(60 - 4 * digit) & 15)])
      }
      if word == high, text.count == 18 { text.append(UInt8(ascii: "-")) }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
