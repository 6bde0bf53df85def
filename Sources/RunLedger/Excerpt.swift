/// Foreign text made fit for one line of a message: short, and without anything that could act on a terminal.
package enum Excerpt {
  /// How many characters of the original are shown at most.
  package static let length = 60

  /// At most ``length`` Unicode scalars of `text`; controls, format characters, line separators, quotes and
  /// backslashes are written as escapes, and `…` says that something was cut. Cost: constant, whatever the
  /// length.
  package static func of(_ text: some StringProtocol) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
      guard count < length else { return result + "…" }
      count += 1
      result += isPlain(scalar) ? String(scalar) : scalar.escaped(asASCII: true)
    }
    return result
  }

  private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    if scalar == "\"" || scalar == "\\" { return false }
    return switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: false
    default: true
    }
  }
}
