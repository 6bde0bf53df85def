import LogEngine
import StorageTesting
import Testing

/// Every short life of a log, with the power failing in many ways after every file operation; every file operation failing in every
/// way; damage at rest. `swift run -c release explore` does the same for as long as one likes.
@Suite struct CrashStateTests {
  @Test(arguments: [SimulatedDisk.Profile.strict, .orderedJournal], [SyncPolicy.never, .always])
  func `whatever a power cut leaves after any file operation keeps every promise`(
    profile: SimulatedDisk.Profile, policy: SyncPolicy
  ) throws {
    var exploration = Exploration(threads: 1, choices: 12, nestedEvery: 8)
    exploration.addAll(0, policy: policy, profile: profile)
    exploration.addAll(1, policy: policy, profile: profile)
    let found = try exploration.run()
    #expect(found.stories == 11)
    #expect(found.distinct > 50)
    #expect(found.counts.nested[3] ?? 0 > 5, "recoveries are cut off, and those after them")
    for kind in CrashStates.Kind.allCases where profile == .strict {
      #expect(found.counts.kinds[kind] ?? 0 > 5, "\(kind)")
    }
  }

  @Test func `killed logs, restored ones and snapshots that are written to keep every promise`() throws {
    var exploration = Exploration(threads: 1, choices: 16)
    exploration.addOthers(behind: 0)
    exploration.addRandom(1, seed: 20)
    let found = try exploration.run()
    #expect(found.distinct > 100)
    #expect(found.counts.outcomes["torn"] ?? 0 > 50)
  }

  @Test func `after syncs that lied nothing wrong is returned, and what a frame says was durable is missed`()
    throws
  {
    var exploration = Exploration(threads: 1, choices: 32)
    for count in 0...1 { exploration.addAll(count, policy: .always, profile: .lyingSync) }
    exploration.addRandom(2, seed: 3, profile: .lyingSync)
    let found = try exploration.run()
    #expect(found.counts.outcomes["refused by a frame's word"] ?? 0 > 10)
    #expect(found.counts.outcomes["shorter, and no word of it left"] ?? 0 > 10, "not every lie can be told")
  }

  @Test(arguments: FaultCampaign.histories.indices)
  func `whatever file operation fails, and how, the log says so and goes on`(history: Int) throws {
    let explorer = FaultExplorer(policy: history % 2 == 0 ? .always : .never, seed: 1)
    let steps: [LogStep?] = [nil, .roll, .snapshot, .trim, .reopen]
    try explorer.explore(FaultCampaign.histories[history], steps[history])
    #expect(explorer.runs.values.reduce(0, +) > 100)
    #expect(explorer.endings["fileSystem"] ?? 0 > 0)
    #expect(explorer.counts.examined["faults"] ?? 0 > 600)
  }

  @Test func `a bit or a sector that went bad is noticed, or costs nothing`() throws {
    let explorer = RotExplorer(seed: 5)
    try explorer.explore([.batch, .roll, .idle, .append, .batch], flips: 300)
    try explorer.explore([.roll, .snapshot, .append, .reset, .batch], flips: 300)
    // A sector that holds all of a segment for which nothing was reserved, its seal included.
    try explorer.explore([.reset, .append, .append, .snapshot], flips: 0)
    #expect(explorer.takenForTears > 0)
    #expect(explorer.sectors > 100)
    #expect(explorer.refused > 50)
    #expect(explorer.intact > 50)
  }
}
