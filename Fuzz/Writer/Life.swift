internal import LogEngine
internal import PlatformIO
internal import RunLedger

/// What a life mostly does.
enum Mood: String, CaseIterable {
  case mixed, appending, heavy, copying, dropping, reopening
}

/// One process's life on a ledger: one operation after another, each announced before it begins and acknowledged when it is
/// done, until somebody ends it.
struct Life {
  /// Above this many bytes the ledger is trimmed, so that opening stays quick.
  private static let byteLimit: UInt64 = 600 << 10

  private let program: Program
  private let order: Order
  private let mood: Mood
  private var dice: Dice
  private var counter: UInt64 = 0
  private var ledger: Ledger

  init(_ program: Program) throws(Ending) {
    self.program = program
    order = program.order
    dice = Dice(order.seed, order.life, 0x6C69_6665)
    mood = order.mood ?? Mood.allCases.randomElement(using: &dice) ?? .mixed
    ledger = try program.open(at: order.path, as: ".", Self.options(order, &dice))
  }

  private static func options(_ order: Order, _ dice: inout Dice) -> LedgerOptions {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = dice.chance(60) ? 16 << 10 : 64 << 10
    options.syncPolicy =
      switch Int.random(in: 0..<10, using: &dice) {
      case ..<5: .always
      case ..<8: .never
      default: .interval(.milliseconds(Int64.random(in: 1...50, using: &dice)))
      }
    if let policy = order.syncPolicy { options.syncPolicy = policy }
    return options
  }

  mutating func live() throws(Ending) {
    for _ in 0..<order.operations {
      if ledger.size.bytes > Self.byteLimit { try trim() } else { try operate() }
    }
    try close()
  }

  private mutating func operate() throws(Ending) {
    let weights: [Int] =
      switch mood {
      //            one batch group sync again rest trim reset snap fork restore write reopen
      case .mixed: [30, 20, 10, 10, 5, 2, 4, 1, 4, 4, 2, 2, 4]
      case .appending: [50, 10, 10, 15, 5, 1, 1, 0, 0, 0, 0, 0, 1]
      case .heavy: [10, 60, 20, 5, 2, 0, 2, 0, 1, 0, 0, 0, 1]
      case .copying: [20, 10, 3, 3, 2, 0, 2, 1, 15, 15, 8, 8, 3]
      case .dropping: [30, 20, 5, 3, 2, 0, 20, 6, 2, 2, 0, 0, 2]
      case .reopening: [20, 10, 5, 3, 2, 2, 1, 1, 1, 1, 0, 1, 20]
      }
    var draw = Int.random(in: 0..<weights.reduce(0, +), using: &dice)
    let choice = weights.firstIndex { weight in
      draw -= weight
      return draw < 0
    }
    switch choice {
    case 0: try append(1)
    case 1: try append(batchSize())
    case 2: try appendTogether()
    case 3: try sync()
    case 4: try appendAgain()
    case 5: rest()
    case 6: try trim()
    case 7: try reset()
    case 8: try snapshot()
    case 9: try fork()
    case 10: try restore()
    case 11: try writeToCopy()
    default: try reopen()
    }
  }

  // MARK: Appending

  /// Events that are to be stored together, and by how much.
  private struct Batch: Sendable {
    let first: UInt64
    let events: [Event]
    /// nil: as the policy says.
    let durably: Bool?

    func store(in ledger: Ledger) throws(LedgerError) {
      let receipts =
        events.count == 1
        ? [try ledger.append(events[0], durably: durably)]
        : try ledger.extend(events, durably: durably)
      let durable = ledger.durableOffset
      Report.say("a b \(first) \(receipts[0].offset) \(receipts.count) \(durable)")
      if durably == true, receipts.contains(where: { $0.durability != .durable }) {
        Report.say("x . a receipt of what was asked for durably says it is buffered")
      }
    }
  }

