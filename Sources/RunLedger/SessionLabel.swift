/// Cleans up the session ids that callers bring along, which never stop an event.
public enum SessionLabel {
  /// The label without the whitespace around it, if it then has 1 to 64 ASCII letters, digits, `.`, `_` or
  /// `-`; else none, with a warning for people.
  ///
  /// No text, empty text and mere whitespace are no label and no reason to warn. Pure; may be called from any
  /// thread. Cost: O(length).
  public static func cleaned(_ text: String?) -> (label: String?, warning: String?) {
    guard let text else { return (nil, nil) }
    let trimmed = trimmed(text)
    guard !trimmed.isEmpty else { return (nil, nil) }
    guard trimmed.utf8.count <= longest else {
      return (nil, "session id \"\(Excerpt.of(trimmed))\" is dropped: shorten it to \(longest) characters")
    }
    guard trimmed.utf8.allSatisfy(isAllowed) else {
      return (
        nil,
        "session id \"\(Excerpt.of(trimmed))\" is dropped: use only the letters A to Z and a to z, digits, \".\", "
          + "\"_\" and \"-\""
      )
    }
    return (String(trimmed), nil)
  }

  private static let longest = 64

  private static func trimmed(_ text: String) -> Substring {
    let scalars = text.unicodeScalars
    let isText = { (scalar: Unicode.Scalar) in !scalar.properties.isWhitespace }
    guard let first = scalars.firstIndex(where: isText), let last = scalars.lastIndex(where: isText) else {
      return ""
    }
    return Substring(scalars[first...last])
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default:
      false
    }
  }
}
