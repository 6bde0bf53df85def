internal import Glibc
internal import Harness

/// `durability`: what the ledger's promises cost; Benchmarks/README.md says how to read its table.
func run() async throws {
  let words = Array(CommandLine.arguments.dropFirst())
  if let (report, words) = Cell.called(words) {
    guard let cell = DurabilityCell(rawValue: words[0]) else {
      throw BenchmarkError("no such cell: \(words)")
    }
    var findings = Findings()
    try await cell.run(Settings(words: Array(words.dropFirst())), &findings)
    try SystemCall.write(findings.text, to: report)
    if cell == .more { SystemCall.killSelf() }
    return
  }
  let arguments = try Arguments(words)
  let bench = try Bench(arguments)
  defer { SystemCall.removeTree(arguments.directory) }
  var machine = Machine(dataDirectory: arguments.directory)
  for round in 1...arguments.rounds {
    if arguments.parts.contains(.concurrent) { try ConcurrentPart(bench: bench).run(round: round) }
    if arguments.parts.contains(.latency) { try LatencyPart(bench: bench).run(round: round) }
    if arguments.parts.contains(.snapshot) { try SnapshotPart(bench: bench).run(round: round) }
  }
  machine.finish()
  let report = Report(arguments: arguments, results: bench.results, machine: machine)
  print(report.text(), terminator: "")
  if let json = arguments.json { try SystemCall.write(report.json(), to: json) }
}

do {
  try await run()
} catch {
  SystemCall.report("durability: \(error)")
  exit(1)
}