  /// Some take so long to write that a death in the middle is likely.
  private mutating func batchSize() -> Int {
    guard mood == .heavy else { return Int.random(in: 2...12, using: &dice) }
    return Int.random(in: dice.chance(15) ? 150...600 : 2...40, using: &dice)
  }

  private mutating func batch(_ count: Int) -> Batch {
    let first = counter
    counter += UInt64(count)
    let durably: Bool? = dice.chance(20) ? true : dice.chance(10) ? false : nil
    let events = (first..<counter).map { Deed(life: order.life, counter: $0).event(order.seed) }
    Report.say("i b \(first) \(count) \(durably == true ? "d" : "-")")
    return Batch(first: first, events: events, durably: durably)
  }

  private mutating func append(_ count: Int) throws(Ending) {
    let batch = batch(count)
    try program.attempt("append") { [ledger] () throws(LedgerError) in try batch.store(in: ledger) }
  }

  /// Several threads at the same time: their batches share writes and syncs, in whatever order.
  private mutating func appendTogether() throws(Ending) {
    let batches = (0..<Int.random(in: 2...4, using: &dice)).map { _ in
      batch(Int.random(in: 1...5, using: &dice))
    }
    let failures = Monitor((running: batches.count, failures: [LedgerError]()))
    for batch in batches {
      let started = program.environment.startThread { [ledger] in
        do throws(LedgerError) {
          try batch.store(in: ledger)
          failures.update { $0.running -= 1 }
        } catch {
          failures.update {
            $0.running -= 1
            $0.failures.append(error)
          }
        }
      }
      guard started else {
        Report.say("x . no thread")
        throw .broken
      }
    }
    let failure: LedgerError? = failures.wait { $0.running == 0 ? .some($0.failures.first) : nil }
    try program.attempt("append") { () throws(LedgerError) in if let failure { throw failure } }
  }

  /// Storing what is stored stores nothing.
  private mutating func appendAgain() throws(Ending) {
    guard ledger.latestOffset >= ledger.firstOffset else { return }
    let place = Offset(
      UInt64.random(in: ledger.firstOffset.rawValue...ledger.latestOffset.rawValue, using: &dice))
    let receipt = try program.attempt("append again") { [ledger] () throws(LedgerError) in
      try ledger.append(try ledger.event(at: place), durably: true)
    }
    guard receipt.outcome == .duplicate, receipt.offset == place, receipt.durability == .durable else {
      Report.say("x . storing offset \(place) again gave \(receipt)")
      throw .broken
    }
    Report.say("a d \(place) \(ledger.durableOffset)")
  }

  private func sync() throws(Ending) {
    Report.say("i y")
    try program.attempt("sync") { () throws(LedgerError) in try ledger.sync() }
    Report.say("a y \(ledger.durableOffset)")
  }

  /// Long enough for what waits for a quiet moment.
  private mutating func rest() {
    let end =
      SystemEnvironment.monotonicNanoseconds() + UInt64.random(in: 1_000_000...25_000_000, using: &dice)
    let nothing = Monitor(())
    let _: Void? = nothing.wait(until: end) { _ in nil }
  }

  // MARK: Dropping

  private mutating func trim() throws(Ending) {
    let (first, next) = (ledger.firstOffset.rawValue, ledger.latestOffset.rawValue + 1)
    let isTooLarge = ledger.size.bytes > Self.byteLimit
    let low = isTooLarge ? next - (next - first) / 4 : first
    // What is too large may be one segment, the last.
    let all = isTooLarge && dice.chance(50)
    let before = Offset(all ? next : UInt64.random(in: low...next, using: &dice))
    Report.say("i t \(before)")
    try program.attempt("trim") { [ledger] () throws(LedgerError) in _ = try ledger.trim(before: before) }
    Report.say("a t \(ledger.firstOffset) \(ledger.durableOffset)")
  }

  private func reset() throws(Ending) {
    Report.say("i r")
    try program.attempt("reset") { () throws(LedgerError) in try ledger.reset() }
    Report.say("a r \(ledger.firstOffset) \(ledger.epoch.id)")
  }

