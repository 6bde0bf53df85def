package import LogEngine
package import PlatformIO

/// The plainest index there is: every record's text, and for each segment's sidecar those texts behind each other.
package final class TextIndex: RecordIndex {
  private struct State: Sendable {
    /// The texts of each segment, by its first offset.
    var segments: [Offset: [String]] = [:]
    var last: Offset = 1
    var read = 0
    var restored = 0
  }

  private let state = Locked(State())

  package init() {}

  /// The texts by offset.
  package var texts: [Offset: String] {
    state.withLock { state in
      var texts: [Offset: String] = [:]
      for (first, segment) in state.segments {
        for (place, text) in segment.enumerated() {
          texts[Offset(first.rawValue + UInt64(place))] = text
        }
      }
      return texts
    }
  }

  /// How many records were read while the log was opened.
  package var recordsRead: Int { state.withLock { $0.read } }
  /// How many segments came from sidecars, in part or whole.
  package var segmentsRestored: Int { state.withLock { $0.restored } }

  package func append(_ text: String) { state.withLock { $0.segments[$0.last, default: []].append(text) } }

  package func prepare(toRestore bytes: StoredBytes) -> Bool { true }

  package func beginSegment(at first: Offset) {
    state.withLock { state in
      state.last = first
      state.segments[first] = []
    }
  }

  package func add(_ offset: Offset, _ record: RawSpan) throws(LogError) {
    append(TestLog.text(record))
    state.withLock { $0.read += 1 }
  }

  package func restoreSegment(_ bytes: StoredBytes, count: Int, isSealed: Bool) -> Bool {
    guard bytes.isSound else { return false }
    var texts: [String] = []
    var place = 0
    let whole = bytes.bytes
    while place + 4 <= whole.byteCount {
      let length = Int(whole.loadUInt32(at: place))
      place += 4
      guard place + length <= whole.byteCount else { return false }
      texts.append(TestLog.text(whole.extracting(place..<place + length)))
      place += length
    }
    guard texts.count == count else { return false }
    state.withLock { state in
      state.segments[state.last] = texts
      state.restored += 1
    }
    return true
  }

  package func encodeSegment(at first: Offset) -> StoredBytes? {
    guard let texts = state.withLock({ $0.segments[first] }), !texts.isEmpty else { return nil }
    var buffer = ByteBuffer()
    for text in texts {
      buffer.append(UInt32(text.utf8.count))
      buffer.append(text)
    }
    return StoredBytes(copying: buffer.bytes)
  }

  package func endSegment() {}

  package func moveSegment(at first: Offset, to bytes: StoredBytes) {}

  package func removeAll(below offset: Offset) {
    state.withLock { state in state.segments = state.segments.filter { $0.key >= offset } }
  }
}

extension TestLog {
  /// Opens a log with an index, which sidecars are kept for.
  package static func open(
    _ fileSystem: any FileSystem, index: TextIndex,
    environment: any Environment = SeededEnvironment(seed: 1), at path: String = TestLog.path,
    segmentSize: UInt64 = 16 << 10, _ change: (inout LogOptions) -> Void = { _ in }
  ) throws(LogError) -> SegmentedLog {
    var options = LogOptions()
    options.creation = .createIfMissing
    options.segmentSize = segmentSize
    change(&options)
    return try SegmentedLog.open(
      at: path, options: options, fileSystem: fileSystem, environment: environment, index: index)
  }

  /// As an application appends: what is stored goes into the index in the order of the log.
  package static func append(
    _ log: SegmentedLog, _ index: TextIndex, _ records: [String], durably: Bool? = nil
  ) throws(LogError) {
    var batch = RecordBatch()
    for record in records { try batch.append(record.utf8Span.span.rawBytes) }
    let pending = log.submit(batch, durably: durably) { stage, _ in
      guard case .stored = stage else { return }
      for record in records { index.append(record) }
    }
    _ = try log.outcome(of: pending).get()
  }
}
