/// Latencies by size: 64 buckets to each power of two, so that a percentile is within 1.6 %; the longest is exact. Adding
/// allocates nothing.
package struct Histogram: Sendable {
  private static let bits: UInt64 = 6
  private var buckets = [UInt64](repeating: 0, count: 59 << 6)
  package private(set) var count: UInt64 = 0
  package private(set) var longest: UInt64 = 0

  package mutating func add(_ nanoseconds: UInt64) {
    buckets[Self.bucket(of: nanoseconds)] += 1
    count += 1
    longest = max(longest, nanoseconds)
  }

  package mutating func add(_ other: Histogram) {
    for place in buckets.indices { buckets[place] += other.buckets[place] }
    count += other.count
    longest = max(longest, other.longest)
  }

  /// Below 128 ns each nanosecond has a bucket of its own.
  private static func bucket(of nanoseconds: UInt64) -> Int {
    let width = UInt64(64 - nanoseconds.leadingZeroBitCount)
    let shift = width > bits + 1 ? width - bits - 1 : 0
    return Int(shift << bits + nanoseconds >> shift)
  }

  /// The longest that a bucket holds.
  private static func bound(of bucket: Int) -> UInt64 {
    let bucket = UInt64(bucket)
    guard bucket >= 2 << bits else { return bucket }
    let shift = bucket >> bits - 1
    return (bucket & (1 << bits - 1) + 1 << bits + 1) << shift - 1
  }

  /// What so many of 10,000 do not exceed; nil if there are none.
  package func value(tenThousandths: UInt64) -> UInt64? {
    guard count > 0 else { return nil }
    let rank = max(1, (count * tenThousandths + 9999) / 10_000)
    var sum: UInt64 = 0
    for place in buckets.indices {
      sum += buckets[place]
      if sum >= rank { return min(Self.bound(of: place), longest) }
    }
    return longest
  }

  package init() {}

  /// The figures that are reported, in microseconds, by name.
  package static let figures: [(name: String, tenThousandths: UInt64)] = [
    ("p50", 5000), ("p99", 9900), ("p99.9", 9990), ("max", 10_000),
  ]

  package func report(to findings: inout Findings) {
    for (name, part) in Self.figures {
      if let value = value(tenThousandths: part) { findings[name] = Double(value) / 1000 }
    }
  }
}