  // MARK: Copies

  private mutating func destination() throws(Ending) -> (name: String, path: String, isThere: Bool) {
    let name = Copies.names.randomElement(using: &dice) ?? Copies.names[0]
    return (name, Copies.path(of: name, program), try Copies.isThere(name, program))
  }

  private mutating func snapshot() throws(Ending) {
    let (name, path, isThere) = try destination()
    Report.say("i p \(name)")
    let copy = try program.attempt("snapshot") { [ledger] () throws(LedgerError) in
      try ledger.snapshot(to: path, replacing: isThere)
    }
    Report.say("a p \(name) \(copy.firstOffset) \(copy.latestOffset)")
  }

  private mutating func fork() throws(Ending) {
    let (name, path, isThere) = try destination()
    let last = Offset(
      UInt64.random(in: ledger.firstOffset.rawValue - 1...ledger.latestOffset.rawValue, using: &dice))
    do throws(LedgerError) {
      try fork(name, path, through: last, isThere)
    } catch {
      guard let batch = error.log?.offsets, error.log?.code == .notABatchEnd else {
        Report.fail("fork", error)
        throw .failed
      }
      try program.attempt("fork") { () throws(LedgerError) in
        try fork(name, path, through: Offset(batch.lowerBound.rawValue - 1), isThere)
      }
    }
  }

  private func fork(
    _ name: String, _ path: String, through last: Offset, _ isThere: Bool
  ) throws(LedgerError) {
    Report.say("i f \(name) \(last)")
    let copy = try ledger.fork(to: path, through: last, replacing: isThere)
    Report.say("a f \(name) \(copy.firstOffset) \(copy.latestOffset)")
  }

  private mutating func restore() throws(Ending) {
    let (name, path, isThere) = try destination()
    for source in Copies.names where source != name {
      guard try Copies.isSnapshot(source, program) else { continue }
      Report.say("i q \(name) \(source)")
      let copy = try program.attempt("restore") { () throws(LedgerError) in
        try Ledger.restore(
          from: Copies.path(of: source, program), to: path, replacing: isThere,
          fileSystem: program.fileSystem, environment: program.environment)
      }
      return Report.say("a q \(name) \(copy.firstOffset) \(copy.latestOffset)")
    }
  }

  /// A copy is a ledger of its own.
  private mutating func writeToCopy() throws(Ending) {
    let (name, path, isThere) = try destination()
    guard isThere else { return }
    Report.say("i w \(name) \(counter)")
    let event = Deed(life: order.life, counter: counter).event(order.seed)
    counter += 1
    let copy = try program.open(at: path, as: name, LedgerOptions())
    try program.attempt("write to copy") { () throws(LedgerError) in
      let receipt = try copy.append(event)
      Report.say("a w \(name) \(receipt.offset)")
      try copy.close()
    }
  }

  // MARK: Ending

  private func close() throws(Ending) {
    Report.say("i c")
    try program.attempt("close") { () throws(LedgerError) in try ledger.close() }
    Report.say("a c")
  }

  private mutating func reopen() throws(Ending) {
    try close()
    ledger = try program.open(at: order.path, as: ".", Self.options(order, &dice))
  }
}

/// The directories beside the ledger that copies go to.
enum Copies {
  static let names = ["copy0", "copy1", "copy2"]

  static func path(of name: String, _ program: Program) -> String { program.order.path + "." + name }

  static func isThere(_ name: String, _ program: Program) throws(Ending) -> Bool {
    try isThere(path: path(of: name, program), program)
  }

  static func isSnapshot(_ name: String, _ program: Program) throws(Ending) -> Bool {
    try isThere(path: path(of: name, program) + "/SNAPSHOT", program)
  }

  private static func isThere(path: String, _ program: Program) throws(Ending) -> Bool {
    do throws(FileSystemError) {
      return try program.fileSystem.status(of: path) != nil
    } catch {
      Report.say("e fileSystem \(error.code) look: \(error)")
      throw .failed
    }
  }
}
