internal import LogEngine

extension Event {
  /// Reads one event from one line of JSON, as ``appendJSONLine(to:offset:)`` writes it.
  ///
  /// Members may come in any order. `id`, `run_id`, `turn`, `kind`, `actor` and `payload` are required;
  /// `created_at`, `schema_version`, `session_id`, `model_profile` and `model_id` may be null or absent;
  /// `offset` may be there and is ignored. Nothing else may be, nothing twice, and no value is converted to
  /// another type. The payload is kept as the exact text of its value; `payload_base64` in its place gives
  /// bytes that are not JSON.
  ///
  /// Bytes are only borrowed during the call. The line's own end is not part of the line, though JSON
  /// whitespace around the object, so a carriage return too, does no harm.
  ///
  /// - Parameters:
  ///   - jsonLine: The line's bytes; any bytes are safe.
  ///   - kindRule: Which kinds are accepted.
  ///   - defaultCreatedAt: The event's time if the line gives none.
  ///   - maximumPayload: The most bytes the payload may have, 128 MiB by default and never more than
  ///     ``EventLimits/payloadBytes``.
  /// - Throws: ``EventError`` with the field concerned and the column, a byte counted from 1.
  /// - Complexity: O(`jsonLine.byteCount`); memory for the event's own fields only.
  public init(
    jsonLine: RawSpan,
    kindRule: KindRule = .dotted,
    defaultCreatedAt: Timestamp,
    maximumPayload: Int = 128 << 20
  ) throws(EventError) {
    var fields = EventLineFields()
    let limits = EventLineFields.Rules(
      kindRule: kindRule,
      maximumPayload: min(maximumPayload, EventLimits.payloadBytes)
    )
    try fields.read(jsonLine, rules: limits)
    self = try fields.event(kindRule: kindRule, defaultCreatedAt: defaultCreatedAt)
  }
}

/// The members of one line as they are read.
private struct EventLineFields {
  /// What the caller allows.
  struct Rules {
    let kindRule: KindRule
    let maximumPayload: Int
  }

  /// The members an event line may have; the raw value is the bit in ``seen``.
  enum Member: UInt16 {
    case id = 0x001
    case runID = 0x002
    case turn = 0x004
    case kind = 0x008
    case actor = 0x010
    case payload = 0x020
    case createdAt = 0x040
    case schemaVersion = 0x080
    case sessionID = 0x100
    case modelProfile = 0x200
    case modelID = 0x400
    case offset = 0x800
    case payloadBase64 = 0x1000

    var name: StaticString {
      switch self {
      case .id: "id"
      case .runID: "run_id"
      case .turn: "turn"
      case .kind: "kind"
      case .actor: "actor"
      case .payload: "payload"
      case .createdAt: "created_at"
      case .schemaVersion: "schema_version"
      case .sessionID: "session_id"
      case .modelProfile: "model_profile"
      case .modelID: "model_id"
      case .offset: "offset"
      case .payloadBase64: "payload_base64"
      }
    }

    /// The member with the name in `range`.
    init?(_ bytes: RawSpan, _ range: Range<Int>) {
      // First byte and length leave one candidate each, which is then compared.
      let candidate: Member
      switch (range.count, JSONScanner.peek(bytes, range.lowerBound)) {
      case (2, _): candidate = .id
      case (4, UInt8(ascii: "t")): candidate = .turn
      case (4, _): candidate = .kind
      case (5, _): candidate = .actor
      case (6, UInt8(ascii: "r")): candidate = .runID
      case (6, _): candidate = .offset
      case (7, _): candidate = .payload
      case (8, _): candidate = .modelID
      case (10, UInt8(ascii: "s")): candidate = .sessionID
      case (10, _): candidate = .createdAt
      case (13, _): candidate = .modelProfile
      case (14, UInt8(ascii: "s")): candidate = .schemaVersion
      case (14, _): candidate = .payloadBase64
      default: return nil
      }
      guard JSONScanner.isLiteral(bytes, range.lowerBound, candidate.name) else { return nil }
      self = candidate
    }
  }

  private var seen: UInt16 = 0
  private var id = ""
  private var runID = ""
  private var turn: Int64 = 0
  private var kind = ""
  private var actor = ""
  private var payload: [UInt8] = []
  private var createdAt: Timestamp?
  private var schemaVersion: Int64 = 1
  private var sessionID: String?
  private var modelProfile: String?
  private var modelID: String?

  // MARK: The object

  /// Reads the whole line: an object, and nothing around it but whitespace.
  mutating func read(_ bytes: RawSpan, rules: Rules) throws(EventError) {
    var index = JSONScanner.skipWhitespace(bytes, 0)
    guard JSONScanner.peek(bytes, index) == UInt8(ascii: "{") else {
      throw EventError(.notAnObject, column: index + 1)
    }
    index = JSONScanner.skipWhitespace(bytes, index + 1)
    if JSONScanner.peek(bytes, index) == UInt8(ascii: "}") {
      index += 1
    } else {
      repeat {
        index = try readMember(bytes, index, rules)
      } while try isSeparator(bytes, &index)
    }
    index = JSONScanner.skipWhitespace(bytes, index)
    guard index == bytes.byteCount else { throw EventError(.trailingContent, column: index + 1) }
  }

