import FoundationEssentials
import StorageTesting
import Testing

@Suite struct LedgerLivesTests {
  /// How many lives each part has; `RUNLEDGER_LIVES` asks for more.
  static let count = UInt64(ProcessInfo.processInfo.environment["RUNLEDGER_LIVES"] ?? "") ?? 10

  @Test(arguments: 1...4) func `random lives lose nothing durable and find what they hold`(part: Int) throws {
    for seed in UInt64(part) * 1_000_000..<UInt64(part) * 1_000_000 + Self.count {
      try LedgerLives(seed: seed).run(steps: 120)
    }
  }

  @Test func `a life can be scripted, so that a fuzzer can look for one that goes wrong`() throws {
    var numbers = SeededGenerator(seed: 1)
    for _ in 0..<20 {
      let script = (0..<200).map { _ in UInt8.random(in: 0...255, using: &numbers) }
      try LedgerLives(script: script).run(steps: 120)
    }
    try LedgerLives(script: []).run(steps: 120)
  }
}
