public import RunLedger

/// A digest of rows in order, to tell whether two engines hold the same: of each event its id, its run and the bytes of
/// its payload. Fast and without any defence: it looks for accidents.
public struct RowDigest {
  private var state: UInt64 = 0x243F_6A88_85A3_08D3
  /// How many rows went in.
  public private(set) var count = 0

  /// Of no rows.
  public init() {}

  /// The digest of the rows so far.
  public var value: UInt64 { SplitMix64.mix(state ^ UInt64(count)) }

  /// Adds a row. Cost: O(length).
  public mutating func add(id: RawSpan, run: RawSpan, payload: RawSpan) {
    add(id)
    add(run)
    add(payload)
    count += 1
  }

  /// What a row adds to a sum that does not tell in which order rows came.
  public static func unordered(id: RawSpan, run: RawSpan, payload: RawSpan) -> UInt64 {
    var digest = RowDigest()
    digest.add(id: id, run: run, payload: payload)
    return digest.value
  }

  /// What an event's row adds to such a sum.
  public static func unordered(_ event: Event) -> UInt64 {
    var digest = RowDigest()
    digest.add(event)
    return digest.value
  }

  /// Adds an event's row.
  public mutating func add(_ event: Event) {
    unsafe add(
      id: event.id.utf8Span.span.bytes,
      run: event.runID.utf8Span.span.bytes,
      payload: event.payload.span.bytes
    )
  }

  private mutating func add(_ bytes: RawSpan) {
    var hash = state ^ UInt64(bytes.byteCount)
    var place = 0
    // The loads are checked against the span's end.
    while place + 8 <= bytes.byteCount {
      hash = Self.step(hash, unsafe bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt64.self))
      place += 8
    }
    while place < bytes.byteCount {
      hash = Self.step(hash, UInt64(unsafe bytes.unsafeLoad(fromByteOffset: place, as: UInt8.self)))
      place += 1
    }
    state = hash
  }

  private static func step(_ hash: UInt64, _ word: UInt64) -> UInt64 {
    let product = (hash ^ UInt64(littleEndian: word)) &* 0x9E37_79B9_7F4A_7C15
    return product ^ (product >> 29)
  }
}
