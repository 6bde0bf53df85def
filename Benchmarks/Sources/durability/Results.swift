internal import Harness

/// Everything that was found, row by row in the order of first appearance.
struct Results {
  struct Row {
    let part: Arguments.Part
    let title: String
    var samples: [String: Sample] = [:]
    var notes: [String] = []

    /// Empty if nothing of the name was measured.
    subscript(name: String) -> Sample { samples[name] ?? Sample() }
  }

  private(set) var rows: [Row] = []

  subscript(part: Arguments.Part, title: String) -> Row {
    rows.first { $0.part == part && $0.title == title } ?? Row(part: part, title: title)
  }

  mutating func add(_ findings: Findings, _ part: Arguments.Part, _ title: String, round: Int) {
    let place: Int
    if let known = rows.firstIndex(where: { $0.part == part && $0.title == title }) {
      place = known
    } else {
      place = rows.count
      rows.append(Row(part: part, title: title))
    }
    for (name, value) in findings.values { rows[place].samples[name, default: Sample()].add(value) }
    rows[place].notes += findings.notes.map { "round \(round): \($0)" }
  }
}
