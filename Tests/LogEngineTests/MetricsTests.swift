import LogEngine
import StorageTesting
import Testing

@Suite struct MetricsTests {
  @Test func `a histogram's quantiles are right within a quarter, and its maximum is exact`() {
    var generator = SeededGenerator(seed: 1)
    var times: [UInt64] = []
    var histogram = LatencyHistogram()
    #expect(histogram.quantile(0.5) == 0)
    for _ in 0..<20_000 {
      let time = generator.next() >> UInt64.random(in: 24...63, using: &generator)
      times.append(time)
      histogram.add(time)
    }
    times.sort()
    #expect(histogram.count == 20_000)
    #expect(histogram.maximumNanoseconds == times.last)
    #expect(histogram.totalNanoseconds == times.reduce(0, +))
    for share in [0.01, 0.5, 0.9, 0.99, 0.999, 1] {
      let exact = times[max(Int((Double(times.count) * share).rounded(.up)) - 1, 0)]
      let found = histogram.quantile(share)
      #expect(found >= exact && Double(found) <= Double(exact) * 1.25 + 1, "\(share): \(exact), \(found)")
    }
  }

  @Test func `every time has a place, the longest too`() {
    for bits in 0..<64 as Range<UInt64> {
      var histogram = LatencyHistogram()
      histogram.add(1 << bits)
      #expect(histogram.quantile(1) == 1 << bits)
    }
    var histogram = LatencyHistogram()
    histogram.add(.max)
    histogram.add(0)
    #expect(histogram.quantile(0.5) == 0)
    #expect(histogram.quantile(1) == .max)
  }
}
