/// What a process found: numbers by name (without a space), a digest of the rows, and what is to be said in words.
package struct Findings: Sendable {
  package private(set) var values: [String: Double] = [:]
  package var digest: UInt64 = 0
  /// One line each.
  package var notes: [String] = []

  package init() {}

  package subscript(name: String) -> Double? {
    get { values[name] }
    set { values[name] = newValue }
  }

  /// A value that this process must have found.
  package func value(_ name: String) throws -> Double {
    guard let value = values[name] else { throw BenchmarkError("a process did not report '\(name)'") }
    return value
  }

  package func count(_ name: String) throws -> Int { Int(try value(name)) }

  package var text: String {
    values.map { "\($0.key) \($0.value)\n" }.joined() + notes.map { "note \($0)\n" }.joined()
      + "digest \(digest)\n"
  }

  package init(text: String) throws {
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 1)
      guard words.count == 2 else { throw BenchmarkError("a process reported '\(line)'") }
      switch words[0] {
      case "digest": digest = UInt64(words[1]) ?? 0
      case "note": notes.append(String(words[1]))
      default:
        guard let value = Double(words[1]) else { throw BenchmarkError("a process reported '\(line)'") }
        values[String(words[0])] = value
      }
    }
  }
}
