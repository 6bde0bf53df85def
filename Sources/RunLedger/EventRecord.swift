public import LogEngine

/// How an event is laid out in a record. FORMAT.md, "Event".
package enum EventRecord {
  static let version: UInt8 = 1
  /// Everything of fixed width, so that a filter can look without decoding.
  static let fixedByteCount = 48

  static let hasSession: UInt8 = 1
  static let hasProfile: UInt8 = 2
  static let hasModel: UInt8 = 4

  /// Appends the event's bytes.
  package static func encode(_ event: Event, into buffer: inout ByteBuffer) {
    var flags: UInt8 = 0
    if event.sessionID != nil { flags |= hasSession }
    if event.modelProfile != nil { flags |= hasProfile }
    if event.modelID != nil { flags |= hasModel }
    let texts =
      event.id.utf8.count + event.runID.utf8.count + event.kind.utf8.count + event.actor.utf8.count
      + (event.sessionID?.utf8.count ?? 0) + (event.modelProfile?.utf8.count ?? 0)
      + (event.modelID?.utf8.count ?? 0)
    // At once, with room for the padding behind it.
    buffer.reserve(fixedByteCount + texts + event.payload.count + 8)
    // The fixed part, a word at a time.
    buffer.append(
      word(
        UInt16(version) | UInt16(flags) << 8, event.id.utf8.count, event.runID.utf8.count,
        event.kind.utf8.count))
    buffer.append(
      word(
        UInt16(event.actor.utf8.count), event.sessionID?.utf8.count ?? 0, event.modelProfile?.utf8.count ?? 0,
        event.modelID?.utf8.count ?? 0))
    buffer.append(UInt64(bitPattern: event.turn))
    buffer.append(UInt64(bitPattern: event.createdAt.seconds))
    buffer.append(UInt64(event.createdAt.nanoseconds) | UInt64(UInt32(event.payload.count)) << 32)
    buffer.append(UInt64(bitPattern: event.schemaVersion))
    buffer.append(event.id)
    buffer.append(event.runID)
    buffer.append(event.kind)
    buffer.append(event.actor)
    if let sessionID = event.sessionID { buffer.append(sessionID) }
    if let modelProfile = event.modelProfile { buffer.append(modelProfile) }
    if let modelID = event.modelID { buffer.append(modelID) }
    buffer.append(event.payload.span.rawBytes)
  }

  /// Four fields of two bytes. The event is valid, so every length fits.
  private static func word(_ first: UInt16, _ second: Int, _ third: Int, _ fourth: Int) -> UInt64 {
    UInt64(first) | UInt64(UInt16(second)) << 16 | UInt64(UInt16(third)) << 32 | UInt64(UInt16(fourth)) << 48
  }
}

/// An event in place: borrowed bytes of the ledger, valid inside the closure that receives it. Nothing is copied until
/// ``event()`` is called.
public struct EventView: ~Escapable, Sendable {
  /// The event's place in the ledger.
  public let offset: Offset
  private let record: RawSpan
  private let kindRule: KindRule

  /// Finds the fields; nil if the record's shape is not an event's.
  @_lifetime(copy record)
  package init?(_ record: RawSpan, at offset: Offset, kindRule: KindRule) {
    guard record.byteCount >= EventRecord.fixedByteCount,
      record.loadUInt16(at: 0) & ~0x700 == UInt16(EventRecord.version)
    else { return nil }
    self.offset = offset
    self.record = record
    self.kindRule = kindRule
    guard modelEnd + Int(record.loadUInt32(at: 36)) == record.byteCount else { return nil }
  }

  // Where each field ends; the first starts behind the fixed part. Added up anew each time: most readers want one or two
  // fields, and a view is made for each event that is passed.
  private var idEnd: Int { EventRecord.fixedByteCount + Int(record.loadUInt16(at: 2)) }
  private var runEnd: Int { idEnd + Int(record.loadUInt16(at: 4)) }
  private var kindEnd: Int { EventRecord.fixedByteCount + Self.sum(record.loadUInt64(at: 0) & ~0xFFFF) }
  private var actorEnd: Int { kindEnd + Int(record.loadUInt16(at: 8)) }
  private var sessionEnd: Int { actorEnd + Int(record.loadUInt16(at: 10)) }
  private var profileEnd: Int { sessionEnd + Int(record.loadUInt16(at: 12)) }
  private var modelEnd: Int { kindEnd + Self.sum(record.loadUInt64(at: 8)) }

