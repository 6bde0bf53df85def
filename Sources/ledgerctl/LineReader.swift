internal import PlatformIO

/// Lines of a stream, in memory that depends on the longest line and not on the stream.
///
/// A line ends at a line feed; the last may do without. A byte order mark at the front is dropped. What a carriage
/// return is, is left to who reads the line.
struct LineReader: ~Copyable {
  enum Step {
    /// A line without its end, at these positions, which hold until the next `fill`.
    case line(Range<Int>)
    /// Nothing more to hand out before `fill`.
    case starved
    case end
  }

  static let chunkByteCount = 1 << 20

  let name: String
  /// The number of the line last handed out; the first is 1.
  private(set) var lineNumber: UInt64 = 0
  private(set) var bytesRead: UInt64 = 0
  private let stream: InputStream
  private let maximumLine: Int
  private var buffer = InputBuffer()
  /// Where to go on looking for a line's end.
  private var scanned = 0
  private var isAtFront = true
  private var isAtEnd = false

  init(_ stream: InputStream, maximumLine: Int) {
    self.stream = stream
    self.maximumLine = maximumLine
    name = stream.name
  }

  @_lifetime(borrow self)
  func bytes(_ range: Range<Int>) -> RawSpan { buffer.bytes(range) }

  mutating func step() throws(Failure) -> Step {
    if isAtFront {
      guard buffer.count >= 3 || isAtEnd else { return .starved }
      isAtFront = false
      dropByteOrderMark()
    }
    let start = buffer.start
    let end: Int
    if let lineFeed = buffer.firstLineFeed(from: max(scanned, start)) {
      end = lineFeed
    } else {
      scanned = buffer.end
      guard buffer.count <= maximumLine else { throw tooLong() }
      guard isAtEnd else { return .starved }
      guard buffer.count > 0 else { return .end }
      end = buffer.end
    }
    guard end - start <= maximumLine else { throw tooLong() }
    lineNumber += 1
    buffer.drop(to: min(end + 1, buffer.end))
    return .line(start..<end)
  }

  /// Reads once; it may wait for as long as the stream does.
  mutating func fill() throws(Failure) {
    let kept = scanned - min(buffer.start, scanned)
    do throws(FileSystemError) {
      let stream = stream
      let count = try buffer.fill(Self.chunkByteCount) { (space) throws(FileSystemError) in
        try stream.read(into: &space)
      }
      isAtEnd = count == 0
      bytesRead += UInt64(count)
    } catch {
      throw Failure(reading: name, error)
    }
    scanned = buffer.start + kept
  }

  private mutating func dropByteOrderMark() {
    let start = buffer.start
    guard buffer.count >= 3, buffer.byte(at: start) == 0xEF, buffer.byte(at: start + 1) == 0xBB,
      buffer.byte(at: start + 2) == 0xBF
    else { return }
    buffer.drop(to: start + 3)
  }

  private func tooLong() -> Failure {
    Failure(
      .badData,
      "\(name):\(lineNumber + 1): the line is longer than \(maximumLine) bytes; split the event, or keep its data elsewhere and refer to it"
    )
  }
}
