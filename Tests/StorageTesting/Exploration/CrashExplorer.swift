package import LogEngine
internal import PlatformIO

/// A promise of the engine that does not hold.
package struct BrokenPromise: Error, CustomStringConvertible {
  package var description: String
}

/// Numbers that are counted once, by several threads.
package final class DistinctSet: Sendable {
  private let parts = (0..<64).map { _ in Locked<Set<UInt64>>([]) }

  package init() {}

  /// True for a number that is new.
  package func insert(_ number: UInt64) -> Bool {
    parts[Int(number >> 58)].withLock { $0.insert(number).inserted }
  }

  package var count: Int { parts.reduce(0) { sum, part in sum + part.withLock { $0.count } } }
}

/// What an exploration came by.
package struct ExplorationCounts: Sendable {
  /// Crash states that were reopened and found to keep the promise, by what was going on.
  package var examined: [String: Int] = [:]
  /// Of those, states of the disk that were not met before.
  package var distinct: [String: Int] = [:]
  /// States that a crash within a recovery left, by depth.
  package var nested: [Int: Int] = [:]
  package var kinds: [CrashStates.Kind: Int] = [:]
  package var outcomes: [String: Int] = [:]
  package var openings = 0
  package var points = 0

  package init() {}

  package mutating func add(_ other: ExplorationCounts) {
    examined.merge(other.examined, uniquingKeysWith: +)
    distinct.merge(other.distinct, uniquingKeysWith: +)
    nested.merge(other.nested, uniquingKeysWith: +)
    kinds.merge(other.kinds, uniquingKeysWith: +)
    outcomes.merge(other.outcomes, uniquingKeysWith: +)
    openings += other.openings
    points += other.points
  }
}

