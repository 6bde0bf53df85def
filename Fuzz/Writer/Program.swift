internal import LogEngine
internal import PlatformIO
internal import RunLedger

/// What the child is to do, from its arguments.
struct Order {
  enum Mode: String { case live, look, check, scribble }

  var mode: Mode
  var path: String
  /// Gives every event's content.
  var seed: UInt64
  /// Which of the processes that ever wrote here this is: part of every event's id, and of the choices.
  var life: UInt64
  var operations = Int.max
  var mood: Mood?
  /// One of the three for the whole life, instead of another with each opening.
  var syncPolicy: SyncPolicy?
  var looksFirst = false
  var trace: String?

  init?(_ words: [String]) {
    guard words.count >= 4, let mode = Mode(rawValue: words[0]), let seed = UInt64(words[2]),
      let life = UInt64(words[3])
    else { return nil }
    self.mode = mode
    path = words[1]
    self.seed = seed
    self.life = life
    var rest = words.dropFirst(4)
    while let word = rest.popFirst() {
      switch word {
      case "--look": looksFirst = true
      case "--operations":
        guard let count = rest.popFirst().flatMap(Int.init) else { return nil }
        operations = count
      case "--mood":
        guard let mood = rest.popFirst().flatMap(Mood.init) else { return nil }
        self.mood = mood
      case "--sync":
        switch rest.popFirst() {
        case "always": syncPolicy = .always
        case "interval": syncPolicy = .interval(.milliseconds(5))
        case "never": syncPolicy = .never
        default: return nil
        }
      case "--trace":
        guard let path = rest.popFirst() else { return nil }
        trace = path
      default: return nil
      }
    }
  }
}

/// How the child ends, its exit status.
enum Ending: Int32, Error {
  case done = 0
  /// A promise is broken, as the child itself can see.
  case broken = 1
  case cannotRead = 2
  case cannotOpen = 3
  /// An operation failed. It is said which, and how; on a disk that has gone that is as it should be.
  case failed = 4
}

/// One process: opens, lives, and says everything it learns.
struct Program {
  let order: Order
  let fileSystem: any FileSystem
  let environment = HastyEnvironment()

  init(_ order: Order) {
    self.order = order
    fileSystem = order.trace.map { TracedFileSystem(DiskFileSystem.shared, to: $0) } ?? DiskFileSystem.shared
  }

  func run() -> Ending {
    Report.say("s")
    do throws(Ending) {
      switch order.mode {
      case .live:
        if order.looksFirst { try look() }
        var life = try Life(self)
        try life.live()
      case .look: try look()
      case .check: try check()
      case .scribble: try scribble()
      }
      return .done
    } catch {
      return error
    }
  }

  /// Says what is there, read-only, of the ledger and of every copy.
  func look() throws(Ending) {
    try look(at: order.path, as: ".")
    for name in Copies.names {
      guard try Copies.isThere(name, self) else { continue }
      try look(at: Copies.path(of: name, self), as: name)
    }
    Report.say("z")
  }

  private func look(at path: String, as name: String) throws(Ending) {
    var options = LedgerOptions()
    options.access = .readOnly
    let ledger: Ledger
    do throws(LedgerError) {
      ledger = try Ledger.open(at: path, options: options, fileSystem: fileSystem, environment: environment)
    } catch {
      guard error.log?.code != .noSuchLog else { return Report.say("l \(name) absent") }
      Report.fail("look \(name)", error)
      throw .cannotRead
    }
    try Inventory(ledger, name, order.seed).report("l")
  }

  /// Opens a ledger for writing and says what it holds.
  func open(
    at path: String, as name: String, _ options: LedgerOptions
  ) throws(Ending) -> Ledger {
    let ledger: Ledger
    do throws(LedgerError) {
      ledger = try Ledger.open(at: path, options: options, fileSystem: fileSystem, environment: environment)
    } catch {
      Report.fail("open \(name)", error)
      throw .cannotOpen
    }
    try Inventory(ledger, name, order.seed).report("o")
    return ledger
  }

  private func check() throws(Ending) {
    try look()
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = 16 << 10
    let ledger = try open(at: order.path, as: ".", options)
    let event = Deed(life: order.life, counter: 0).event(order.seed)
    Report.say("i b 0 1 d")
    try attempt("append") { () throws(LedgerError) in
      let receipt = try ledger.append(event, durably: true)
      Report.say("a b 0 \(receipt.offset) 1 \(ledger.durableOffset)")
      Report.say("i c")
      try ledger.close()
      Report.say("a c")
    }
    // Whoever opens what was recovered finds the same.
    try look()
    try verify()
  }

  private func scribble() throws(Ending) {
    var scribbler = Scribbler(self)
    do throws(FileSystemError) {
      try scribbler.scribble()
    } catch {
      Report.say("e fileSystem \(error.code) scribble: \(error)")
      throw .failed
    }
  }

  /// After a recovery everything is sound.
  private func verify() throws(Ending) {
    let result = try attempt("verify") { () throws(LedgerError) in try Ledger.verify(at: order.path) }
    guard result.isSound, result.torn == nil else {
      Report.say("x . verify finds \(result.damage) \(String(describing: result.torn)) after a recovery")
      throw .broken
    }
    Report.say("v \(result.records)")
  }

  func attempt<R: ~Copyable>(
    _ what: String, _ body: () throws(LedgerError) -> R
  ) throws(Ending) -> R {
    do throws(LedgerError) {
      return try body()
    } catch {
      Report.fail(what, error)
      throw .failed
    }
  }
}

/// Lines on standard output, each by one write: what is in the pipe was said before the child was killed. Each ends with
/// the time on the monotonic clock, in nanoseconds.
enum Report {
  static func say(_ text: String) {
    let line = "\(text) \(SystemEnvironment.monotonicNanoseconds())\n"
    do throws(FileSystemError) {
      try OutputStream.standardOutput.write(Array(line.utf8).span.rawBytes)
    } catch {
      // Whoever listened is gone.
      Platform.exitProcess(Ending.failed.rawValue)
    }
  }

  static func fail(_ what: String, _ error: LedgerError) {
    let code = error.log?.code.description ?? error.code.description
    let cause = error.log?.cause?.code.description ?? "-"
    say("e \(code) \(cause) \(what): \(String("\(error)".map { $0 == "\n" ? " " : $0 }))")
  }
}

/// The system's, but what waits for a quiet second comes a hundred times sooner: lives are short.
struct HastyEnvironment: Environment {
  private let system = SystemEnvironment()

  func wallTime() -> WallTime { system.wallTime() }

  func randomUInt64() -> UInt64 { system.randomUInt64() }

  func perform(
    after nanoseconds: UInt64, on worker: Worker, _ job: @escaping @Sendable () -> Void
  ) -> Bool {
    system.perform(after: nanoseconds / 100, on: worker, job)
  }
}
