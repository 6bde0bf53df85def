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
  let facts = machine.facts + arguments.facts + [("agreements", "\(campaign.agreements), none failed")]
  let results = campaign.results
  print(TextReport(results: results, facts: facts).text(), terminator: "")
  if let file = arguments.json { try SystemCall.write(JSONReport(results: results).text(), to: file) }
  if let file = arguments.html {
    try SystemCall.write(HTMLReport(results: results, facts: facts).text(), to: file)
  }
}

do {
  try await run()
} catch {
  SystemCall.report("bench: \(error)")
  exit(1)
}
