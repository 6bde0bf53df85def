package import LogEngine
internal import PlatformIO

/// Explorations of many stories, by several threads: all short ones, and random long ones.
package struct Exploration: Sendable {
  package struct Story: Sendable {
    var steps: [LogStep]
    /// Crashes are tried from this step on.
    var start: Int
    var policy: SyncPolicy
    var profile: SimulatedDisk.Profile
  }

  package var stories: [Story] = []
  package var choices = 64
  package var nestedEvery = 16
  package var threads = 1

  package init() {}

  /// All sequences of up to `count` steps. Only the last step of each is watched: what comes before is another sequence's.
  package mutating func addAll(
    upTo count: Int, of alphabet: [LogStep] = LogStep.basic, policy: SyncPolicy = .never,
    profile: SimulatedDisk.Profile = .strict
  ) {
    var longest: [[LogStep]] = [[]]
    for length in 0...count {
      stories += longest.map { Story(steps: $0, start: length, policy: policy, profile: profile) }
      longest = longest.flatMap { steps in alphabet.map { steps + [$0] } }
    }
  }

  /// The steps that are not basic, each behind every sequence of up to `count` basic ones and a snapshot.
  package mutating func addOthers(behind count: Int, policy: SyncPolicy = .never) {
    var before: [[LogStep]] = [[]]
    for _ in 0...count {
      for steps in before {
        for last in [[.kill], [.snapshot, .restore], [.snapshot, .takeUp]] as [[LogStep]] {
          let steps = steps + last
          stories.append(Story(steps: steps, start: steps.count, policy: policy, profile: .strict))
        }
      }
      before = before.flatMap { steps in LogStep.basic.map { steps + [$0] } }
    }
  }

  /// So many random lives, watched from beginning to end.
  package mutating func addRandom(_ count: Int, seed: UInt64) {
    var numbers = SeededGenerator(seed: seed)
    for _ in 0..<count {
      let steps = (0..<Int.random(in: 5...14, using: &numbers)).map { _ in
        LogStep.allCases.randomElement(using: &numbers) ?? .append
      }
      stories.append(
        Story(
          steps: steps, start: Int.random(in: 1...4, using: &numbers),
          policy: Bool.random(using: &numbers) ? .never : .always,
          profile: UInt64.random(in: 0..<4, using: &numbers) == 0 ? .orderedJournal : .strict))
    }
  }

  private struct Progress: Sendable {
    var counts = ExplorationCounts()
    var failures: [(place: Int, error: String)] = []
    var done = 0
  }

  /// Runs all stories, or as many as `goesOn` lets begin. Throws what the first of those that failed says.
  package func run(
    goesOn: @escaping @Sendable (_ distinct: Int) -> Bool = { _ in true }
  ) throws -> (counts: ExplorationCounts, distinct: Int, stories: Int) {
    let states = DistinctSet()
    let examined = DistinctSet()
    let progress = Locked(Progress())
    Parallel.forEach(0..<stories.count, threads: threads) { place in
      guard progress.withLock({ $0.failures.isEmpty }), goesOn(states.count) else { return }
      let story = stories[place]
      var settings = CrashExplorer.Settings()
      settings.choices = choices
      settings.nestedEvery = nestedEvery
      settings.profile = story.profile
      let explorer = CrashExplorer(settings, seed: UInt64(place) + 1, states: states, examined: examined)
      var failure: String?
      do {
        try explorer.explore(story.steps, from: story.start, policy: story.policy)
      } catch {
        failure = "story \(place): \(error)"
      }
      let (counts, message) = (explorer.counts, failure)
      progress.withLock { progress in
        progress.done += 1
        progress.counts.add(counts)
        if let message { progress.failures.append((place, message)) }
      }
    }
    let result = progress.withLock { $0 }
    if let first = result.failures.min(by: { $0.place < $1.place }) {
      throw BrokenPromise(description: first.error)
    }
    return (result.counts, states.count, result.done)
  }
}
