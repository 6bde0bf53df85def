internal import AgentEvents
internal import RunLedger

/// The events of every operation: each fixed by its number alone, so that a budget changes with the ledger and not with a
/// generator. Like those of real agents in what the ledger does with them: ids that rise in no order, 50 runs that take
/// turns, 50 events a run, a dozen kinds, most with a session and some with a model.
enum Events {
  /// How many events are of the same 50 runs.
  private static let blockCount = 2500
  private static let activeRuns = 50
  private static let seed: UInt64 = 5
  private static let kinds = [
    "run.started", "user.message", "agent.spoke", "tool.called", "tool.returned", "agent.replied",
    "agent.prompted", "agent.stepped", "repo.pushed", "repo.discussed", "level.changed", "run.finished",
  ]
  private static let actors = ["planner", "coder", "reviewer", "user", "bash", "edit", "grep", "webhook"]
  private static let start: Int64 = 1_767_225_600
  /// 300 bytes.
  private static let payload = Array(
    (#"{"ok":true,"text":""# + String(repeating: "all work and no play makes jack", count: 9) + #""}"#).utf8)

  /// The id of an event; beyond those that were stored, one that was not.
  static func id(_ number: Int) -> String { EventGenerator.eventID(number, seed: seed) }

  /// The id of a run.
  static func runID(_ number: Int) -> String { EventGenerator.runID(number, seed: seed) }

  /// How many runs so many events are of, all of them whole.
  static func runCount(of events: Int) -> Int { events / blockCount * activeRuns }

  static func event(_ number: Int) throws -> Event {
    let draw = scattered(number)
    let run = number / blockCount * activeRuns + Int(draw % UInt64(activeRuns))
    guard let time = Timestamp(seconds: start + Int64(number), nanoseconds: 0) else {
      preconditionFailure("event \(number) is of no time")
    }
    let hasModel = draw >> 16 % 10 < 4
    return try Event(
      id: id(number),
      runID: runID(run),
      turn: Int64(number % blockCount),
      kind: kinds[Int(draw >> 24 % UInt64(kinds.count))],
      actor: actors[Int(draw >> 32 % UInt64(actors.count))],
      payload: payload,
      createdAt: time,
      sessionID: run % 5 == 0 ? nil : EventGenerator.runID(1_000_000 + run, seed: seed),
      modelProfile: hasModel ? "fast" : nil,
      modelID: hasModel ? "claude-sonnet-4-5" : nil
    )
  }

  /// A number that looks random, the same for the same number.
  static func scattered(_ number: Int) -> UInt64 {
    // Wrapping is what a hash is made of.
    var value = UInt64(number) &* 0x9E37_79B9_7F4A_7C15
    value = (value ^ (value >> 32)) &* 0xD6E8_FEB8_6659_FD93
    return value ^ (value >> 32)
  }
}
