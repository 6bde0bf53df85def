/// The whole command line: finds the command, runs it, and says how it went.
enum Program {
  static let version = "ledgerctl 0.1.0"

  static let commands: [Command] = [
    .create, .append, .import, .export, .get, .run, .runs, .tail, .query, .stat, .verify, .dump, .snapshot,
    .restore,
    .fork, .trim, .reset, .salvage, .help,
  ]

  static func run(_ arguments: [String], _ console: Console) -> ExitCode {
    do throws(Failure) {
      let code = try dispatch(arguments, console)
      try console.output.flush()
      return code
    } catch {
      // What was found before the failure belongs to whoever asked for it.
      var failure = error
      do throws(Failure) {
        try console.output.flush()
      } catch let unwritten {
        if failure.message == nil || unwritten.message == nil { failure = unwritten }
      }
      if let message = failure.message { console.messages.say(message) }
      return failure.code
    }
  }

  private static func dispatch(_ arguments: [String], _ console: Console) throws(Failure) -> ExitCode {
    guard let name = arguments.first else {
      throw .usage("no command is given; `ledgerctl help` lists them")
    }
    switch name {
    case "--version":
      console.output.add(version + "\n")
      return .done
    case "--help", "-h":
      console.output.add(Help.overview)
      return .done
    default: break
    }
    let command = try command(named: name)
    let rest = arguments.dropFirst()
    if rest.first == "--version" {
      console.output.add(version + "\n")
      return .done
    }
    let invocation = try Invocation(command, Array(rest))
    if invocation.wantsHelp {
      console.output.add(Help.text(of: command))
      return .done
    }
    return try command.run(invocation, console)
  }

  static func command(named name: String) throws(Failure) -> Command {
    if let command = commands.first(where: { $0.name == name }) { return command }
    let kind = name.hasPrefix("-") ? "option" : "command"
    let nearest = Spelling.nearest(to: name, among: commands.map(\.name))
    // A word that shares little with the nearest command was meant to be something else.
    let hint = nearest.flatMap {
      Spelling.distance($0, name) <= max(1, name.count / 3) ? "did you mean `\($0)`? " : nil
    }
    throw .usage("unknown \(kind) \(name); \(hint ?? "")`ledgerctl help` lists the commands")
  }
}
