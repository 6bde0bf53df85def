internal import Glibc

// `operations fill STORE` makes the ledger that the reading operations read; `operations OPERATION COUNT PATH` does one of
// them so often and prints how often that was. For ../../budgets.py, which counts the instructions of `measured`.

@inline(never)
func measured(_ operation: any Operation) throws -> Int { try operation.run() }

func operation(_ name: String, _ count: Int, _ path: String) throws -> any Operation {
  let store = Store(path: path)
  switch name {
  case "append": return try Append(count, batchCount: 1, creating: path)
  case "append-batched": return try Append(count, batchCount: 1000, creating: path)
  case "get": return try Get(count, areThere: true, store)
  case "miss": return try Get(count, areThere: false, store)
  case "read-run": return try ReadRun(count, store)
  case "scan": return try Scan(count, store)
  case "open": return Open(count, store)
  default: throw Failure("no such operation: \(name)")
  }
}

func run(_ words: [String]) throws {
  if words.count == 2, words[0] == "fill" { return try Store(path: words[1]).fill() }
  guard words.count == 3, let count = Int(words[1]), count > 0 else {
    throw Failure("usage: operations fill STORE, or operations OPERATION COUNT PATH")
  }
  print(try measured(operation(words[0], count, words[2])))
}

do {
  try run(Array(CommandLine.arguments.dropFirst()))
} catch {
  print("operations: \(error)")
  exit(1)
}
