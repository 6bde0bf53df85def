/// Why an event, its line of JSON, or a timestamp was refused.
///
/// A value, safe to pass between threads. Its ``description`` is one sentence that says what, where, and what
/// to do; foreign text in it is clipped and made harmless.
public struct EventError: Error, Sendable, Equatable {
  /// What went wrong, as something a program can compare.
  public struct Code: Sendable, Hashable {
    fileprivate enum Kind: Sendable, Hashable {
      case invalidKind, emptyText, textTooLong, controlCharacter, payloadTooLarge
      case malformedJSON, nestedTooDeep, invalidUTF8, invalidEscape, trailingContent
      case notAnObject, unknownField, missingField, duplicateField, wrongType, numberOutOfRange
      case invalidTimestamp, invalidBase64, lineTooLong
    }

    fileprivate let kind: Kind

    /// The kind does not fit the ledger's rule for kinds.
    public static let invalidKind = Code(kind: .invalidKind)
    /// A text that must not be empty is.
    public static let emptyText = Code(kind: .emptyText)
    /// A text exceeds ``EventLimits/textBytes``.
    public static let textTooLong = Code(kind: .textTooLong)
    /// A text holds a control character where none may be.
    public static let controlCharacter = Code(kind: .controlCharacter)
    /// The payload exceeds the limit in force.
    public static let payloadTooLarge = Code(kind: .payloadTooLarge)
    /// The bytes are not JSON by RFC 8259.
    public static let malformedJSON = Code(kind: .malformedJSON)
    /// Arrays and objects nest deeper than ``EventLimits/jsonDepth``.
    public static let nestedTooDeep = Code(kind: .nestedTooDeep)
    /// The bytes are not UTF-8.
    public static let invalidUTF8 = Code(kind: .invalidUTF8)
    /// A `\u` escape in a field names half a character (a lone surrogate), which text cannot hold.
    public static let invalidEscape = Code(kind: .invalidEscape)
    /// Something follows the JSON value.
    public static let trailingContent = Code(kind: .trailingContent)
    /// The line holds JSON that is not an object.
    public static let notAnObject = Code(kind: .notAnObject)
    /// The object has a member that is not part of an event.
    public static let unknownField = Code(kind: .unknownField)
    /// A required member is absent.
    public static let missingField = Code(kind: .missingField)
    /// A member is there twice, or the payload is given in two ways.
    public static let duplicateField = Code(kind: .duplicateField)
    /// A member's value has another JSON type than the field; values are never converted.
    public static let wrongType = Code(kind: .wrongType)
    /// An integer does not fit the field.
    public static let numberOutOfRange = Code(kind: .numberOutOfRange)
    /// A text is not an RFC 3339 date and time within the years 0000 to 9999.
    public static let invalidTimestamp = Code(kind: .invalidTimestamp)
    /// `payload_base64` is not standard, padded base64.
    public static let invalidBase64 = Code(kind: .invalidBase64)
    /// A line exceeds what its reader accepts.
    public static let lineTooLong = Code(kind: .lineTooLong)
  }

  /// What went wrong.
  public let code: Code

  /// The event's field concerned, named as in the JSON line (`run_id`), if it is about one. The name of an
  /// unknown member is clipped and escaped.
  public let field: String?

  /// Where in the line, as a byte counted from 1, if the event came from a line of JSON.
  public let column: Int?

  /// The offending value, already clipped and escaped.
  private let excerpt: String?

  /// The limit that was exceeded, in bytes.
  private let limit: Int?

  /// What the parser expected, for malformed JSON and wrong types.
  private let expectation: String?

  /// The same error, placed at the byte with this index in its line, unless it has a place.
  package func placed(at index: Int) -> EventError {
    EventError(copying: self, column: column ?? index + 1)
  }

  private init(copying error: EventError, column: Int) {
    code = error.code
    field = error.field
    self.column = column
    excerpt = error.excerpt
    limit = error.limit
    expectation = error.expectation
  }

  /// Makes an error; `field` and `excerpt` may be hostile, they are clipped and escaped here.
  package init(
    _ code: Code,
    field: String? = nil,
    column: Int? = nil,
    excerpt: String? = nil,
    limit: Int? = nil,
    expected expectation: String? = nil
  ) {
    self.code = code
    self.field = field.map { Excerpt.of($0) }
    self.column = column
    self.excerpt = excerpt.map { Excerpt.of($0) }
    self.limit = limit
    self.expectation = expectation
  }
}

extension EventError: CustomStringConvertible {
  /// One sentence: what, where, what to do.
  public var description: String {
    let (what, advice) = sentence
    let place = column.map { " at byte \($0) of the line" } ?? ""
    return "\(what)\(place): \(advice)."
  }

  private var sentence: (what: String, advice: String) {
    let name = field.map { "\"\($0)\"" } ?? "a field"
    let value = excerpt.map { " \"\($0)\"" } ?? ""
    let most = limit.map { "\($0)" } ?? "the allowed number of"
    let expected = expectation ?? "a value of the field's type"
    return switch code.kind {
    case .invalidKind:
      (
        "kind\(value) is not dotted",
        "write two or more dot-separated segments of lower-case letters and digits, the first character a letter, "
          + "such as \"clue.found\", or use a ledger that accepts any kind"
      )
    case .emptyText: ("\(name) is empty", "give it at least one character")
    case .textTooLong:
      ("\(name) is longer than \(most) bytes of UTF-8", "shorten it, or move it into the payload")
    case .controlCharacter: ("\(name) holds a control character", "remove it")
    case .payloadTooLarge:
      (
        "the payload is larger than \(most) bytes",
        "raise the limit, or store the data elsewhere and refer to it"
      )
    case .malformedJSON:
      ("the JSON\(field.map { " of \"\($0)\"" } ?? "") is malformed", "expected \(expected)")
    case .nestedTooDeep:
      ("arrays and objects nest deeper than \(EventLimits.jsonDepth) levels", "flatten the value")
    case .invalidUTF8: ("the bytes are not UTF-8", "encode the text as UTF-8")
    case .invalidEscape:
      (
        "\(name) holds an escape that is half a surrogate pair",
        "write the whole pair, or the character itself in UTF-8"
      )
    case .trailingContent: ("something follows the event", "write one event a line, and nothing else on it")
    case .notAnObject: ("the line is not a JSON object", "write one event a line, as {\"id\":…}")
    case .unknownField: ("\(name) is not a member of an event", "remove it, or move it into the payload")
    case .missingField where field == "id":
      (
        "\"id\" is missing",
        "give every event its own id, so that importing the same lines again is safe and stores nothing twice"
      )
    case .missingField: ("\(name) is missing", "add \(expected)")
    case .duplicateField where field == "payload" || field == "payload_base64":
      ("the payload is given twice", "keep one member, \"payload\" or \"payload_base64\"")
    case .duplicateField: ("\(name) is given twice", "keep one of the two")
    case .wrongType: ("\(name) has the wrong type", "write \(expected); values are not converted")
    case .numberOutOfRange: ("\(name) is out of range", "write \(expected)")
    case .invalidTimestamp:
      (
        "\(field.map { "\"\($0)\" is not a timestamp" } ?? "not a timestamp")\(excerpt.map { ", \"\($0)\"" } ?? "")",
        "write RFC 3339 with at most nine digits of fraction, such as \"2024-06-01T09:30:00Z\""
      )
    case .invalidBase64: ("\(name) is not base64", "write standard base64 with padding")
    case .lineTooLong: ("the line is longer than \(most) bytes", "split it, or raise the limit")
    }
  }
}
