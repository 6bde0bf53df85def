internal import LogEngine

/// One thing that happened in a run: who did what, and the data that goes with it.
///
/// An event is immutable, so a caller cannot alter history it has handed over, and it may be shared between
/// threads. Copying one is cheap. Two events are equal if all their fields are; payloads are compared byte by
/// byte.
public struct Event: Sendable, Equatable {
  /// The event's own name, unique in the whole ledger; storing it twice stores it once.
  public let id: String

  /// The run the event belongs to.
  public let runID: String

  /// The emitter's logical counter. It may repeat, skip and be negative, and never orders events.
  public let turn: Int64

  /// What sort of event this is, by default dotted, as in `clue.found`.
  public let kind: String

  /// Who emitted the event.
  public let actor: String

  /// The event's data: as a rule one JSON value, kept as the exact bytes given.
  public let payload: [UInt8]

  /// When the event was made, by its emitter's clock. It never orders events.
  public let createdAt: Timestamp

  /// The version of the payload's shape, which the ledger keeps but does not read.
  public let schemaVersion: Int64

  /// The session the event belongs to, if any.
  public let sessionID: String?

  /// The profile the acting model ran under, if any.
  public let modelProfile: String?

  /// The acting model, if any.
  public let modelID: String?

  /// The rule that ``kind`` was checked by.
  let kindRule: KindRule

  /// Makes an event after checking every field.
  ///
  /// - Parameters:
  ///   - id: Unique in the ledger; like `runID`, `kind` and `actor` it has 1 to ``EventLimits/textBytes``
  ///     bytes of UTF-8 and no control character.
  ///   - payload: Any bytes, at most ``EventLimits/payloadBytes`` of them; JSON is neither required nor
  ///     checked here.
  ///   - sessionID: Like `modelProfile` and `modelID`, any text of at most ``EventLimits/textBytes`` bytes,
  ///     or none.
  ///   - kindRule: Which kinds are accepted.
  /// - Throws: ``EventError`` naming the field, with code `emptyText`, `textTooLong`, `controlCharacter`,
  ///   `invalidKind` or `payloadTooLarge`.
  /// - Complexity: O(length of the text fields); the payload is not read or copied.
  public init(
    id: String,
    runID: String,
    turn: Int64,
    kind: String,
    actor: String,
    payload: [UInt8],
    createdAt: Timestamp,
    schemaVersion: Int64 = 1,
    sessionID: String? = nil,
    modelProfile: String? = nil,
    modelID: String? = nil,
    kindRule: KindRule = .dotted
  ) throws(EventError) {
    try Self.validate(id, field: "id")
    try Self.validate(runID, field: "run_id")
    try Self.validate(kind: kind, rule: kindRule)
    try Self.validate(actor, field: "actor")
    try Self.validate(label: sessionID, field: "session_id")
    try Self.validate(label: modelProfile, field: "model_profile")
    try Self.validate(label: modelID, field: "model_id")
    guard payload.count <= EventLimits.payloadBytes else {
      throw EventError(.payloadTooLarge, field: "payload", limit: EventLimits.payloadBytes)
    }
    self.init(
      uncheckedID: id,
      runID: runID,
      turn: turn,
      kind: kind,
      actor: actor,
      payload: payload,
      createdAt: createdAt,
      schemaVersion: schemaVersion,
      sessionID: sessionID,
      modelProfile: modelProfile,
      modelID: modelID,
      kindRule: kindRule
    )
  }

  /// Makes an event from fields that are known to be valid, because they were checked when they were stored.
  package init(
    uncheckedID id: String,
    runID: String,
    turn: Int64,
    kind: String,
    actor: String,
    payload: [UInt8],
    createdAt: Timestamp,
    schemaVersion: Int64,
    sessionID: String?,
    modelProfile: String?,
    modelID: String?,
    kindRule: KindRule
  ) {
    self.id = id
    self.runID = runID
    self.turn = turn
    self.kind = kind
    self.actor = actor
    self.payload = payload
    self.createdAt = createdAt
    self.schemaVersion = schemaVersion
    self.sessionID = sessionID
    self.modelProfile = modelProfile
    self.modelID = modelID
    self.kindRule = kindRule
  }
}