/// Runs a story, and after every file operation of its last steps lets the power fail in all ways, or many, and looks at what
/// reopens.
///
/// Two states of the disk count as one if a hash of their names, links and bytes is the same. Identifiers, nonces and times
/// come from a seed, so that the same steps give the same bytes. States are examined once for each thing that has to hold of
/// them.
///
/// One thread's.
package final class CrashExplorer {
  package struct Settings: Sendable {
    /// How many choices are tried at each file operation, tears apart.
    package var choices = 64
    /// Of so many states one is opened with crashes within the recovery; 0 for none.
    package var nestedEvery = 16
    package var nestedDepth = 3
    package var profile = SimulatedDisk.Profile.strict

    package init() {}
  }

  private let settings: Settings
  private let states: DistinctSet
  private let examined: DistinctSet
  private var numbers: SeededGenerator
  package private(set) var counts = ExplorationCounts()

  /// What the hook has found; it cannot throw through the engine.
  private var failure: (any Error)?
  /// Stale bytes stand where nothing was synced, which FORMAT.md assumes no file system to do. They look like rot, and the log
  /// may refuse to write; what is durable must be readable all the same.
  private var isStale = false

  package init(_ settings: Settings, seed: UInt64, states: DistinctSet, examined: DistinctSet) {
    self.settings = settings
    self.states = states
    self.examined = examined
    numbers = SeededGenerator(seed: seed)
  }

  /// Lives through the steps, with crashes at each operation from step `start` on. The opening is step 0.
  package func explore(_ steps: [LogStep], from start: Int, policy: SyncPolicy) throws {
    let disk = SimulatedDisk(profile: settings.profile)
    let story = LogStory(on: disk, policy: policy, seed: 1)
    let name = steps.isEmpty ? "create" : "\(steps[steps.count - 1])"
    failure = nil
    do {
      for place in 0...steps.count {
        let isWatched = place >= start
        if isWatched { watch(disk, story, name) }
        if place == 0 { try story.open() } else { try story.perform(steps[place - 1]) }
        if isWatched { look(disk, story, name, "at the end") }
        disk.observe(nil)
        if failure != nil { break }
      }
    } catch {
      disk.observe(nil)
      if failure == nil { failure = BrokenPromise(description: "without any fault: \(error)") }
    }
    if let failure {
      throw BrokenPromise(description: "steps \(steps) under \(policy), \(settings.profile): \(failure)")
    }
  }

  /// Lets the power fail now: with everything arrived, with nothing, and in as many random ways.
  func examineNow(_ disk: SimulatedDisk, _ story: LogStory, random: Int) throws {
    let crash = disk.crashStates()
    var choices = [crash.everythingArrived, crash.nothingArrived]
    for _ in 0..<random { choices.append(crash.random(&numbers)) }
    for choice in choices {
      let state = crash.arrived(choice)
      isStale = crash.kinds(choice).contains(.staleTailed)
      do {
        try examine(state, story, state.digest, depth: 0)
      } catch {
        throw BrokenPromise(description: "\(error)\n of what was not synced:\n  \(crash.describe(choice))")
      }
      counts.examined["faults", default: 0] += 1
    }
  }

  private func watch(_ disk: SimulatedDisk, _ story: LogStory, _ name: String) {
    // Both `nonisolated(unsafe)`: the story runs on this thread alone, and with it the observer.
    nonisolated(unsafe) let unsafeSelf = self
    nonisolated(unsafe) let unsafeStory = story
    disk.observe { disk, operation in
      if operation.isMutation { unsafe unsafeSelf.look(disk, unsafeStory, name, "before \(operation)") }
      return nil
    }
  }

  private func look(
    _ disk: SimulatedDisk, _ story: LogStory, _ name: String, _ place: @autoclosure () -> String
  ) {
    guard failure == nil else { return }
    counts.points += 1
    let crash = disk.crashStates()
    let knowledge = story.digest
    var choosing = SeededGenerator(seed: numbers.next())
    do {
      try crash.forEachChoice(limit: settings.choices, &choosing) { choice in
        let state = crash.arrived(choice)
        let digest = state.digest
        guard examined.insert(digest ^ knowledge) else { return }
        let isNew = states.insert(digest)
        let kinds = crash.kinds(choice)
        isStale = kinds.contains(.staleTailed)
        do {
          try examine(state, story, digest, depth: 0)
        } catch {
          let (least, reason) = shrink(crash, choice, story, "\(error)")
          throw BrokenPromise(
            description: "\(reason)\n \(place()), of what was not synced:\n  \(crash.describe(least))")
        }
        counts.examined[name, default: 0] += 1
        if isNew {
          counts.distinct[name, default: 0] += 1
          for kind in kinds { counts.kinds[kind, default: 0] += 1 }
        }
      }
    } catch {
      failure = error
    }
  }

  /// Lets as many atoms as possible arrive, as long as the promise stays broken.
  private func shrink(
    _ crash: CrashStates, _ choice: CrashStates.Choice, _ story: LogStory, _ reason: String
  ) -> (CrashStates.Choice, String) {
    var (least, reason) = (choice, reason)
    let all = crash.everythingArrived
    for place in least.indices where least[place] != all[place] {
      var simpler = least
      simpler[place] = all[place]
      isStale = crash.kinds(simpler).contains(.staleTailed)
      do {
        try examine(crash.arrived(simpler), story, 1, depth: 0)
      } catch {
        (least, reason) = (simpler, "\(error)")
      }
    }
    return (least, reason)
  }

  // MARK: What has to hold

  /// Opens everything that is there after a crash, and checks it; then crashes once more.
  private func examine(_ state: DiskState, _ story: LogStory, _ digest: UInt64, depth: Int) throws {
    if settings.profile == .lyingSync { return try examineLie(state, story) }
    for (path, models) in story.known.sorted(by: { $0.key < $1.key }) {
      let isLog = path == TestLog.path
      // Of a state of the whole disk each directory is a part; those that nothing changes are looked at less often.
      if isLog || digest % (models.count > 1 ? 2 : 12) == 0 {
        try examine(path, models, state, digest, depth)
      }
    }
  }

  private func examine(
    _ path: String, _ models: [LogModel?], _ state: DiskState, _ digest: UInt64, _ depth: Int
  ) throws {
    let disk = SimulatedDisk(state)
    let names = state.directory(path).map { state.directories[$0]?.seen.keys.sorted() ?? [] }
    guard let names, names.contains(where: { $0.hasSuffix(".seg") || $0 == "SNAPSHOT" }) else {
      // Where two names cannot be exchanged, between the two renames the old copy is whole under another. FORMAT.md, "Copies".
      let aside = path + ".replaced"
      if names == nil, state.directory(aside) != nil {
        _ = try read(disk, aside, models.compactMap(\.self))
        return
      }
      try require(models.contains { $0 == nil }, "\(path) is not there, but \(names ?? [])")
      guard path == TestLog.path else { return }
      let log = try open(disk, path).log
      try require(log.latestOffset == 0, "\(path): something in a log that was made anew")
      return
    }
    let models = models.compactMap(\.self)
    var readOnly: FoundLog?
    if digest % 4 == 1 {
      readOnly = try read(disk, path, models)
      try require(disk.digest == state.digest, "\(path): reading changed something")
    }
    let nests =
      settings.nestedEvery > 0 && depth < settings.nestedDepth
      && (depth > 0 || digest % UInt64(settings.nestedEvery) == 0)
    let (log, index): (SegmentedLog, TextIndex)
    do {
      (log, index) = try nests ? openWithCrashes(disk, path, models, depth) : open(disk, path)
    } catch let error as LogError where isStale && error.code == .damaged {
      counts.outcomes["refused for stale bytes", default: 0] += 1
      _ = try read(disk, path, models)
      return
    }
    counts.outcomes["\(log.recovery.outcome)", default: 0] += 1
    let found = try FoundLog(log)
    try agree(found, models, path)
    try require(index.holds(found), "\(path): its index is not what it holds")
    if let readOnly {
      try require(readOnly == found, "\(path): a reader saw \(readOnly.next), a writer \(found.next)")
    }
    guard depth == 0 else { return }
    try crashAgain(disk, path, log, index, found, digest)
  }

  /// After syncs that were lies, anything may be missing. What can be told from what is left must be: nothing wrong is
  /// returned, and a log whose own frames say that more was durable is not written to.
  private func examineLie(_ state: DiskState, _ story: LogStory) throws {
    let disk = SimulatedDisk(state)
    guard let model = story.known[TestLog.path]?.last.flatMap({ $0 }),
      try disk.status(of: TestLog.path) != nil
    else {
      counts.outcomes["nothing left", default: 0] += 1
      return
    }
    let mustRefuse = FormatOracle(try DiskImage(of: disk))?.mustRefuse ?? false
    do {
      let (log, index) = try open(disk, TestLog.path)
      let found = try FoundLog(log)
      if log.recovery.outcome != .created {
        if let reason = model.mismatch(found, onHonestDisk: false) {
          throw BrokenPromise(description: "after a lie: \(reason)")
        }
      }
      try require(index.holds(found), "after a lie its index is not what it holds")
      try require(!mustRefuse, "durable records are missing, a frame says so, and the log was opened")
      counts.outcomes[
        found.next < model.durable ? "shorter, and no word of it left" : "all there", default: 0] += 1
    } catch is LogError {
      counts.outcomes[mustRefuse ? "refused by a frame's word" : "refused", default: 0] += 1
      try UntrustedReading.check(disk, model, "after a lie")
    }
  }

  private static let short = String(repeating: "z", count: 700)
  /// More than fits beside anything else.
  private static let long = String(repeating: "z", count: 3900)

  /// What recovery found, and what is written after it, survives another crash.
  private func crashAgain(
    _ disk: SimulatedDisk, _ path: String, _ log: SegmentedLog, _ index: TextIndex, _ found: FoundLog,
    _ digest: UInt64
  ) throws {
    var expected = found
    switch digest >> 8 % 4 {
    case 0: break
    case 1: try log.close()
    default:
      let records = ["after the crash", digest >> 16 % 2 == 0 ? Self.short : Self.long]
      try TestLog.append(log, index, records, durably: true)
      try require(
        log.durableOffset == found.next.advanced(by: 1), "\(path): a durable append is not said to be")
      expected.records += records
    }
    let after = digest >> 24 % 2 == 0 ? disk.afterWorstPowerCut() : disk.afterPowerCut(&numbers)
    let (again, indexAgain) = try open(after, path)
    let foundAgain = try FoundLog(again)
    try require(
      foundAgain == expected,
      "\(path): after recovery and another crash it holds \(foundAgain.start)–\(foundAgain.next), not \(expected.start)–\(expected.next)"
    )
    try require(indexAgain.holds(foundAgain), "\(path): its index is not what it holds after another crash")
  }

  private func agree(_ found: FoundLog, _ models: [LogModel], _ path: String) throws {
    let reasons = models.map { $0.mismatch(found) }
    try require(reasons.contains { $0 == nil }, "\(path): \(reasons.compactMap(\.self))")
  }

  private func require(_ holds: Bool, _ what: @autoclosure () -> String) throws {
    if !holds { throw BrokenPromise(description: what()) }
  }

  private func read(_ disk: SimulatedDisk, _ path: String, _ models: [LogModel]) throws -> FoundLog {
    counts.openings += 1
    let log = try TestLog.open(disk, at: path) { $0.access = .readOnly }
    try require(
      log.recovery.damage.isEmpty || isStale, "\(path): \(log.recovery.damage)")
    let found = try FoundLog(log)
    try agree(found, models, "\(path), read only")
    return found
  }

  private func open(_ disk: SimulatedDisk, _ path: String) throws -> (log: SegmentedLog, index: TextIndex) {
    counts.openings += 1
    let index = TextIndex()
    let log = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 99), at: path) {
      $0.syncPolicy = .never
      $0.acceptSuspectTail = isStale
    }
    return (log, index)
  }

  /// Opens the log, and lets the power fail at some of the operations of that, and in the openings that follow.
  private func openWithCrashes(
    _ disk: SimulatedDisk, _ path: String, _ models: [LogModel], _ depth: Int
  ) throws -> (log: SegmentedLog, index: TextIndex) {
    // The opening runs on this thread alone, and with it the observer.
    nonisolated(unsafe) let unsafeSelf = self
    let isBusy = Locked(false)
    let mostPerOpening = Locked(depth == 0 ? 4 : 1)
    disk.observe { disk, operation in
      guard operation.isMutation, isBusy.withLock({ !$0 }), mostPerOpening.withLock({ $0 > 0 }) else {
        return nil
      }
      isBusy.withLock { $0 = true }
      defer { isBusy.withLock { $0 = false } }
      unsafe unsafeSelf.nest(disk, path, models, depth) { mostPerOpening.withLock { $0 -= 1 } }
      return nil
    }
    defer { disk.observe(nil) }
    let opened = try open(disk, path)
    if let failure { throw failure }
    return opened
  }

  private func nest(
    _ disk: SimulatedDisk, _ path: String, _ models: [LogModel], _ depth: Int, _ count: () -> Void
  ) {
    // An opening has some ten operations.
    guard failure == nil, UInt64.random(in: 0..<3, using: &numbers) == 0 else { return }
    let crash = disk.crashStates()
    let choice = crash.random(&numbers)
    let state = crash.arrived(choice)
    // What was stale stays so.
    let wasStale = isStale
    defer { isStale = wasStale }
    isStale = isStale || crash.kinds(choice).contains(.staleTailed)
    let digest = state.digest
    let knowledge = models.reduce(UInt64(depth)) { $0 &* 31 &+ $1.digest }
    guard examined.insert(digest &* 31 ^ knowledge) else { return }
    count()
    do {
      try examine(path, models, state, digest, depth + 1)
    } catch {
      failure = BrokenPromise(
        description:
          "\(error)\n within a recovery at depth \(depth + 1), of what was not synced:\n  \(crash.describe(choice))"
      )
      return
    }
    counts.nested[depth + 1, default: 0] += 1
  }
}

extension TextIndex {
  /// Is it exactly what the log holds?
  package func holds(_ found: FoundLog) -> Bool {
    texts.count == found.records.count
      && found.records.enumerated().allSatisfy { place, text in
        texts[found.start.advanced(by: UInt64(place))] == text
      }
  }
}
