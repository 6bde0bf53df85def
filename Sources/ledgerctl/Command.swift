/// A command as a row of a table: how it is called, what it takes, and what it runs.
struct Command: Sendable {
  let name: String
  /// As shown behind the name, such as `LEDGER ID…`.
  let operands: String
  let operandCount: ClosedRange<Int>
  let summary: String
  var options: [Option] = []
  /// What else its help says.
  var notes = ""
  let run: @Sendable (Invocation, Console) throws(Failure) -> ExitCode
}

/// An option as a row of a command's table.
struct Option: Sendable {
  let name: String
  /// What its value is called; nil for a switch.
  let value: String?
  let summary: String
  /// Known, but not there yet: refused by its own message.
  var comesLater = false

  static func flag(_ name: String, _ summary: String) -> Option {
    Option(name: name, value: nil, summary: summary)
  }

  static func value(_ name: String, _ value: String, _ summary: String) -> Option {
    Option(name: name, value: value, summary: summary)
  }

  static func later(_ name: String, _ value: String? = nil) -> Option {
    Option(name: name, value: value, summary: "", comesLater: true)
  }

  static let json = flag("--json", "report as one JSON object")
  static let sync = value(
    "--sync",
    "always|interval=D|never",
    "when an append is on the disk: before it counts (always), D later such as 100ms (interval), at the end (never)"
  )
}
