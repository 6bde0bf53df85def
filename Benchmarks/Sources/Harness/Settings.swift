/// What a cell is asked for: words of the form `name=value`, so that they can stand on a command line.
package struct Settings {
  private var values: [(name: String, value: String)]

  package init(_ values: KeyValuePairs<String, any CustomStringConvertible>) {
    self.values = values.map { ($0.key, "\($0.value)") }
  }

  package init(words: [String]) {
    values = words.map { word in
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
    }
  }

  package var words: [String] { values.map { "\($0.name)=\($0.value)" } }

  package func text(_ name: String) throws -> String {
    guard let value = values.last(where: { $0.name == name })?.value else {
      throw BenchmarkError("the cell was not told '\(name)'")
    }
    return value
  }

  package func number(_ name: String) throws -> Int {
    guard let number = Int(try text(name)) else { throw BenchmarkError("'\(name)' is no number") }
    return number
  }

  package func seed() throws -> UInt64 { UInt64(try number("seed")) }
}