  /// The sum of four lengths of two bytes.
  private static func sum(_ lengths: UInt64) -> Int {
    let pairs = (lengths & 0xFFFF_0000_FFFF) + (lengths >> 16 & 0xFFFF_0000_FFFF)
    return Int(pairs & 0xFFFF_FFFF) + Int(pairs >> 32)
  }
  private var texts: RawSpan {
    @_lifetime(copy self) get { record.extracting(EventRecord.fixedByteCount..<modelEnd) }
  }
  private var payloadStart: Int { record.byteCount - Int(record.loadUInt32(at: 36)) }

  /// What the event is found by, besides its id, in one pass over the fields.
  @inline(__always)
  func forEachPosting(_ body: (PostingField, RawSpan) -> Void) {
    let flags = record.loadUInt8(at: 1)
    let (runStart, kindStart) = (idEnd, runEnd)
    let actorStart = kindStart + Int(record.loadUInt16(at: 6))
    let sessionStart = actorStart + Int(record.loadUInt16(at: 8))
    body(.run, record.extracting(runStart..<kindStart))
    body(.kind, record.extracting(kindStart..<actorStart))
    body(.actor, record.extracting(actorStart..<sessionStart))
    if flags & (EventRecord.hasSession | EventRecord.hasModel) == 0 { return }
    if flags & EventRecord.hasSession != 0 {
      body(.session, record.extracting(sessionStart..<sessionStart + Int(record.loadUInt16(at: 10))))
    }
    if let modelID { body(.model, modelID) }
  }

  /// The UTF-8 bytes of the event's id.
  public var id: RawSpan {
    @_lifetime(copy self) get { record.extracting(EventRecord.fixedByteCount..<idEnd) }
  }
  /// The UTF-8 bytes of the run's id.
  public var runID: RawSpan { @_lifetime(copy self) get { record.extracting(idEnd..<runEnd) } }
  /// The UTF-8 bytes of the kind.
  public var kind: RawSpan { @_lifetime(copy self) get { record.extracting(runEnd..<kindEnd) } }
  /// The UTF-8 bytes of the actor.
  public var actor: RawSpan { @_lifetime(copy self) get { record.extracting(kindEnd..<actorEnd) } }
  /// The payload, exactly as it was appended.
  public var payload: RawSpan {
    @_lifetime(copy self) get { record.extracting(payloadStart..<record.byteCount) }
  }
  /// The UTF-8 bytes of the session's id, if there is one.
  public var sessionID: RawSpan? {
    @_lifetime(copy self) get {
      has(EventRecord.hasSession) ? record.extracting(actorEnd..<sessionEnd) : nil
    }
  }
  /// The UTF-8 bytes of the model profile, if there is one.
  public var modelProfile: RawSpan? {
    @_lifetime(copy self) get {
      has(EventRecord.hasProfile) ? record.extracting(sessionEnd..<profileEnd) : nil
    }
  }
  /// The UTF-8 bytes of the model's id, if there is one.
  public var modelID: RawSpan? {
    @_lifetime(copy self) get {
      has(EventRecord.hasModel) ? record.extracting(profileEnd..<modelEnd) : nil
    }
  }
  /// The logical counter.
  public var turn: Int64 { Int64(bitPattern: record.loadUInt64(at: 16)) }
  /// The version of the event's schema.
  public var schemaVersion: Int64 { Int64(bitPattern: record.loadUInt64(at: 40)) }

  /// When the event happened. A view is handed out only if the stored value is a time.
  public var createdAt: Timestamp { storedTime ?? .minimum }

