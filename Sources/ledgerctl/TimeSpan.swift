/// A time span as a user writes it: `10ms`, `5s`, `2h`, `14d`.
enum TimeSpan {
  /// nil if it is no time span, or longer than ten thousand years.
  static func parse(_ text: some StringProtocol) -> Duration? {
    let units: [(name: String, milliseconds: Int64)] = [
      ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]
    for unit in units where text.hasSuffix(unit.name) {
      let digits = text.dropLast(unit.name.count)
      // `Int64.init` would take a sign.
      guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
        let number = Int64(digits)
      else { continue }
      let (milliseconds, isTooLong) = number.multipliedReportingOverflow(by: unit.milliseconds)
      return isTooLong || milliseconds > 3_652_500 * 86_400_000 ? nil : .milliseconds(milliseconds)
    }
    return nil
  }
}
