package import PlatformIO

/// Reads a segment file for the scanner, with positional reads so that a bad sector is an error and not a signal.
///
/// Memory: one window, which grows to the largest batch in the file.
package struct SegmentScan: ~Copyable {
  let file: any LogFile
  let header: SegmentHeader
  private(set) var fileLength: UInt64
  package private(set) var scanner: SegmentScanner
  private var window = ByteBuffer()
  private var windowStart = SegmentHeader.dataStart

  package init(
    _ file: any LogFile, _ header: SegmentHeader, headerChecksum: UInt64
  ) throws(LogError) {
    self.file = file
    self.header = header
    fileLength = try Self.length(of: file)
    scanner = SegmentScanner(
      nonce: header.nonce, headerChecksum: headerChecksum, fileLength: fileLength)
  }

  /// As far as frames may stand in it: a longer file is no writer's, and its positions would not fit the indexes.
  private static func length(of file: any LogFile) throws(LogError) -> UInt64 {
    min(try onFile { () throws(FileSystemError) in try file.status().length }, LogLimits.segmentFileByteCount)
  }

  package enum Event: Equatable {
    case batch
    case sync
    case seal(Seal)
    case stopped
  }

  /// The next thing in the segment; the records of a batch go to `visit` first, each with its place and length.
  package mutating func next(_ visit: RecordVisitor) throws(LogError) -> Event {
    while true {
      // A copy, because the window is borrowed from the same structure.
      var advanced = scanner
      let step = advanced.next(window.bytes, at: windowStart)
      scanner = advanced
      switch step {
      case .needBytes(let end): try load(through: end)
      case .batch(let start, let end, let firstIndex, _):
        try deliver(from: start, to: end, firstIndex: firstIndex, visit)
        return .batch
      case .sync: return .sync
      case .seal(let seal): return .seal(seal)
      case .stopped: return .stopped
      case .newer(let what, let place): throw newer(what, place)
      }
    }
  }

  /// Goes on at `position`, as if what stands before it had been read.
  mutating func resume(at position: FilePosition, tally: SegmentTally, floor: FilePosition) {
    scanner.resume(at: position, nextIndex: tally.recordCount, tally: tally, floor: floor)
    window.truncate(to: 0)
    windowStart = position
  }

  mutating func takeSingleFrames(_ single: Bool = true) { scanner.takeSingleFrames(single) }

  enum Resync { case found, exhausted, budgetSpent }

  mutating func resync() throws(LogError) -> Resync {
    while true {
      var advanced = scanner
      let step = advanced.resync(window.bytes, at: windowStart)
      scanner = advanced
      switch step {
      case .needBytes(let end): try load(through: end)
      case .found: return .found
      case .exhausted: return .exhausted
      case .budgetSpent: return .budgetSpent
      case .newer(let what, let place): throw newer(what, place)
      }
    }
  }

  /// Up to `count` bytes of the file, fewer at its end.
  func bytes(at position: UInt64, count: Int) throws(LogError) -> ByteBuffer {
    var buffer = ByteBuffer(capacity: count)
    let file = file
    try onFile { () throws(FileSystemError) in
      try buffer.fill(count) { (space) throws(FileSystemError) in try file.read(into: &space, at: position) }
    }
    return buffer
  }

  /// The header of a frame that `next` has just passed.
  func frameHeader(at place: FilePosition) -> FrameHeader.Decoded {
    let local = Int(place.rawValue - windowStart.rawValue)
    return FrameHeader.decode(
      window.bytes.extracting(local..<local + FrameHeader.byteCount), at: place, nonce: header.nonce)
  }

  private func newer(_ what: String, _ place: FilePosition) -> LogError {
    LogError(
      .newerFormat, path: file.path, bytes: place.rawValue..<place.rawValue + UInt64(FrameHeader.byteCount),
      "holds \(what), which this version does not know; use the newer program that wrote it")
  }

  private func deliver(
    from start: FilePosition, to end: FilePosition, firstIndex: UInt32, _ visit: RecordVisitor
  ) throws(LogError) {
    let bytes = window.bytes
    var place = start
    var index = firstIndex
    while place < end {
      let local = Int(place.rawValue - windowStart.rawValue)
      let length = bytes.loadUInt32(at: local + 4)
      let body = local + FrameHeader.byteCount
      try visit(
        header.firstOffset.advanced(by: UInt64(index)), place, bytes.extracting(body..<body + Int(length)))
      place = place.advanced(by: FrameHeader.frameByteCount(bodyLength: UInt64(length)))
      index += 1
    }
  }

  /// Brings the window to hold everything from what the scanner still needs to `end`.
  private mutating func load(through end: FilePosition) throws(LogError) {
    let retained = scanner.retained
    let windowEnd = windowStart.advanced(by: UInt64(window.count))
    if retained > windowStart {
      if retained >= windowEnd {
        window.truncate(to: 0)
      } else {
        window.removeFirst(Int(retained.rawValue - windowStart.rawValue))
      }
      windowStart = retained
    }
    let loaded = windowStart.advanced(by: UInt64(window.count))
    let wanted = max(end.rawValue - loaded.rawValue, Chunk.byteCount)
    let count = Int(min(wanted, fileLength - min(loaded.rawValue, fileLength)))
    let file = file
    try onFile { () throws(FileSystemError) in
      try window.fill(count) { (buffer) throws(FileSystemError) in
        try file.read(into: &buffer, at: loaded.rawValue)
      }
    }
    if windowStart.advanced(by: UInt64(window.count)) < end {
      // Cut since: by a writer behind its seal, which a second look finds, or by somebody who damaged it.
      setLength(windowStart.rawValue + UInt64(window.count))
    }
  }

  private mutating func setLength(_ length: UInt64) {
    fileLength = length
    scanner.setFileLength(length)
  }

  // MARK: The end of the file

  /// How much is looked through at once for a byte that is not zero: it stays in the processor's cache.
  private static let zerosByteCount: UInt64 = 256 << 10

  /// One past the last byte from `start` on that is not zero.
  static func lastNonzero(
    in file: any LogFile, from start: FilePosition, fileLength: UInt64
  ) throws(LogError) -> FilePosition? {
    var found: FilePosition?
    var place = start.rawValue
    var buffer = ByteBuffer()
    try onFile { () throws(FileSystemError) in
      while place < fileLength, let data = try file.nextData(from: place), data < fileLength {
        buffer.truncate(to: 0)
        // To a multiple of the chunk's size: the rest of a page that was read in part would count as data, and so on.
        let end = min((data / zerosByteCount + 1) * zerosByteCount, fileLength)
        let count = Int(end - data)
        try buffer.fill(count) { (space) throws(FileSystemError) in try file.read(into: &space, at: data) }
        if let last = buffer.bytes.lastNonzeroIndex { found = FilePosition(data + UInt64(last) + 1) }
        place = end
      }
    }
    return found
  }

  /// Forgets what was read behind `position`, which a writer may have filled or cut since.
  mutating func refresh() throws(LogError) {
    setLength(try Self.length(of: file))
    window.truncate(to: 0)
    windowStart = scanner.position
  }

  /// Scans on behind the last complete batch and gathers what the verdict needs, then returns to that place.
  package mutating func tailFacts(isSealed: Bool) throws(LogError) -> TailFacts {
    let place = scanner
    defer {
      scanner = place
      window.truncate(to: 0)
      windowStart = place.position
    }
    var facts = TailFacts(
      end: scanner.position, nextIndex: scanner.nextIndex, floor: scanner.floor, isSealed: isSealed,
      dataEnd: try Self.lastNonzero(in: file, from: scanner.position, fileLength: fileLength)
        ?? scanner.position,
      fileLength: fileLength, preallocated: header.preallocated, capacity: header.capacity)
    if isSealed || facts.dataEnd == facts.end { return facts }
    scanner.endSearch(at: facts.dataEnd)
    let bad = scanner.stoppedAt
    search: while true {
      switch try resync() {
      case .exhausted: break search
      case .budgetSpent:
        facts.searchWasCut = true
        break search
      case .found:
        if !facts.hasSoundFrameBehind {
          facts.hasSoundFrameBehind = true
          facts.showsTear = try gapShowsTear(from: bad, to: scanner.position)
        }
        walk: while true {
          switch try next({ _, _, _ in }) {
          case .batch, .sync: continue
          case .stopped: break walk
          case .seal: break walk
          }
        }
      }
    }
    facts.floor = scanner.floor
    facts.nextIndex = scanner.nextIndex
    return facts
  }

  private func gapShowsTear(from start: FilePosition, to end: FilePosition) throws(LogError) -> Bool {
    var isTorn = false
    try onFile { () throws(FileSystemError) in
      try file.forEachChunk(from: start, to: end, mayEndBefore: true) {
        (bytes, place) throws(FileSystemError) in
        isTorn = isTorn || TearEvidence.isTorn(bytes, at: place, isBeginning: place == start)
      }
    }
    return isTorn
  }
}

/// Receives a record's offset, its frame's place, and its body. It may be called for a log that turns out damaged later.
package typealias RecordVisitor = (Offset, FilePosition, RawSpan) throws(LogError) -> Void

/// Runs file operations and turns their errors into the log's.
@discardableResult
func onFile<T: ~Copyable>(_ body: () throws(FileSystemError) -> T) throws(LogError) -> T {
  do throws(FileSystemError) {
    return try body()
  } catch {
    throw LogError(error)
  }
}
