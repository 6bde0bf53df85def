/// How figures are written, for people and for programs.
package struct Layout {
  private let titleWidth: Int
  private let widths: [Int]

  package init(titleWidth: Int, widths: [Int]) {
    self.titleWidth = titleWidth
    self.widths = widths
  }

  package func line(_ title: String, _ columns: [String]) -> String {
    var text = Self.left(title, titleWidth)
    for (column, width) in zip(columns, widths) { text += Self.right(column, width) }
    while text.last == " " { text.removeLast() }
    return text
  }

  package static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  /// A figure with as many digits as say something.
  package static func figure(_ value: Double) -> String {
    switch value.magnitude {
    case 100...: grouped(value)
    case 10...: decimals(value, 1)
    case 1...: decimals(value, 2)
    case 0: "0"
    default: decimals(value, 4)
    }
  }

  package static func grouped(_ value: Double?) -> String { value.map { grouped(Int($0.rounded())) } ?? "–" }

  package static func grouped(_ value: Int) -> String {
    let digits = Array(String(value.magnitude))
    var text = value < 0 ? "-" : ""
    for (place, digit) in digits.enumerated() {
      if place > 0, (digits.count - place) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }

  package static func decimals(_ value: Double, _ places: Int) -> String {
    var scale = 1
    for _ in 0..<places { scale *= 10 }
    let scaled = Int((value.magnitude * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard places > 0 else { return sign + String(scaled) }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale).\(String(repeating: "0", count: places - fraction.count))\(fraction)"
  }

  // MARK: JSON

  package static func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"", "\\": "\\\(scalar)"
      case _ where scalar.value < 0x20: " "
      default: "\(scalar)"
      }
    }
    return "\"\(escaped.joined())\""
  }
}
