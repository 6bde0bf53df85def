internal import Glibc

/// `million`: the ledger beside SQLite and the bare disk; Benchmarks/README.md says how to read its table.
func run() throws {
  let words = Array(CommandLine.arguments.dropFirst())
  if words.first == "cell", words.count > 2 {
    guard let cell = Cell(words: Array(words[2...])) else { throw BenchmarkError("no such cell: \(words)") }
    return try cell.run(reportingTo: words[1])
  }
  let arguments = try Arguments(words)
  var machine = Machine(dataDirectory: ".")
  var campaign = Campaign(arguments)
  try campaign.run()
  machine.facts.append(("load after", Machine.load()))
  let report = Report(campaign: campaign, machine: machine)
  print(report.text(), terminator: "")
  if let json = arguments.json { try SystemCall.write(report.json(), to: json) }
}

do {
  try run()
} catch {
  SystemCall.report("million: \(error)")
  exit(1)
}
