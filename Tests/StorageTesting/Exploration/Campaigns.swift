internal import LogEngine
internal import PlatformIO

/// Faults in the steps of many stories, by several threads: those of a fixed set of histories first, then random ones.
package struct FaultCampaign: Sendable {
  package struct Result: Sendable {
    package var runs: [String: Int] = [:]
    package var endings: [String: Int] = [:]
    package var crashes = 0
  }

  /// What a log may have behind it when something fails.
  package static let histories: [[LogStep]] = [
    [], [.batch, .roll, .append], [.batch, .snapshot, .append, .idle, .batch],
    [.batch, .roll, .trim, .fork, .append], [.snapshot, .takeUp, .reset, .roll, .idle, .reopen],
  ]

  private let threads: Int
  private let seed: UInt64

  package init(threads: Int, seed: UInt64) {
    self.threads = threads
    self.seed = seed
  }

  package func run(_ goesOn: @escaping @Sendable () -> Bool) throws -> Result {
    var cases: [(before: [LogStep], step: LogStep?, policy: SyncPolicy)] = []
    let steps = [nil] + LogStep.allCases.map(Optional.some)
    for policy in [SyncPolicy.always, .never] {
      for before in Self.histories { cases += steps.map { (before, $0, policy) } }
    }
    var numbers = SeededGenerator(seed: seed)
    // In any order, so that a short run sees some of everything; and then others for as long as there is time.
    cases.shuffle(using: &numbers)
    for _ in 0..<20_000 {
      let before = (0..<Int.random(in: 1...8, using: &numbers)).map { _ in
        LogStep.allCases.randomElement(using: &numbers) ?? .append
      }
      cases.append(
        (before, steps.randomElement(using: &numbers) ?? nil, Bool.random(using: &numbers) ? .always : .never)
      )
    }
    let all = cases
    let seed = seed
    return try gather(cases.count, threads, Result(), goesOn) { place, add in
      let explorer = FaultExplorer(policy: all[place].policy, seed: seed &+ UInt64(place))
      try explorer.explore(all[place].before, all[place].step)
      let (runs, endings, crashes) = (
        explorer.runs, explorer.endings, explorer.counts.examined["faults"] ?? 0
      )
      add { result in
        result.runs.merge(runs, uniquingKeysWith: +)
        result.endings.merge(endings, uniquingKeysWith: +)
        result.crashes += crashes
      }
    }
  }
}

/// Damage to the logs of many random stories, by several threads.
package struct RotCampaign: Sendable {
  package struct Result: Sendable {
    package var flips = 0
    package var sectors = 0
    package var refused = 0
    package var intact = 0
    package var takenForTears = 0
  }

  private let threads: Int
  private let seed: UInt64

  package init(threads: Int, seed: UInt64) {
    self.threads = threads
    self.seed = seed
  }

  package func run(_ goesOn: @escaping @Sendable () -> Bool) throws -> Result {
    let seed = seed
    return try gather(1_000_000, threads, Result(), goesOn) { place, add in
      var numbers = SeededGenerator(seed: seed &+ UInt64(place) &* 7919)
      let steps = (0..<Int.random(in: 1...8, using: &numbers)).map { _ in
        LogStep.allCases.randomElement(using: &numbers) ?? .append
      }
      let explorer = RotExplorer(seed: seed &+ UInt64(place))
      try explorer.explore(steps, flips: 1000)
      let (flips, sectors, refused, intact, takenForTears) = (
        explorer.flips, explorer.sectors, explorer.refused, explorer.intact, explorer.takenForTears
      )
      add { result in
        result.flips += flips
        result.sectors += sectors
        result.refused += refused
        result.intact += intact
        result.takenForTears += takenForTears
      }
    }
  }
}

/// Does so many pieces of work, as many as `goesOn` lets begin, by several threads, and adds up what they bring. Throws what the
/// first of those that failed has thrown.
func gather<Result: Sendable>(
  _ count: Int, _ threads: Int, _ start: Result, _ goesOn: @escaping @Sendable () -> Bool,
  _ work: @escaping @Sendable (Int, (@Sendable (inout Result) -> Void) -> Void) throws -> Void
) throws -> Result {
  let sum = Locked((result: start, failures: [(place: Int, error: String)]()))
  Parallel.forEach(0..<count, threads: threads) { place in
    guard sum.withLock({ $0.failures.isEmpty }), goesOn() else { return }
    do {
      try work(place) { change in sum.withLock { change(&$0.result) } }
    } catch {
      let text = "\(error)"
      sum.withLock { $0.failures.append((place, text)) }
    }
  }
  let (result, failures) = sum.withLock { $0 }
  if let first = failures.min(by: { $0.place < $1.place }) { throw BrokenPromise(description: first.error) }
  return result
}
