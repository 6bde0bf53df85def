/// The values that one measurement took, by round, so that two of them can be compared round by round.
package struct Sample {
  private var byRound: [Int: Double] = [:]

  package init() {}

  package subscript(round: Int) -> Double? {
    get { byRound[round] }
    set { byRound[round] = newValue }
  }

  package var isEmpty: Bool { byRound.isEmpty }

  /// nil if nothing was measured.
  package var median: Double? {
    guard !byRound.isEmpty else { return nil }
    let sorted = byRound.values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  package var least: Double { byRound.values.min() ?? 0 }
  package var most: Double { byRound.values.max() ?? 0 }

  package func map(_ transform: (Double) -> Double) -> Sample {
    var sample = self
    sample.byRound = byRound.mapValues(transform)
    return sample
  }

  /// Round by round, where both have a value and the other is not zero.
  package static func / (sample: Sample, other: Sample) -> Sample {
    var ratio = Sample()
    for (round, value) in sample.byRound {
      if let base = other[round], base > 0 { ratio[round] = value / base }
    }
    return ratio
  }

  /// Round by round the higher of both, and what only one of them has.
  package func higher(_ other: Sample) -> Sample {
    var sample = self
    sample.byRound.merge(other.byRound) { max($0, $1) }
    return sample
  }
}
