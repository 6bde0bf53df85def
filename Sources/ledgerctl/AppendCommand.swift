internal import LogEngine
internal import PlatformIO
internal import RunLedger

extension Command {
  static let append = Command(
    name: "append",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "stores one event",
    options: [
      .value("--run", "RUN", "the run it belongs to (required)"),
      .value("--kind", "KIND", "what sort of event it is, such as clue.found (required)"),
      .value("--actor", "ACTOR", "who emitted it (required)"),
      .value("--payload", "JSON", "its data, any JSON value; - reads it from standard input (required)"),
      .value("--turn", "N", "the logical counter; 0 unless given"),
      .value("--session", "SESSION", "the session it belongs to"),
      .value("--model-profile", "PROFILE", "the profile the acting model ran under"),
      .value("--model", "MODEL", "the acting model"),
      .value("--id", "ID", "its own name, unique in the ledger; a random UUID unless given"),
      .value("--expect-last", "N", "store it only if N is the ledger's latest offset"),
      .sync,
    ],
    notes: """
      Prints {"outcome":"appended"|"duplicate","offset":N,"id":"…"}. An id that is stored with the same content is a
      duplicate, whatever --expect-last says; with other content it is a conflict.
      """
  ) { (invocation, console) throws(Failure) in
    var options = LedgerOptions()
    options.syncPolicy = try invocation.syncPolicy()
    let expected = try invocation.exactOffset("--expect-last")
    let draft = try EventDraft(invocation)
    return try invocation.withWriter(options) { (ledger) throws(Failure) in
      let event = try onLedger { () throws(LedgerError) in try draft.event(of: ledger) }
      try check(expected, ledger, event.id)
      let receipt = try onLedger { () throws(LedgerError) in try ledger.append(event) }
      console.output.add(
        JSONLine { line in
          line.member("outcome", receipt.outcome == .appended ? "appended" : "duplicate")
          line.member("offset", receipt.offset)
          line.member("id", event.id)
        }
      )
      return .done
    }
  }

  /// The ledger is this process's alone, so its end stays where it is until the append.
  private static func check(_ expected: Offset?, _ ledger: Ledger, _ id: String) throws(Failure) {
    guard let expected, expected != ledger.latestOffset else { return }
    // A retry of what was stored finds the end moved by itself.
    let isStored = try onLedger { () throws(LedgerError) in
      try ledger.withEvent(id: id) { _ in true } ?? false
    }
    guard !isStored else { return }
    throw Failure(
      .badData,
      "the ledger's latest offset is \(ledger.latestOffset) and not \(expected), so nothing was stored; read what came after, then decide anew"
    )
  }
}

/// An event's fields from the command line, read before the ledger is locked.
private struct EventDraft {
  let run, kind, actor, payload: String
  let turn: Int64
  let id, session, profile, model: String?

  init(_ invocation: Invocation) throws(Failure) {
    run = try invocation.requiredText("--run")
    kind = try invocation.requiredText("--kind")
    actor = try invocation.requiredText("--actor")
    turn = try invocation.integer("--turn") ?? 0
    session = invocation.text("--session")
    profile = invocation.text("--model-profile")
    model = invocation.text("--model")
    id = invocation.text("--id")
    let text = try invocation.requiredText("--payload")
    payload = try Self.payload(text == "-" ? try Self.standardInput() : Array(text.utf8))
  }

  func event(of ledger: Ledger) throws(LedgerError) -> Event {
    try ledger.makeEvent(
      id: id, run: run, turn: turn, kind: kind, actor: actor, payload: payload, session: session,
      modelProfile: profile, model: model)
  }

  /// The text of one JSON value, without the whitespace around it.
  private static func payload(_ text: [UInt8]) throws(Failure) -> String {
    let start = text.firstIndex { !isWhitespace($0) } ?? text.count
    let end = (text.lastIndex { !isWhitespace($0) } ?? -1) + 1
    let front = Array(#"{"id":"-","run_id":"-","turn":0,"kind":"-","actor":"-","payload":"#.utf8)
    let line = front + text + [UInt8(ascii: "}")]
    let payload: [UInt8]
    do throws(EventError) {
      payload = try Event(jsonLine: line.bytes, kindRule: .anyText, defaultCreatedAt: .minimum).payload
    } catch {
      if error.code == .payloadTooLarge { throw Failure(.badData, error.description) }
      throw notJSON(at: min(max((error.column ?? 1) - front.count, 1), text.count + 1))
    }
    // A text such as `1,"turn":2` is no value, though it makes a good line.
    guard payload.count == end - start else { throw notJSON(at: start + payload.count + 1) }
    return String(decoding: payload, as: UTF8.self)
  }

  private static func isWhitespace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D].contains(byte) }

  private static func notJSON(at byte: Int) -> Failure {
    Failure(
      .badData,
      "the payload is no JSON value at byte \(byte); give one, quoted for the shell, such as --payload '{\"n\":7}'"
    )
  }

  private static func standardInput() throws(Failure) -> [UInt8] {
    let stream = InputStream.standardInput()
    var buffer = InputBuffer()
    var isAtEnd = false
    while !isAtEnd {
      do throws(FileSystemError) {
        isAtEnd =
          try buffer.fill(LineReader.chunkByteCount) { (space) throws(FileSystemError) in
            try stream.read(into: &space)
          } == 0
      } catch {
        throw Failure(reading: stream.name, error)
      }
      guard buffer.count <= EventLimits.defaultPayloadBytes + LineReader.chunkByteCount else {
        throw Failure(
          .badData,
          "the payload on standard input is larger than \(EventLimits.defaultPayloadBytes) bytes; keep the data elsewhere and refer to it"
        )
      }
    }
    return buffer.copy()
  }
}
