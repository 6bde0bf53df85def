internal import Glibc
internal import Harness

/// `million`: the ledger beside SQLite and the bare disk; Benchmarks/README.md says how to read its table.
func run() throws {
  let words = Array(CommandLine.arguments.dropFirst())
  if let (report, words) = Cell.called(words) {
    guard let cell = StoreCell(words: words) else { throw BenchmarkError("no such cell: \(words)") }
    return try cell.run(reportingTo: report)
  }
  let arguments = try Arguments(words)
  var machine = Machine(dataDirectory: ".")
  var campaign = Campaign(arguments)
  try campaign.run()
  machine.finish()
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
