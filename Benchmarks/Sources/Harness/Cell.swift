/// A measurement in a process of its own: none inherits another's heap, and a store can be killed.
///
/// The parent starts its own program again with the words `cell REPORT` before the cell's own; findings come back in the
/// file REPORT, so that they survive a kill.
package enum Cell {
  /// In the child: where to report, and the cell's own words. nil in a parent.
  package static func called(_ words: [String]) -> (report: String, words: [String])? {
    words.first == "cell" && words.count > 2 ? (words[1], Array(words[2...])) : nil
  }

  /// In the parent: what the cell of these words found. `tracer` is a command to run it under.
  package static func findings(
    _ words: [String], in directory: String, isKilled: Bool = false, tracer: [String] = []
  ) throws -> Findings {
    let report = "\(directory)/findings"
    let result = try SystemCall.run(tracer + [try SystemCall.ownPath(), "cell", report] + words)
    guard isKilled ? result.signal == 9 : result.signal == 0 && result.status == 0 else {
      throw BenchmarkError(
        "the cell \(words.joined(separator: " ")) ended with status \(result.status), signal \(result.signal)"
      )
    }
    return try Findings(text: try SystemCall.read(report))
  }
}
