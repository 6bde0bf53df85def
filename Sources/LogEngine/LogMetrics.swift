/// What a log has done since it was opened: counters that only rise, latencies, and what is in use now.
public struct LogMetrics: Sendable, Hashable {
  /// Calls of `append` that were stored.
  public var appends: UInt64 = 0
  /// Records that were stored.
  public var records: UInt64 = 0
  /// Bytes of frames that were stored.
  public var bytes: UInt64 = 0
  /// Groups of appends that were committed together, each by one write; their time from taking the group to its outcome.
  public var commits = LatencyHistogram()
  /// Syncs of segments, failed ones included.
  public var syncs = LatencyHistogram()
  /// Changes from a full segment to the next one, as the append that met one waited for it.
  public var rolls = LatencyHistogram()
  /// Appends that failed.
  public var failedAppends: UInt64 = 0
  /// Sidecars that were written.
  public var sidecarsWritten: UInt64 = 0
  /// Sidecars that could not be written; opening will read their segments.
  public var sidecarsFailed: UInt64 = 0

  /// How long opening took, in nanoseconds.
  public var openingNanoseconds: UInt64 = 0
  /// Records that were read while opening, because no sidecar had them.
  public var recordsRead: UInt64 = 0
  /// Torn ends that opening set aside: 0 or 1.
  public var recoveries: UInt64 = 0

  /// Segments that readers see through memory maps, and the bytes of those.
  public var mappedSegments = 0
  /// Bytes of the segments that are mapped.
  public var mappedBytes: UInt64 = 0

  init() {}

  mutating func count(_ stored: Range<Offset>, _ byteCount: Int, _ nanoseconds: UInt64) {
    count(stored, byteCount)
    commits.add(nanoseconds)
  }

  /// Counts an append that was stored.
  mutating func count(_ stored: Range<Offset>, _ byteCount: Int) {
    if stored.isEmpty { return }
    appends += 1
    records += stored.upperBound.rawValue - stored.lowerBound.rawValue
    bytes += UInt64(byteCount)
  }
}

/// How often a time fell into which range: ranges grow by a quarter of a power of two, so a quantile is right within 25 %.
public struct LatencyHistogram: Sendable, Hashable {
  private static let subBuckets = 4
  private var counts = InlineArray<160, UInt32>(repeating: 0)
  /// How many there were.
  public private(set) var count: UInt64 = 0
  /// The sum of all, in nanoseconds.
  public private(set) var totalNanoseconds: UInt64 = 0
  /// The longest, in nanoseconds; exact.
  public private(set) var maximumNanoseconds: UInt64 = 0

  /// An empty one.
  public init() {}

  package mutating func add(_ nanoseconds: UInt64) {
    let bucket = Self.bucket(of: nanoseconds)
    // It stays at the most that it can hold.
    counts[bucket] = max(counts[bucket], counts[bucket] &+ 1)
    count += 1
    totalNanoseconds &+= nanoseconds
    maximumNanoseconds = max(maximumNanoseconds, nanoseconds)
  }

  /// The time that a share of all was not above, in nanoseconds: `quantile(0.99)` is the 99th percentile. 0 if there was none.
  public func quantile(_ share: Double) -> UInt64 {
    var left = (Double(count) * share).rounded(.up)
    for bucket in counts.indices where counts[bucket] > 0 {
      left -= Double(counts[bucket])
      guard left <= 0 else { continue }
      // Everything longer is in the last.
      return bucket == counts.count - 1
        ? maximumNanoseconds : min(Self.upperBound(of: bucket), maximumNanoseconds)
    }
    return maximumNanoseconds
  }

  /// Two bits behind the highest one choose a quarter.
  private static func bucket(of nanoseconds: UInt64) -> Int {
    guard nanoseconds >= UInt64(subBuckets) else { return Int(nanoseconds) }
    let exponent = 63 - nanoseconds.leadingZeroBitCount
    let quarter = Int(nanoseconds >> UInt64(exponent - 2)) & (subBuckets - 1)
    return min((exponent - 1) * subBuckets + quarter, 159)
  }

  private static func upperBound(of bucket: Int) -> UInt64 {
    guard bucket >= subBuckets else { return UInt64(bucket) }
    let exponent = UInt64(bucket / subBuckets + 1)
    let quarter = UInt64(bucket % subBuckets)
    return (UInt64(subBuckets) + quarter + 1) << (exponent - 2) - 1
  }

  /// By what was counted.
  public static func == (left: LatencyHistogram, right: LatencyHistogram) -> Bool {
    left.count == right.count && left.totalNanoseconds == right.totalNanoseconds
      && left.maximumNanoseconds == right.maximumNanoseconds
      && left.counts.indices.allSatisfy { left.counts[$0] == right.counts[$0] }
  }

  /// By what was counted.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(count)
    hasher.combine(totalNanoseconds)
  }
}
