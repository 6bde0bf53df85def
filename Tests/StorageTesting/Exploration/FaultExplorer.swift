package import LogEngine
internal import PlatformIO

/// Lets each file operation of a step fail in each way that the system has for it: once, for good, or twice. Whatever happens,
/// the step succeeds or says by a typed error that it did not; what is open shows what was acknowledged; a power cut leaves what it
/// may; and the log goes on, at once or once it is opened again.
///
/// One thread's.
package final class FaultExplorer {
  package struct Plan: Sendable, CustomStringConvertible {
    package enum Repetition: Sendable { case once, forGood, twice(Int) }
    var place: Int
    var operation: FileSystemError.Operation
    var fault: SimulatedDisk.Fault
    var repetition: Repetition

    package var description: String {
      "\(operation.rawValue), the operation \(place) of it, fails with \(fault.code), \(repetition), \(fault.effect) of it done"
    }
  }

  private let policy: SyncPolicy
  private let explorer: CrashExplorer
  private var numbers: SeededGenerator
  /// Runs with a fault, by operation.
  package private(set) var runs: [String: Int] = [:]
  /// How the steps ended.
  package private(set) var endings: [String: Int] = [:]
  package var counts: ExplorationCounts { explorer.counts }

  package init(policy: SyncPolicy, seed: UInt64) {
    self.policy = policy
    numbers = SeededGenerator(seed: seed)
    var settings = CrashExplorer.Settings()
    settings.nestedEvery = 0
    explorer = CrashExplorer(settings, seed: seed, states: DistinctSet(), examined: DistinctSet())
  }

  /// Each operation of the last step, which comes after the others; nil for the opening.
  package func explore(_ before: [LogStep], _ step: LogStep?) throws {
    let disk = SimulatedDisk()
    let story = LogStory(on: disk, policy: policy, seed: 1)
    try prepare(story, before, step)
    let calls = Locked<[FileSystemError.Operation]>([])
    disk.observe { _, call in
      calls.withLock { $0.append(call.operation) }
      return nil
    }
    try perform(story, step)
    disk.observe(nil)
    for (place, operation) in calls.withLock({ $0 }).enumerated() {
      for fault in Self.faults(of: operation) {
        for repetition in [.once, .forGood, .twice(Int.random(in: 1...8, using: &numbers))]
          as [Plan.Repetition]
        {
          let plan = Plan(place: place, operation: operation, fault: fault, repetition: repetition)
          runs[operation.rawValue, default: 0] += 1
          do {
            try run(before, step, plan)
          } catch {
            throw BrokenPromise(
              description:
                "\(before), then \(step.map(String.init(describing:)) ?? "open") under \(policy): \(plan): \(error)"
            )
          }
        }
      }
    }
  }

  private func prepare(_ story: LogStory, _ before: [LogStep], _ step: LogStep?) throws {
    guard step != nil || !before.isEmpty else { return }
    try story.open()
    for step in before { try story.perform(step) }
    // What is to be opened is left by a process that died.
    if step == nil { story.die() }
  }

  private func perform(_ story: LogStory, _ step: LogStep?) throws {
    if let step { try story.perform(step) } else { try story.open() }
  }

  private func run(_ before: [LogStep], _ step: LogStep?, _ plan: Plan) throws {
    let disk = SimulatedDisk()
    let story = LogStory(on: disk, policy: policy, seed: 1)
    try prepare(story, before, step)
    let count = Locked(-1)
    disk.observe { _, call in
      let place = count.withLock { count in
        count += 1
        return count
      }
      switch plan.repetition {
      case .once: return place == plan.place ? plan.fault : nil
      case .twice(let distance):
        // The second time whatever comes.
        if place == plan.place + distance { return SimulatedDisk.Fault(.io) }
        return place == plan.place ? plan.fault : nil
      case .forGood: return place >= plan.place && call.operation == plan.operation ? plan.fault : nil
      }
    }
    do {
      try perform(story, step)
      endings["done all the same", default: 0] += 1
    } catch let error as LogError {
      guard Self.allowed.contains(error.code) else { throw error }
      endings["\(error.code)", default: 0] += 1
    }
    disk.observe(nil)
    try story.checkLive()
    try explorer.examineNow(disk, story, random: 1)
    try goOn(story)
    try explorer.examineNow(disk, story, random: 1)
  }

  private static let allowed: [LogError.Code] = [.fileSystem, .outcomeUnknown]

  /// Nothing fails any more.
  private func goOn(_ story: LogStory) throws {
    let wasOpen = story.isOpen
    do {
      for step in [.append, .batch] as [LogStep] { try story.perform(step) }
      try story.checkLive()
    } catch let error as LogError {
      // One that does not know what the disk holds has to be opened again.
      guard wasOpen, error.code == .outcomeUnknown else { throw error }
      endings["to be opened again", default: 0] += 1
      try story.checkLive()
      story.die()
      for step in [.append, .batch, .append] as [LogStep] { try story.perform(step) }
    }
  }

  /// What the system may say to each call.
  private static func faults(of operation: FileSystemError.Operation) -> [SimulatedDisk.Fault] {
    typealias Fault = SimulatedDisk.Fault
    let codes: [FileSystemError.Code] =
      switch operation {
      case .open: [.io, .tooManyOpenFiles, .noSpace, .permissionDenied]
      case .read, .status, .list: [.io, .outOfMemory]
      case .write: [.io, .noSpace, .quotaExceeded, .fileTooLarge]
      case .preallocate: [.noSpace, .io, .notSupported]
      case .truncate: [.io]
      case .sync: [.io, .noSpace, .quotaExceeded]
      case .syncDirectory: [.io]
      case .link: [.io, .noSpace, .tooManyLinks, .permissionDenied]
      case .rename, .exchange: [.io, .noSpace, .notSupported]
      case .unlink: [.io, .permissionDenied]
      case .createDirectory: [.io, .noSpace, .permissionDenied]
      case .removeDirectory: [.io, .notEmpty]
      case .lock: [.io, .noLocks]
      case .map: [.outOfMemory]
      case .close: []
      }
    var faults = codes.map { Fault($0) }
    switch operation {
    case .write, .preallocate: faults += [Fault(.noSpace, effect: .half), Fault(.io, effect: .whole)]
    case .link, .rename, .exchange, .unlink, .truncate, .createDirectory, .removeDirectory:
      faults.append(Fault(.io, effect: .whole))
    default: break
    }
    return faults
  }
}
