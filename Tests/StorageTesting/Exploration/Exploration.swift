package import LogEngine
internal import PlatformIO

/// Crashes in many stories, by several threads.
package struct Exploration: Sendable {
  private struct Story: Sendable {
    var steps: [LogStep]
    /// Crashes are tried from this step on.
    var start: Int
    var policy: SyncPolicy
    var profile: SimulatedDisk.Profile
  }

  package struct Result: Sendable {
    package var counts = ExplorationCounts()
    package var distinct = 0
    package var stories = 0
  }

  private var stories: [Story] = []
  private let threads: Int
  private let choices: Int
  private let nestedEvery: Int

  package init(threads: Int, choices: Int = 48, nestedEvery: Int = 64) {
    self.threads = threads
    self.choices = choices
    self.nestedEvery = nestedEvery
  }

  /// All sequences of so many basic steps. Only the last step of each is watched: what comes before is a shorter sequence's.
  package mutating func addAll(
    _ count: Int, policy: SyncPolicy = .never, profile: SimulatedDisk.Profile = .strict
  ) {
    var sequences: [[LogStep]] = [[]]
    for _ in 0..<count { sequences = sequences.flatMap { steps in LogStep.basic.map { steps + [$0] } } }
    stories += sequences.map { Story(steps: $0, start: count, policy: policy, profile: profile) }
  }

  /// The steps that are not basic, each behind every sequence of up to `count` basic ones, and a snapshot where it needs one.
  package mutating func addOthers(behind count: Int) {
    var before: [[LogStep]] = [[]]
    for _ in 0...count {
      for steps in before {
        for last in [[.kill], [.snapshot, .restore], [.snapshot, .takeUp]] as [[LogStep]] {
          let steps = steps + last
          stories.append(Story(steps: steps, start: steps.count, policy: .never, profile: .strict))
        }
      }
      before = before.flatMap { steps in LogStep.basic.map { steps + [$0] } }
    }
  }

  /// So many random lives, watched from their beginnings to their ends.
  package mutating func addRandom(_ count: Int, seed: UInt64, profile: SimulatedDisk.Profile? = nil) {
    var numbers = SeededGenerator(seed: seed)
    for _ in 0..<count {
      let steps = (0..<Int.random(in: 5...14, using: &numbers)).map { _ in
        LogStep.allCases.randomElement(using: &numbers) ?? .append
      }
      let policy: SyncPolicy = Bool.random(using: &numbers) ? .never : .always
      let isOrdered = UInt64.random(in: 0..<4, using: &numbers) == 0
      stories.append(
        Story(
          steps: steps, start: 1, policy: policy, profile: profile ?? (isOrdered ? .orderedJournal : .strict))
      )
    }
  }

  /// Runs all stories, or as many as `goesOn` lets begin.
  package func run(_ goesOn: @escaping @Sendable () -> Bool = { true }) throws -> Result {
    let states = DistinctSet()
    let examined = DistinctSet()
    let (stories, choices, nestedEvery) = (stories, choices, nestedEvery)
    var result = try gather(stories.count, threads, Result(), goesOn) { place, add in
      let story = stories[place]
      var settings = CrashExplorer.Settings()
      settings.choices = choices
      settings.nestedEvery = nestedEvery
      settings.profile = story.profile
      let explorer = CrashExplorer(settings, seed: UInt64(place) + 1, states: states, examined: examined)
      do {
        try explorer.explore(story.steps, from: story.start, policy: story.policy)
      } catch {
        throw Self.shrunk(story, settings, error)
      }
      let counts = explorer.counts
      add { result in
        result.stories += 1
        result.counts.add(counts)
      }
    }
    result.distinct = states.count
    return result
  }

  /// The same failure by fewer steps: leaves out each that it does not need.
  private static func shrunk(_ story: Story, _ settings: CrashExplorer.Settings, _ error: any Error)
    -> any Error
  {
    var (steps, error) = (story.steps, error)
    var place = 0
    while place < steps.count {
      var fewer = steps
      fewer.remove(at: place)
      // Another course of chance may miss it; a few are tried.
      var failure: (any Error)?
      for seed in 1...4 as ClosedRange<UInt64> where failure == nil {
        let explorer = CrashExplorer(settings, seed: seed, states: DistinctSet(), examined: DistinctSet())
        do {
          try explorer.explore(fewer, from: 0, policy: story.policy)
        } catch {
          failure = error
        }
      }
      if let failure {
        (steps, error) = (fewer, failure)
      } else {
        place += 1
      }
    }
    return error
  }
}
