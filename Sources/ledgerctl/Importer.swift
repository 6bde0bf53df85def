internal import PlatformIO
internal import RunLedger

/// Feeds the lines of streams to a ledger.
struct Importer {
  /// How an import ended that did not fail.
  enum End: Equatable {
    case done
    case interrupted(signal: Int32)
  }

  /// A line holds a payload, and an envelope whose texts are limited.
  static let maximumLine = EventLimits.defaultPayloadBytes + 1 << 20
  /// Input that pauses this long is waited for only after what came before it is stored.
  private static let pauseMilliseconds: Int32 = 20
  /// How soon an interrupt is heeded while nothing comes in.
  private static let tickMilliseconds: Int32 = 100

  private var batch: ImportBatch
  private var progress: Progress
  /// The file and line last read.
  private(set) var place = "the start"

  init(_ batch: consuming ImportBatch, _ progress: Progress) {
    self.batch = batch
    self.progress = progress
  }

  var report: ImportReport { batch.report }

  /// Imports a stream, and then the files of these names. Whatever happens, the good lines read so far are stored.
  mutating func run(
    _ first: InputStream,
    _ more: ArraySlice<String>,
    _ open: (String) throws(Failure) -> InputStream
  ) throws(Failure) -> End {
    defer { progress.finish() }
    var end = End.done
    var failure: Failure?
    do throws(Failure) {
      end = try read(first)
      for file in more {
        guard case .done = end else { break }
        end = try read(open(file))
      }
    } catch {
      failure = error
    }
    try batch.commit()
    do throws(Failure) {
      try batch.finish()
    } catch {
      throw failure ?? error
    }
    if let failure { throw failure }
    return end
  }

  private mutating func read(_ stream: InputStream) throws(Failure) -> End {
    var reader = LineReader(stream, maximumLine: Self.maximumLine)
    while true {
      switch try reader.step() {
      case .line(let range):
        try batch.add(reader.bytes(range), stream.name, reader.lineNumber)
        if batch.isEmpty, let signal = Platform.interrupt {
          note(reader)
          return .interrupted(signal: signal)
        }
      case .starved:
        note(reader)
        if let signal = try waitForInput(stream) { return .interrupted(signal: signal) }
        try reader.fill()
      case .end:
        note(reader)
        // The same Ctrl-C may have ended who writes the input, so this end need not be the true one.
        return Platform.interrupt.map { .interrupted(signal: $0) } ?? .done
      }
    }
  }

  private mutating func note(_ reader: borrowing LineReader) {
    place = "\(reader.name):\(reader.lineNumber)"
    progress.show("\(place): \(batch.eventCount) events, \(reader.bytesRead >> 20) MiB")
  }

  /// Answers the signal that came instead of input. Nothing that was read waits with it for longer than a moment: who
  /// writes the input may be waiting for its acknowledgement.
  private mutating func waitForInput(_ stream: InputStream) throws(Failure) -> Int32? {
    if let signal = Platform.interrupt { return signal }
    if stream.isReady(withinMilliseconds: Self.pauseMilliseconds) { return nil }
    try batch.commit()
    while !stream.isReady(withinMilliseconds: Self.tickMilliseconds) {
      if let signal = Platform.interrupt { return signal }
    }
    return nil
  }
}
