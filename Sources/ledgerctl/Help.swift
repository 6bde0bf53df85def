/// The help texts, made from the tables, so that they cannot lag behind.
enum Help {
  static var overview: String {
    var text = """
      \(Program.version): event ledgers of agent runs on the command line

      usage: ledgerctl COMMAND LEDGER [ARGUMENTS] [OPTIONS]

      LEDGER is a directory. Data goes to stdout, one JSON object a line; messages and errors go to stderr.
      `-` is standard input, `--` ends the options.

      commands:

      """
    text += table(Program.commands.map { ($0.name, $0.summary) })
    text += """

      `ledgerctl COMMAND --help` says more about one. `ledgerctl --version` names this version.

      exit codes:

      """
    text += table([
      ("0", "done"), ("64", "wrong usage"), ("65", "bad data, a conflict, or damage found"),
      ("66", "no such ledger, file, id or run"), ("70", "a bug"),
      ("73", "the destination exists or cannot be created"), ("74", "an I/O error, a full disk included"),
      ("75", "locked by another writer"), ("77", "no permission"),
      ("130, 143", "stopped by Ctrl-C, by SIGTERM"),
    ])
    return text
  }

  static func text(of command: Command) -> String {
    var text = "ledgerctl \(command.name): \(command.summary)\n\n"
    text += "usage: ledgerctl \(command.name) \(command.operands)"
    let options = command.options.filter { !$0.comesLater }
    text += options.isEmpty ? "\n" : " [OPTIONS]\n\noptions:\n"
    text += table(options.map { ("\($0.name)\($0.value.map { " \($0)" } ?? "")", $0.summary) })
    if !command.notes.isEmpty { text += "\n\(command.notes)\n" }
    return text
  }

  private static func table(_ rows: [(String, String)]) -> String {
    let width = rows.map(\.0.count).max() ?? 0
    return rows.map { "  \($0.0)\(String(repeating: " ", count: width - $0.0.count))  \($0.1)\n" }.joined()
  }
}

extension Command {
  static let help = Command(
    name: "help",
    operands: "[COMMAND]",
    operandCount: 0...1,
    summary: "says what there is, or how a command is used"
  ) { (invocation, console) throws(Failure) in
    if let name = invocation.operands.first {
      console.output.add(Help.text(of: try Program.command(named: name)))
    } else {
      console.output.add(Help.overview)
    }
    return .done
  }
}
