internal import LogEngine

extension Event {
  /// Appends the event as one line of JSON, line feed included, that
  /// ``init(jsonLine:kindRule:defaultCreatedAt:maximumPayload:)`` reads back.
  ///
  /// All members are there, in a fixed order, null where the event has nothing; `offset` comes first if
  /// given. Strings are escaped no more than JSON demands. The payload keeps its text, except that line
  /// breaks between its tokens become spaces; a payload that is not JSON is written as `payload_base64`.
  ///
  /// - Parameters:
  ///   - output: Grows by the line; what it holds stays.
  ///   - offset: The event's offset in its ledger, if the line is to say it.
  /// - Complexity: O(size of the event); allocates only what `output` needs to grow.
  public func appendJSONLine(to output: inout [UInt8], offset: UInt64? = nil) {
    let session = sessionID ?? ""
    let profile = modelProfile ?? ""
    let model = modelID ?? ""
    EventLineWriter.append(
      offset: offset,
      id: id.utf8Span.span.rawBytes,
      runID: runID.utf8Span.span.rawBytes,
      turn: turn,
      kind: kind.utf8Span.span.rawBytes,
      actor: actor.utf8Span.span.rawBytes,
      payload: payload.span.rawBytes,
      createdAt: createdAt,
      schemaVersion: schemaVersion,
      sessionID: sessionID == nil ? nil : session.utf8Span.span.rawBytes,
      modelProfile: modelProfile == nil ? nil : profile.utf8Span.span.rawBytes,
      modelID: modelID == nil ? nil : model.utf8Span.span.rawBytes,
      to: &output
    )
  }
}

/// Writes event lines from borrowed fields.
package enum EventLineWriter {
  /// Appends one event's line, as ``Event/appendJSONLine(to:offset:)`` describes it. Texts must be UTF-8.
  package static func append(
    offset: UInt64?,
    id: RawSpan,
    runID: RawSpan,
    turn: Int64,
    kind: RawSpan,
    actor: RawSpan,
    payload: RawSpan,
    createdAt: Timestamp,
    schemaVersion: Int64,
    sessionID: RawSpan?,
    modelProfile: RawSpan?,
    modelID: RawSpan?,
    to output: inout [UInt8]
  ) {
    if let offset {
      output.append("{\"offset\":")
      appendDigits(offset, to: &output)
      output.append(",\"id\":")
    } else {
      output.append("{\"id\":")
    }
    appendString(id, to: &output)
    output.append(",\"run_id\":")
    appendString(runID, to: &output)
    output.append(",\"turn\":")
    appendInteger(turn, to: &output)
    output.append(",\"kind\":")
    appendString(kind, to: &output)
    output.append(",\"actor\":")
    appendString(actor, to: &output)
    if JSONText.isValid(payload) {
      output.append(",\"payload\":")
      JSONText.copyOnOneLine(payload, into: &output)
    } else {
      output.append(",\"payload_base64\":\"")
      Base64.append(payload, to: &output)
      output.append(UInt8(ascii: "\""))
    }
    output.append(",\"created_at\":\"")
    createdAt.append(to: &output)
    output.append("\",\"schema_version\":")
    appendInteger(schemaVersion, to: &output)
    output.append(",\"session_id\":")
    appendString(sessionID, to: &output)
    output.append(",\"model_profile\":")
    appendString(modelProfile, to: &output)
    output.append(",\"model_id\":")
    appendString(modelID, to: &output)
    output.append("}\n")
  }

  private static func appendString(_ text: RawSpan?, to output: inout [UInt8]) {
    if let text {
      appendString(text, to: &output)
    } else {
      output.append("null")
    }
  }

  /// Appends a JSON string of UTF-8 text, with the fewest escapes.
  private static func appendString(_ text: RawSpan, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    var start = 0
    var index = 0
    while index < text.byteCount {
      if text.byteCount - index >= 8, JSONScanner.specialBytes(text.word(at: index)) == 0 {
        index += 8
        continue
      }
      let byte = text.byte(at: index)
      if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        output.append(text, start..<index)
        appendEscape(byte, to: &output)
        start = index + 1
      }
      index += 1
    }
    output.append(text, start..<text.byteCount)
    output.append(UInt8(ascii: "\""))
  }

  private static func appendEscape(_ byte: UInt8, to output: inout [UInt8]) {
    switch byte {
    case UInt8(ascii: "\""): output.append("\\\"")
    case UInt8(ascii: "\\"): output.append("\\\\")
    case 0x08: output.append("\\b")
    case 0x0C: output.append("\\f")
    case 0x0A: output.append("\\n")
    case 0x0D: output.append("\\r")
    case 0x09: output.append("\\t")
    default:
      let hexDigits: StaticString = "0123456789abcdef"
      output.append("\\u00")
      output.append(hexDigits.byte(at: Int(byte >> 4)))
      output.append(hexDigits.byte(at: Int(byte & 15)))
    }
  }

  private static func appendInteger(_ value: Int64, to output: inout [UInt8]) {
    if value < 0 { output.append(UInt8(ascii: "-")) }
    appendDigits(value.magnitude, to: &output)
  }

  private static func appendDigits(_ value: UInt64, to output: inout [UInt8]) {
    // 2⁶⁴ has twenty digits.
    var digits = InlineArray<20, UInt8>(repeating: 0)
    var first = 20
    var rest = value
    repeat {
      first -= 1
      digits[first] = UInt8(ascii: "0") + UInt8(rest % 10)
      rest /= 10
    } while rest > 0
    for index in first..<20 { output.append(digits[index]) }
  }
}
