/// A size as a user writes it: `512`, `64KiB`, `2GiB`.
enum ByteSize {
  /// nil if it is no size, or more than 64 bits hold.
  static func parse(_ text: String) -> UInt64? {
    let units: [(name: String, shift: UInt64)] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)]
    for unit in units where text.hasSuffix(unit.name) {
      guard let number = digits(text.dropLast(unit.name.count)) else { return nil }
      let (size, isTooLarge) = number.multipliedReportingOverflow(by: 1 << unit.shift)
      return isTooLarge ? nil : size
    }
    return digits(text[...])
  }

  private static func digits(_ text: Substring) -> UInt64? {
    // `UInt64.init` would take a plus sign.
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt64(text) : nil
  }
}