extension Event {
  /// Two events are equal if all fields are, texts and payload byte by byte.
  ///
  /// Swift's own comparison of strings would hold two spellings of `é` equal; an id is what was written.
  public static func == (left: Event, right: Event) -> Bool {
    left.turn == right.turn
      && left.createdAt == right.createdAt
      && left.schemaVersion == right.schemaVersion
      && hasEqualBytes(left.id, right.id)
      && hasEqualBytes(left.runID, right.runID)
      && hasEqualBytes(left.kind, right.kind)
      && hasEqualBytes(left.actor, right.actor)
      && hasEqualBytes(left.sessionID, right.sessionID)
      && hasEqualBytes(left.modelProfile, right.modelProfile)
      && hasEqualBytes(left.modelID, right.modelID)
      && left.payload == right.payload
  }

  private static func hasEqualBytes(_ left: String?, _ right: String?) -> Bool {
    switch (left, right) {
    case (nil, nil): true
    case (let left?, let right?): left.utf8.elementsEqual(right.utf8)
    default: false
    }
  }
}

// MARK: - Validation

extension Event {
  /// Checks a text that must be there: an id, a run, an actor.
  package static func validate(_ text: String, field: String) throws(EventError) {
    // Counting first keeps a huge text from being made contiguous, which copies it.
    guard text.utf8.count <= EventLimits.textBytes else {
      throw EventError(.textTooLong, field: field, limit: EventLimits.textBytes)
    }
    try validate(text.utf8Span.span.rawBytes, field: field)
  }

  /// Checks a text that must be there, given as UTF-8, which may be known to be printable ASCII.
  package static func validate(
    _ text: RawSpan, field: String, isPrintable: Bool = false
  ) throws(EventError) {
    guard text.byteCount > 0 else { throw EventError(.emptyText, field: field) }
    guard text.byteCount <= EventLimits.textBytes else {
      throw EventError(.textTooLong, field: field, limit: EventLimits.textBytes)
    }
    guard isPrintable || !hasControlCharacter(text) else {
      throw EventError(.controlCharacter, field: field)
    }
  }

  /// Checks a text that may be absent and may hold anything: a session, a model.
  package static func validate(label text: String?, field: String) throws(EventError) {
    guard let text else { return }
    guard text.utf8.count <= EventLimits.textBytes else {
      throw EventError(.textTooLong, field: field, limit: EventLimits.textBytes)
    }
  }

  /// Checks a kind against a rule. Cost: O(length), at most ``EventLimits/textBytes``.
  package static func validate(kind: String, rule: KindRule) throws(EventError) {
    guard kind.utf8.count <= EventLimits.textBytes else {
      throw EventError(.textTooLong, field: "kind", limit: EventLimits.textBytes)
    }
    try validate(kind: kind.utf8Span.span.rawBytes, rule: rule)
  }

  /// Checks a kind, given as UTF-8, against a rule.
  package static func validate(
    kind: RawSpan, rule: KindRule, isPrintable: Bool = false
  ) throws(EventError) {
    switch rule {
    case .anyText:
      try validate(kind, field: "kind", isPrintable: isPrintable)
    case .dotted:
      guard kind.byteCount > 0 else { throw EventError(.emptyText, field: "kind") }
      guard kind.byteCount <= EventLimits.textBytes else {
        throw EventError(.textTooLong, field: "kind", limit: EventLimits.textBytes)
      }
      guard isDotted(kind) else {
        throw EventError(.invalidKind, field: "kind", excerpt: kind.string(0..<kind.byteCount))
      }
    }
  }

  private static func isDotted(_ kind: RawSpan) -> Bool {
    guard isLowerCaseLetter(kind.byte(at: 0)) else { return false }
    var dots = 0
    var segmentLength = 0
    for index in 0..<kind.byteCount {
      let byte = kind.byte(at: index)
      if byte == UInt8(ascii: ".") {
        guard segmentLength > 0 else { return false }
        dots += 1
        segmentLength = 0
      } else if isLowerCaseLetter(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
        segmentLength += 1
      } else {
        return false
      }
    }
    return dots > 0 && segmentLength > 0
  }

  private static func isLowerCaseLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
  }

  /// Whether well-formed UTF-8 holds a character of Unicode's category Cc: U+0000–001F or U+007F–009F.
  private static func hasControlCharacter(_ text: RawSpan) -> Bool {
    if text.isPrintableASCII { return false }
    for index in 0..<text.byteCount {
      let byte = text.byte(at: index)
      if byte < 0x20 || byte == 0x7F { return true }
      // U+0080–009F is C2 80 … C2 9F.
      if byte == 0xC2, index + 1 < text.byteCount, text.byte(at: index + 1) < 0xA0 { return true }
    }
    return false
  }
}
