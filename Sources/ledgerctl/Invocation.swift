internal import LogEngine
internal import RunLedger

/// A command line that has been read by its command's table.
struct Invocation: Sendable {
  let command: Command
  private(set) var operands: [String] = []
  private var values: [String: String] = [:]
  private(set) var wantsHelp = false

  /// Reads what follows the command's name. `--` ends the options; `--name=value` and `--name value` are one.
  init(_ command: Command, _ arguments: [String]) throws(Failure) {
    self.command = command
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      if argument == "--" {
        operands += rest
        break
      }
      if argument == "--help" || argument == "-h" {
        wantsHelp = true
        return
      }
      guard argument.hasPrefix("-"), argument != "-" else {
        operands.append(argument)
        continue
      }
      try readOption(argument, &rest)
    }
    guard command.operandCount.contains(operands.count) else {
      let fault =
        operands.count < command.operandCount.lowerBound
        ? "an argument is missing" : "there is an argument too many"
      throw .usage("\(fault); write `ledgerctl \(command.name) \(command.operands)`")
    }
  }

  private mutating func readOption(_ argument: String, _ rest: inout ArraySlice<String>) throws(Failure) {
    let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts[0])
    guard let option = command.options.first(where: { $0.name == name }) else { throw unknown(name) }
    guard !option.comesLater else { throw .usage("\(name) is not supported yet; leave it out") }
    guard values[name] == nil else { throw .usage("\(name) is given twice; keep one of the two") }
    if let placeholder = option.value {
      guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
        throw .usage("\(name) needs a value; write `\(name) \(placeholder)`")
      }
      values[name] = value
    } else {
      guard parts.count == 1 else { throw .usage("\(name) takes no value; write it alone") }
      values[name] = ""
    }
  }

  private func unknown(_ name: String) -> Failure {
    let names = command.options.filter { !$0.comesLater }.map(\.name)
    guard let nearest = Spelling.nearest(to: name, among: names) else {
      return .usage(
        "unknown option \(name); `\(command.name)` takes none, and an argument that starts with a dash goes behind `--`"
      )
    }
    return .usage("unknown option \(name) for `\(command.name)`; did you mean \(nearest)?")
  }

  // MARK: Values

  func has(_ name: String) -> Bool { text(name) != nil }

  func text(_ name: String) -> String? {
    precondition(command.options.contains { $0.name == name }, "an option that is asked for is in the table")
    return values[name]
  }

  func requiredText(_ name: String) throws(Failure) -> String {
    guard let text = text(name) else { throw .usage("\(name) is missing; `\(command.name)` needs it") }
    return text
  }

  func integer(_ name: String) throws(Failure) -> Int64? {
    guard let text = text(name) else { return nil }
    guard let value = Int64(text), !text.hasPrefix("+") else {
      throw .usage("\(name) \(text) is not an integer of 64 bits; write it in plain digits")
    }
    return value
  }

  /// An offset; whatever lies before the first one is 0.
  func offset(_ name: String) throws(Failure) -> Offset? {
    try integer(name).map { Offset(UInt64(max($0, 0))) }
  }

  /// An offset that is to be met, and not only a bound: a negative one is a mistake.
  func exactOffset(_ name: String) throws(Failure) -> Offset? {
    guard let value = try integer(name) else { return nil }
    guard value >= 0 else {
      throw .usage("\(name) \(value) is below zero; the first offset is 1, and 0 is the place before it")
    }
    return Offset(UInt64(value))
  }

  func size(_ name: String) throws(Failure) -> UInt64? {
    guard let text = text(name) else { return nil }
    guard let size = ByteSize.parse(text) else {
      throw .usage("\(name) \(text) is not a size; write it as 512, 64KiB or 2GiB")
    }
    return size
  }

  func duration(_ name: String) throws(Failure) -> Duration? {
    guard let text = text(name) else { return nil }
    guard let span = TimeSpan.parse(text) else {
      throw .usage("\(name) \(text) is not a time span; write it as 10ms, 5s, 2h or 14d")
    }
    return span
  }

  /// One of a few words; the first of them if the option is not given.
  func choice<T>(_ name: String, _ choices: KeyValuePairs<String, T>) throws(Failure) -> T {
    guard let text = text(name) else { return choices[0].value }
    guard let choice = choices.first(where: { $0.key == text }) else {
      throw .usage("\(name) \(text) is not known; write \(choices.map(\.key).joined(separator: " or "))")
    }
    return choice.value
  }

  func syncPolicy() throws(Failure) -> SyncPolicy {
    let prefix = "interval="
    guard let text = text("--sync") else { return .always }
    guard text.hasPrefix(prefix) else {
      switch text {
      case "always": return .always
      case "never": return .never
      default: throw .usage("--sync \(text) is not known; write always, never or interval=100ms")
      }
    }
    guard let interval = TimeSpan.parse(text.dropFirst(prefix.count)), interval >= .milliseconds(1) else {
      throw .usage(
        "--sync \(text) has no time span of a millisecond or more; write it as 10ms, 5s, 2h or 14d")
    }
    return .interval(interval)
  }

  // MARK: The ledger

  /// The directory that the first operand names.
  func ledgerPath() throws(Failure) -> String { try path(operands.first ?? "", of: "the ledger") }

  /// The directory that a text names.
  func path(_ operand: String, of what: String) throws(Failure) -> String {
    guard !operand.isEmpty else { throw .usage("\(what)'s name is empty; give its directory") }
    let location: LedgerLocation
    do throws(LocationError) {
      location = try LedgerLocation.resolve(operand) { _ in nil }
    } catch {
      throw .usage("\(error)")
    }
    switch location {
    case .directory(let path): return path
    case .memory:
      throw .usage("a ledger in memory would be gone when the command ends; give a directory")
    }
  }

  /// Opens the ledger beside any writer, without a lock and changing nothing.
  func openForReading(_ console: Console) throws(Failure) -> Ledger {
    var options = LedgerOptions()
    options.access = .readOnly
    let path = try ledgerPath()
    let ledger = try onLedger { () throws(LedgerError) in try Ledger.open(at: path, options: options) }
    if let first = ledger.recovery.damage.first {
      console.messages.say(
        "\(path)/\(first.file): the ledger is damaged, and what can be read is read; run `ledgerctl verify` for all of it"
      )
    }
    return ledger
  }

  /// How reading a ledger ended: well, unless damage may have hidden something.
  func outcome(_ ledger: Ledger) -> ExitCode { ledger.recovery.damage.isEmpty ? .done : .badData }

  /// Opens the ledger for writing, runs `body`, and closes it whatever happens.
  func withWriter<R>(
    _ options: LedgerOptions,
    _ body: (Ledger) throws(Failure) -> R
  ) throws(Failure) -> R {
    let path = try ledgerPath()
    let purpose: Purpose = options.creation == .mustExist ? .existing : .creating
    let ledger = try onLedger(purpose) { () throws(LedgerError) in try Ledger.open(at: path, options: options)
    }
    let result: Result<R, Failure>
    do throws(Failure) {
      result = .success(try body(ledger))
    } catch {
      result = .failure(error)
    }
    do throws(LedgerError) {
      try ledger.close()
    } catch {
      // The first failure is the cause.
      if case .success = result { throw Failure(error) }
    }
    return try result.get()
  }
}
