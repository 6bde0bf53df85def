internal import LogEngine
internal import RunLedger

/// Any bytes as an event's record: what is read is written again as the same bytes, and says the same as a line.
enum EventFuzz {
  // All `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var buffer = ByteBuffer()
  private nonisolated(unsafe) static var line: [UInt8] = []
  private nonisolated(unsafe) static var other: [UInt8] = []

  /// The first byte says which kinds count and whether the lengths are made to add up.
  static func run(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    let mode = input.loadUInt8(at: 0)
    unsafe buffer.truncate(to: 0)
    unsafe buffer.append(input.extracting(droppingFirst: 1))
    if mode & 2 == 0 { unsafe repair(&buffer) }
    unsafe check(buffer.bytes, mode & 1 == 0 ? .dotted : .anyText)
  }

  /// The payload is what the texts leave.
  private static func repair(_ record: inout ByteBuffer) {
    guard record.count >= 48 else { return }
    var texts = 48
    for field in stride(from: 2, to: 16, by: 2) { texts += Int(record.bytes.loadUInt16(at: field)) }
    if texts <= record.count { record.store(UInt32(record.count - texts), at: 36) }
  }

  private static func check(_ record: RawSpan, _ rule: KindRule) {
    guard let view = EventView(record, at: 1, kindRule: rule) else { return }
    let texts =
      view.id.byteCount + view.runID.byteCount + view.kind.byteCount + view.actor.byteCount
      + view.payload.byteCount
    promise(texts <= record.byteCount - 48, "fields lie within the record")
    unsafe line.removeAll(keepingCapacity: true)
    let event: Event
    do throws(LedgerError) {
      event = try view.event()
      unsafe try view.appendJSONLine(to: &line, withOffset: false)
    } catch {
      promise(view.flaw != nil, "only what has a flaw is refused")
      return promise(error.code == .corruptEvent, "and as what it is: \(error)")
    }
    promise(view.flaw == nil, "what is handed out has no flaw")
    unsafe other.removeAll(keepingCapacity: true)
    unsafe event.appendJSONLine(to: &other)
    unsafe promise(line == other, "a view and its event write the same line")
    promise(view.hasSameContent(as: event), "and say the same")
    if isCanonical(record) {
      var again = ByteBuffer(capacity: record.byteCount)
      EventRecord.encode(event, into: &again)
      promise(again.bytes.isEqual(to: record), "one spelling only")
    }
  }

  /// A field that is not there has no bytes either. No writer leaves any, and a reader does not look.
  private static func isCanonical(_ record: RawSpan) -> Bool {
    let flags = record.loadUInt8(at: 1)
    return [10, 12, 14].enumerated().allSatisfy { bit, place in
      flags & (1 << UInt8(bit)) != 0 || record.loadUInt16(at: place) == 0
    }
  }

  static let seeds: [[UInt8]] = LineFuzz.events.map { event in
    var buffer = ByteBuffer()
    EventRecord.encode(event, into: &buffer)
    return [0] + buffer.copy()
  }
}

/// Lines of an import: what is read is written and read back the same.
enum LineFuzz {
  // Both `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var written: [UInt8] = []
  private nonisolated(unsafe) static var twice: [UInt8] = []
  private static let time = Timestamp(uncheckedSeconds: 1_750_000_000, nanoseconds: 0)

  static func run(_ input: RawSpan) {
    var start = 0
    for place in 0...input.byteCount where place == input.byteCount || input.loadUInt8(at: place) == 10 {
      for rule in [KindRule.dotted, .anyText] { check(input.extracting(start..<place), rule) }
      start = place + 1
    }
  }

  private static func check(_ line: RawSpan, _ rule: KindRule) {
    guard let event = read(line, rule) else { return }
    unsafe written.removeAll(keepingCapacity: true)
    unsafe event.appendJSONLine(to: &written)
    unsafe promise(
      written.last == 10 && !written.dropLast().contains { $0 == 10 || $0 == 13 }, "a line is one line")
    guard let again = unsafe read(written.span.rawBytes, rule) else {
      return promise(false, "what is written is read")
    }
    promise(again.createdAt == event.createdAt && again.turn == event.turn, "as the same numbers")
    promise(again.id == event.id && again.sessionID == event.sessionID, "and texts")
    promise(
      again.payload == event.payload
        || JSONText.haveEqualValues(again.payload.span.rawBytes, event.payload.span.rawBytes),
      "and payload")
    unsafe twice.removeAll(keepingCapacity: true)
    unsafe again.appendJSONLine(to: &twice)
    unsafe promise(written == twice, "and written the same again")
  }

  private static func read(_ line: RawSpan, _ rule: KindRule) -> Event? {
    do throws(EventError) {
      return try Event(jsonLine: line, kindRule: rule, defaultCreatedAt: time)
    } catch {
      return nil
    }
  }

  static let events: [Event] = [
    (#"{"n":[1,-2.5e3,true,null]}"#, "s"), (#""\ud83d\ude00é""#, nil), ("\u{0}", ""),
  ]
  .map { payload, session in
    Event(
      uncheckedID: "id", runID: "run\"é", turn: -1, kind: "test.event", actor: "actor",
      payload: Array(payload.utf8),
      createdAt: time, schemaVersion: 1, sessionID: session, modelProfile: session, modelID: nil,
      kindRule: .dotted)
  }

  static let seeds: [[UInt8]] = events.map { event in
    var line: [UInt8] = []
    event.appendJSONLine(to: &line, offset: 7)
    return line
  }
}
