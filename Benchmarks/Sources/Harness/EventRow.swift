internal import LogEngine
internal import RunLedger

/// An event as bytes, for engines that store bytes: lengths and numbers, then texts, then the payload.
enum EventRow {
  static let fixedByteCount = 48

  private static let (payloadPlace, turnPlace, timePlace, schemaPlace) = (16, 20, 28, 40)
  private static let kindNumber = 2
  private static let actorNumber = 3

  static func append(_ event: Event, to bytes: inout [UInt8]) {
    let start = bytes.count
    let texts = [
      event.id, event.runID, event.kind, event.actor, event.sessionID, event.modelProfile, event.modelID,
    ]
    bytes += repeatElement(0, count: fixedByteCount)
    for (number, text) in texts.enumerated() {
      // One more than its length, so that a missing text is told from an empty one.
      store(text.map { UInt16($0.utf8.count + 1) } ?? 0, at: start + 2 * number, in: &bytes)
      if let text { bytes += text.utf8 }
    }
    store(UInt32(event.payload.count), at: start + payloadPlace, in: &bytes)
    store(event.turn, at: start + turnPlace, in: &bytes)
    store(event.createdAt.seconds, at: start + timePlace, in: &bytes)
    store(event.createdAt.nanoseconds, at: start + timePlace + 8, in: &bytes)
    store(event.schemaVersion, at: start + schemaPlace, in: &bytes)
    bytes += event.payload
  }

  private static func store(_ value: some FixedWidthInteger, at place: Int, in bytes: inout [UInt8]) {
    for byte in 0..<value.bitWidth / 8 {
      bytes[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * byte))
    }
  }

  // MARK: Reading

  /// Finds every field of a row, as whoever makes an event of it does.
  static func read(_ row: RawSpan, _ body: RowBody) {
    let idEnd = fixedByteCount + textLength(0, of: row)
    let runEnd = idEnd + textLength(1, of: row)
    var end = runEnd
    for number in 2..<7 { end += textLength(number, of: row) }
    body(
      row.extracting(fixedByteCount..<idEnd), row.extracting(idEnd..<runEnd),
      row.extracting(end..<end + Int(row.load(payloadPlace, as: UInt32.self))))
  }

  static func field(_ field: Field, of row: RawSpan, equals value: String) -> Bool {
    let number = field == .kind ? kindNumber : actorNumber
    var start = fixedByteCount
    for earlier in 0..<number { start += textLength(earlier, of: row) }
    return row.extracting(start..<start + textLength(number, of: row)).equals(value)
  }

  /// A row's length, of bytes that begin with it; nil if it is not all there.
  static func byteCount(at row: RawSpan) -> Int? {
    guard row.byteCount >= fixedByteCount else { return nil }
    let length = (0..<7).reduce(fixedByteCount + Int(row.load(payloadPlace, as: UInt32.self))) {
      $0 + textLength($1, of: row)
    }
    return length <= row.byteCount ? length : nil
  }

  private static func textLength(_ number: Int, of row: RawSpan) -> Int {
    max(0, Int(row.load(2 * number, as: UInt16.self)) - 1)
  }
}

/// Events and, one behind the other, their rows, laid out before a clock starts.
struct EncodedRows {
  let events: [Event]
  private(set) var bytes: [UInt8] = []
  private var starts: [Int] = []

  /// So many zero bytes go before each row, and it is padded to a multiple of eight if there are any.
  init(_ events: [Event] = [], headerByteCount: Int = 0) {
    self.events = events
    starts.reserveCapacity(events.count + 1)
    for event in events {
      starts.append(bytes.count)
      bytes += repeatElement(0, count: headerByteCount)
      EventRow.append(event, to: &bytes)
      if headerByteCount > 0 { bytes += repeatElement(0, count: -bytes.count & 7) }
    }
    starts.append(bytes.count)
  }

  /// Where rows lie in `bytes`.
  func place(of range: Range<Int>) -> Range<Int> { starts[range.lowerBound]..<starts[range.upperBound] }
}

extension RawSpan {
  func load<T: FixedWidthInteger & BitwiseCopyable>(_ place: Int, as type: T.Type) -> T {
    // Checked against the span's end.
    T(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: place, as: T.self))
  }

  func equals(_ text: String) -> Bool {
    let other = unsafe text.utf8Span.span.bytes
    return equals(other)
  }

  func equals(_ other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    var place = 0
    while place + 8 <= byteCount {
      guard load(place, as: UInt64.self) == other.load(place, as: UInt64.self) else { return false }
      place += 8
    }
    while place < byteCount {
      guard load(place, as: UInt8.self) == other.load(place, as: UInt8.self) else { return false }
      place += 1
    }
    return true
  }
}
