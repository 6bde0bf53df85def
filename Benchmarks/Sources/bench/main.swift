internal import Glibc
internal import Harness

/// `bench`: the ledger beside other engines and the bare disk; Benchmarks/README.md says how to read its tables.
func run() async throws {
  let words = Array(CommandLine.arguments.dropFirst())
  if let (report, words) = Cell.called(words) {
    guard let cell = BenchCell(rawValue: words[0]) else { throw BenchmarkError("no such cell: \(words)") }
    try await cell.run(Settings(words: Array(words.dropFirst())), reportingTo: report)
    return
  }
  let arguments = try Arguments(words)
  var campaign = try Campaign(arguments)
  var machine = Machine(dataDirectory: arguments.directory)
  try campaign.run()
  machine.finish()
  print(TextReport(arguments: arguments, results: campaign.results, machine: machine).text(), terminator: "")
}

do {
  try await run()
} catch {
  SystemCall.report("bench: \(error)")
  exit(1)
}
