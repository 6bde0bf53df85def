/// The values one measurement took over the rounds.
package struct Sample {
  package init() {}

  package private(set) var values: [Double] = []

  package mutating func add(_ value: Double?) {
    if let value { values.append(value) }
  }

  /// nil if nothing was measured.
  package var median: Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  /// For adding where subtracting is asked for.
  package var negative: Sample {
    var sample = Sample()
    for value in values { sample.add(-value) }
    return sample
  }

  package var least: Double { values.min() ?? 0 }
  package var most: Double { values.max() ?? 0 }
}
