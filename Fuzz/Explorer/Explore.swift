import LogEngine
import PlatformIO
import StorageTesting

/// Lets the power fail in all ways after every file operation of every short life of a log, and of random long ones.
@main
struct Explore {
  static func main() throws {
    var arguments = Array(CommandLine.arguments.dropFirst())
    func take(_ name: String, _ fallback: Int) -> Int {
      guard let place = arguments.firstIndex(of: name), place + 1 < arguments.count,
        let value = Int(arguments[place + 1])
      else { return fallback }
      arguments.removeSubrange(place...place + 1)
      return value
    }
    let depth = take("--depth", 2)
    let seconds = UInt64(take("--seconds", 30))
    var exploration = Exploration()
    exploration.choices = take("--choices", 48)
    exploration.nestedEvery = take("--nested-every", 64)
    exploration.threads = take("--threads", Parallel.processorCount)
    exploration.addAll(upTo: depth)
    exploration.addAll(upTo: max(1, depth - 1), policy: .always)
    exploration.addAll(upTo: max(1, depth - 1), profile: .orderedJournal)
    exploration.addOthers(behind: max(0, depth - 1))
    exploration.addRandom(take("--random", 1000), seed: UInt64(take("--seed", 1)))
    if take("--faults", 0) > 0 {
      for policy in [SyncPolicy.always, .never] {
        let explorer = FaultExplorer(policy: policy, seed: 1)
        for before in [
          [], [.batch, .roll, .append], [.batch, .snapshot, .append, .idle, .batch],
          [.batch, .roll, .trim, .fork, .append], [.snapshot, .takeUp, .reset, .roll, .idle, .reopen],
        ] as [[LogStep]] {
          for step in [nil] + LogStep.allCases.map(Optional.some) {
            do { try explorer.explore(before, step) } catch { print("FAILED", error) }
          }
        }
        print(
          policy, explorer.runs.values.reduce(0, +), explorer.runs, explorer.endings, explorer.counts.examined
        )
      }
      return
    }
    guard arguments.isEmpty else { fatalError("unknown arguments: \(arguments)") }
    let started = SystemEnvironment.monotonicNanoseconds()
    let (counts, distinct, stories) = try exploration.run { _ in
      SystemEnvironment.monotonicNanoseconds() - started < seconds * 1_000_000_000
    }
    let elapsed = Double(SystemEnvironment.monotonicNanoseconds() - started) / 1e9
    print(
      "stories \(stories) of \(exploration.stories.count), points \(counts.points), openings \(counts.openings)"
    )
    print(
      "distinct \(distinct), examined \(counts.examined.values.reduce(0, +)), nested \(counts.nested), in \(elapsed) s"
    )
    for (name, count) in counts.distinct.sorted(by: { $0.key < $1.key }) { print("  \(name): \(count)") }
    print(counts.kinds.map { "\($0.key.rawValue) \($0.value)" }.sorted().joined(separator: ", "))
    print(
      counts.outcomes.sorted(by: { $0.key < $1.key }).map { "\($0.key) \($0.value)" }.joined(separator: ", "))
  }
}