  /// nil if the stored value is no time, which only a writer at fault can leave.
  package var storedTime: Timestamp? {
    Timestamp(seconds: Int64(bitPattern: record.loadUInt64(at: 24)), nanoseconds: record.loadUInt32(at: 32))
  }

  private func has(_ flag: UInt8) -> Bool { record.loadUInt8(at: 1) & flag != 0 }

  /// What keeps the stored values from being an event; nil if nothing does. Cost: O(length of the text fields).
  package var flaw: String? {
    if storedTime == nil { return "created_at is no timestamp" }
    // As a rule they all are, and that is told at once.
    let arePrintable = texts.isPrintableASCII
    if !arePrintable, !holdsTexts { return "a text field is not UTF-8" }
    do throws(EventError) {
      try Event.validate(id, field: "id", isPrintable: arePrintable)
      try Event.validate(runID, field: "run_id", isPrintable: arePrintable)
      try Event.validate(actor, field: "actor", isPrintable: arePrintable)
      try Event.validate(kind: kind, rule: kindRule, isPrintable: arePrintable)
    } catch {
      return "\(error)"
    }
    return nil
  }

  /// All of them at once are UTF-8, and none begins inside a character.
  private var holdsTexts: Bool {
    texts.isUTF8 && !isInsideCharacter(idEnd)
      && !isInsideCharacter(runEnd) && !isInsideCharacter(kindEnd) && !isInsideCharacter(actorEnd)
      && !isInsideCharacter(sessionEnd) && !isInsideCharacter(profileEnd)
  }

  private func isInsideCharacter(_ place: Int) -> Bool {
    place < modelEnd && record.loadUInt8(at: place) & 0xC0 == 0x80
  }

  /// A copy of the event. Throws `.corruptEvent` if a text field is not what an event may hold.
  public func event() throws(LedgerError) -> Event {
    if let flaw { throw Ledger.corruptEvent(offset, flaw) }
    return Event(
      uncheckedID: id.text, runID: runID.text, turn: turn, kind: kind.text, actor: actor.text,
      payload: payload.array(0..<payload.byteCount), createdAt: createdAt, schemaVersion: schemaVersion,
      sessionID: sessionID?.text, modelProfile: modelProfile?.text, modelID: modelID?.text,
      kindRule: kindRule)
  }

  /// Appends the event as a line of JSON, as ``Event/appendJSONLine(to:offset:)`` does, without making an ``Event``.
  /// Throws `.corruptEvent` if a text field is not what an event may hold.
  public func appendJSONLine(to output: inout [UInt8], withOffset: Bool) throws(LedgerError) {
    if let flaw { throw Ledger.corruptEvent(offset, flaw) }
    EventLineWriter.append(
      offset: withOffset ? offset.rawValue : nil, id: id, runID: runID, turn: turn, kind: kind, actor: actor,
      payload: payload, createdAt: createdAt, schemaVersion: schemaVersion, sessionID: sessionID,
      modelProfile: modelProfile, modelID: modelID, to: &output)
  }

  /// A4 of the contract: does storing `event` again say the same? All fields count but the time, which a retry makes
  /// anew; payloads are equal if their bytes are or, both being JSON, their values.
  package func hasSameContent(as event: Event) -> Bool {
    turn == event.turn && schemaVersion == event.schemaVersion
      && runID.isEqual(to: event.runID) && kind.isEqual(to: event.kind) && actor.isEqual(to: event.actor)
      && Self.isEqual(sessionID, event.sessionID) && Self.isEqual(modelProfile, event.modelProfile)
      && Self.isEqual(modelID, event.modelID)
      && (payload.isEqual(to: event.payload.span.rawBytes)
        || JSONText.haveEqualValues(payload, event.payload.span.rawBytes))
  }

  private static func isEqual(_ stored: RawSpan?, _ text: String?) -> Bool {
    guard let stored, let text else { return stored == nil && text == nil }
    return stored.isEqual(to: text)
  }
}

extension RawSpan {
  /// The bytes as text; they are known to be UTF-8.
  var text: String { string(0..<byteCount) }

  func isEqual(to text: String) -> Bool { isEqual(to: text.utf8Span.span.rawBytes) }
}