  /// Moves behind a comma and says true, or behind the closing brace and says false.
  private func isSeparator(_ bytes: RawSpan, _ index: inout Int) throws(EventError) -> Bool {
    index = JSONScanner.skipWhitespace(bytes, index)
    let byte = JSONScanner.peek(bytes, index)
    guard byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") else {
      throw JSONFault(reason: .expectedCommaOrEnd, position: index).error()
    }
    index += 1
    if byte == UInt8(ascii: ",") { index = JSONScanner.skipWhitespace(bytes, index) }
    return byte == UInt8(ascii: ",")
  }

  /// Reads the member whose name begins at `start` and returns the index behind its value.
  private mutating func readMember(_ bytes: RawSpan, _ start: Int, _ rules: Rules) throws(EventError) -> Int {
    guard JSONScanner.peek(bytes, start) == UInt8(ascii: "\"") else {
      throw JSONFault(reason: .expectedKey, position: start).error()
    }
    let nameEnd: Int
    let valueStart: Int
    do throws(JSONFault) {
      nameEnd = try JSONScanner.skipString(bytes, start)
      valueStart = try JSONScanner.skipColon(bytes, nameEnd)
    } catch {
      throw error.error()
    }
    guard let member = Self.member(bytes, start..<nameEnd) else {
      throw EventError(.unknownField, field: Self.shownName(bytes, start..<nameEnd), column: start + 1)
    }
    let payloads = Member.payload.rawValue | Member.payloadBase64.rawValue
    let excluded = member.rawValue & payloads != 0 ? payloads : member.rawValue
    guard seen & excluded == 0 else {
      throw EventError(.duplicateField, field: "\(member.name)", column: start + 1)
    }
    seen |= member.rawValue
    return try readValue(of: member, bytes, valueStart, rules)
  }

  /// The member named by the string in `range`, quotes included.
  private static func member(_ bytes: RawSpan, _ range: Range<Int>) -> Member? {
    let name = range.lowerBound + 1..<range.upperBound - 1
    if let member = Member(bytes, name) { return member }
    // A longer name than any with each character escaped is unknown without looking.
    guard name.count <= 6 * 14, let text = JSONStringReader.unescaped(bytes, openingQuote: range.lowerBound)
    else {
      return nil
    }
    return Member(text.span.rawBytes, 0..<text.count)
  }

  /// An unknown member's name for the message, as it is spelled in the line.
  private static func shownName(_ bytes: RawSpan, _ range: Range<Int>) -> String {
    let name = range.lowerBound + 1..<range.upperBound - 1
    return bytes.string(name.lowerBound..<min(name.upperBound, name.lowerBound + 4 * (Excerpt.length + 1)))
  }

  private mutating func readValue(
    of member: Member,
    _ bytes: RawSpan,
    _ start: Int,
    _ rules: Rules
  ) throws(EventError) -> Int {
    var end = start
    switch member {
    case .id: id = try EventLineValue.text(bytes, &end, "id")
    case .runID: runID = try EventLineValue.text(bytes, &end, "run_id")
    case .actor: actor = try EventLineValue.text(bytes, &end, "actor")
    case .kind: kind = try EventLineValue.kind(bytes, &end, rules.kindRule)
    case .turn: turn = try EventLineValue.integer(bytes, &end, "turn")
    case .schemaVersion: schemaVersion = try EventLineValue.schemaVersion(bytes, &end)
    case .sessionID: sessionID = try EventLineValue.label(bytes, &end, "session_id")
    case .modelProfile: modelProfile = try EventLineValue.label(bytes, &end, "model_profile")
    case .modelID: modelID = try EventLineValue.label(bytes, &end, "model_id")
    case .createdAt: createdAt = try EventLineValue.timestamp(bytes, &end)
    case .offset: try EventLineValue.skipOffset(bytes, &end)
    case .payload: payload = try EventLineValue.payload(bytes, &end, maximum: rules.maximumPayload)
    case .payloadBase64: payload = try EventLineValue.base64(bytes, &end, maximum: rules.maximumPayload)
    }
    return end
  }

  /// The event, if all that is required was there.
  func event(kindRule: KindRule, defaultCreatedAt: Timestamp) throws(EventError) -> Event {
    let required: [(Member, String)] = [
      (.id, "a text"), (.runID, "a text"), (.turn, "an integer"), (.kind, "a text"), (.actor, "a text"),
    ]
    if seen & 0x1F != 0x1F {
      for (member, type) in required where seen & member.rawValue == 0 {
        throw EventError(.missingField, field: "\(member.name)", expected: "the member with \(type)")
      }
    }
    guard seen & (Member.payload.rawValue | Member.payloadBase64.rawValue) != 0 else {
      throw EventError(.missingField, field: "payload", expected: "the member with any JSON value")
    }
    return Event(
      uncheckedID: id,
      runID: runID,
      turn: turn,
      kind: kind,
      actor: actor,
      payload: payload,
      createdAt: createdAt ?? defaultCreatedAt,
      schemaVersion: schemaVersion,
      sessionID: sessionID,
      modelProfile: modelProfile,
      modelID: modelID,
      kindRule: kindRule
    )
  }
}
