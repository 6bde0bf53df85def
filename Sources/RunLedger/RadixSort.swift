extension [UInt64] {
  /// In the order of these bits alone; what is equal in them stays in the order it was in. By digits, in time proportional to
  /// their number: the first look-ups after an opening wait for it.
  func sorted(byBits bits: Range<UInt64>) -> [UInt64] {
    let width = UInt64(bits.count)
    let passes = (width + Self.widestDigit - 1) / Self.widestDigit
    let digit = (width + passes - 1) / passes
    let mask: UInt64 = 1 << digit - 1
    var (from, to) = (self, self)
    for shift in stride(from: bits.lowerBound, to: bits.upperBound, by: Int(digit)) {
      var starts = [Int](repeating: 0, count: Int(mask) + 1)
      for value in from { starts[Int(value >> shift & mask)] += 1 }
      var sum = 0
      for digit in starts.indices { (starts[digit], sum) = (sum, sum + starts[digit]) }
      for value in from {
        let digit = Int(value >> shift & mask)
        to[starts[digit]] = value
        starts[digit] += 1
      }
      swap(&from, &to)
    }
    return from
  }

  /// The counters of a pass stay in the processor's first cache.
  private static var widestDigit: UInt64 { 12 }
}
