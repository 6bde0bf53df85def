/// Where and why bytes are not JSON: what the scanner throws, small enough for its inner loops.
struct JSONFault: Error {
  /// What the scanner can find wrong.
  enum Reason {
    case expectedValue, expectedKey, expectedColon, expectedCommaOrEnd, expectedEnd
    case unterminatedString, controlCharacterInString, badEscape, badNumber, badLiteral
    case invalidUTF8, nestedTooDeep
  }

  let reason: Reason

  /// Index of the offending byte, or the end of the input.
  let position: Int

  /// The public form of the fault, placed at its byte in the line.
  func error(field: String? = nil) -> EventError {
    let code: EventError.Code =
      switch reason {
      case .invalidUTF8: .invalidUTF8
      case .nestedTooDeep: .nestedTooDeep
      default: .malformedJSON
      }
    return EventError(code, field: field, column: position + 1, expected: expectation)
  }

  private var expectation: String? {
    switch reason {
    case .expectedValue: "a value"
    case .expectedKey: "a member's name in double quotes"
    case .expectedColon: "a colon after the member's name"
    case .expectedCommaOrEnd: "a comma, or the end of the array or object"
    case .expectedEnd: "nothing more after the value"
    case .unterminatedString: "a closing double quote"
    case .controlCharacterInString: "control characters in strings to be written as escapes, such as \\n"
    case .badEscape:
      "one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t, or \\u and four hexadecimal digits"
    case .badNumber: "a number such as -12.5e3, without leading zeros or plus sign"
    case .badLiteral: "true, false or null"
    case .invalidUTF8, .nestedTooDeep: nil
    }
  }
}
