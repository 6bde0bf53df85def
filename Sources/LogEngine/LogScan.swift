internal import PlatformIO

/// Reads a whole log from its files: which segments it has, whether they follow on each other, what they hold, and how
/// the last one ends. Opening, read-only opening and verifying all see a log through this one reading; it changes nothing.
struct LogScan: ~Copyable {
  /// Something that does not hold what was written there, and how to say so when opening.
  struct Finding {
    var damage: Damage
    var error: LogError
    /// The segment that cannot say which records it held.
    var silent: SegmentNumber?
  }

  /// A segment that was read through.
  struct Segment {
    var number: SegmentNumber
    var header: SegmentHeader
    /// For reading records later; nil if nobody will.
    var source: SegmentSource?
    var positions: PositionTable
    /// The end of the last complete batch, or of the seal.
    var end: FilePosition
    var tally: SegmentTally
    var isSealed: Bool
    /// Nothing was written since the log was last quiet.
    var endsInSyncFrame = false
    /// As far as a sidecar has it, so that it need not be written again.
    var sidecarEnd: FilePosition?
    /// Read to its seal, for the application's index.
    var lacksSidecar = false
    var nextOffset: Offset { header.firstOffset.advanced(by: UInt64(positions.count)) }
  }

  let directory: LogDirectory
  /// May a writer be at work meanwhile? Then what the end looks like is read again before it is believed.
  let besideWriter: Bool
  /// Are records to be read later? Then each segment stays mapped, or at hand as an open file.
  let keepsSources: Bool
  /// What sidecars are read for, and gets the records that no sidecar has; without one everything is read.
  let index: (any RecordIndex)?
  var findings: [Finding] = []
  /// Damage that costs nothing yet: one of two header copies.
  var blemishes: [Damage] = []
  var segments: [Segment] = []
  var tail: TailFacts?
  /// The unsynced end of an interrupted write.
  var torn: (file: String, bytes: Range<UInt64>)?
  var listing = LogDirectory.Listing()
  /// Segments wholly below `logStart`: not part of the log any more, and never read.
  var garbage: [SegmentNumber] = []
  /// How many records were read.
  var recordsRead: UInt64 = 0
  /// By the newest header's word.
  var logStart: Offset?
  /// Segments that do not fit together may hold an offset twice; nobody is told of it a second time.
  var nextToVisit = Offset.zero
  /// Sidecars that were read ahead.
  var sidecars: [SegmentNumber: Sidecar] = [:]

  init(
    _ directory: LogDirectory, besideWriter: Bool, keepsSources: Bool, index: (any RecordIndex)? = nil
  ) {
    self.directory = directory
    self.besideWriter = besideWriter
    self.keepsSources = keepsSources
    self.index = index
  }

  /// Reads everything. `visit` gets each record once, in offset order. Beside a writer it throws `.changedMeanwhile` if
  /// that removed segments in the meantime.
  mutating func run(_ visit: (Offset, RawSpan) throws(LogError) -> Void) throws(LogError) {
    listing = try directory.list()
    var pending = try chain(from: listing.segments)
    try readAll(&pending, visit)
    nameLostOffsets()
    try confirm()
  }

  func confirm() throws(LogError) {
    // What a reset or retention leaves of the listing looks like damage.
    guard besideWriter, !findings.isEmpty, let last = listing.segments.last else { return }
    if try directory.list().segments.filter({ $0 <= last }) != listing.segments { throw changedMeanwhile() }
  }

  func changedMeanwhile() -> LogError {
    LogError(
      .changedMeanwhile, path: directory.path,
      "a writer dropped segments while they were being read; open the log again")
  }

  /// Opens something that was listed. Beside a writer, what is gone by now was dropped.
  func listed<T>(_ open: () throws(LogError) -> T) throws(LogError) -> T {
    do throws(LogError) {
      return try open()
    } catch {
      throw besideWriter && error.cause?.code == .notFound ? changedMeanwhile() : error
    }
  }

  /// The newest is popped last: `pending` is in falling order.
  mutating func readAll(
    _ pending: inout [LogDirectory.OpenedSegment], _ visit: (Offset, RawSpan) throws(LogError) -> Void
  ) throws(LogError) {
    if let index {
      sidecars = Sidecar.readAll(for: pending.compactMap(\.header), in: directory)
      _ = sidecars.sorted { $0.key < $1.key }.contains { index.prepare(toRestore: $0.value.index) }
    }
    while let opened = pending.popLast() {
      guard let header = opened.header else { continue }
      checkContinuity(to: opened.number, header)
      try readSegment(opened, header, &pending, visit)
    }
  }

  mutating func readSegment(
    _ opened: LogDirectory.OpenedSegment, _ header: SegmentHeader,
    _ pending: inout [LogDirectory.OpenedSegment], _ visit: (Offset, RawSpan) throws(LogError) -> Void
  ) throws(LogError) {
    // Only one file is open at a time: a log may have more segments than a process may have descriptors.
    let file = try listed { () throws(LogError) in try directory.openFile(opened.number, .readOnly) }
    // The newest may have gone, empty, on a full disk, and its number to another since its header was read.
    if besideWriter, pending.isEmpty, let now = try directory.openSegment(opened.number, in: file).header,
      now.nonce != header.nonce
    {
      throw changedMeanwhile()
    }
    var scan = try SegmentScan(file, header, headerChecksum: opened.headerChecksum)
    var segment = Segment(
      number: opened.number, header: header, source: keepsSources ? .file(file) : nil,
      positions: PositionTable(),
      end: SegmentHeader.dataStart, tally: SegmentTally(headerChecksum: opened.headerChecksum),
      isSealed: false)
    index?.beginSegment(at: header.firstOffset)
    try restore(&segment, &scan, isLast: pending.isEmpty)
    if !segment.isSealed { try read(&scan, into: &segment, visit, isLast: pending.isEmpty) }
    if pending.isEmpty, besideWriter {
      // The writer may have rolled since the listing; then this segment is sealed by now.
      pending = try successors(of: opened.number)
      if !pending.isEmpty, !segment.isSealed {
        try scan.refresh()
        try read(&scan, into: &segment, visit, isLast: false)
      }
    }
    if pending.isEmpty {
      try judgeTail(&scan, &segment, visit)
    } else if !segment.isSealed {
      reportMissingSeal(scan.scanner.position, in: segment, upTo: pending.last?.header?.firstOffset)
    }
    if segment.isSealed {
      if keepsSources { segment.source = try SegmentSource.sealed(file, length: segment.end.rawValue) }
      if let index, segment.sidecarEnd != segment.end {
        index.endSegment()
        // At once, for bytes take less memory.
        segment.lacksSidecar = index.encodeSegment(at: header.firstOffset) != nil
      }
    }
    segments.append(segment)
  }

  /// The segments that a writer has added since the listing, newest first.
  private mutating func successors(
    of number: SegmentNumber
  ) throws(LogError) -> [LogDirectory.OpenedSegment] {
    let numbers = try directory.list().segments.filter { $0 > number }
    var added: [LogDirectory.OpenedSegment] = []
    for number in numbers.reversed() {
      let opened = try listed { () throws(LogError) in try directory.openSegment(number) }
      if let header = opened.header, header.logStart != logStart { throw changedMeanwhile() }
      added.append(opened)
    }
    listing.segments += numbers
    return added
  }

  // MARK: What a segment holds

  /// Reads on to the seal or to where nothing follows. Damage in a segment that has a successor is passed over.
  mutating func read(
    _ scan: inout SegmentScan, into segment: inout Segment,
    _ visit: (Offset, RawSpan) throws(LogError) -> Void,
    isLast: Bool
  ) throws(LogError) {
    while true {
      switch try advance(&scan, &segment, visit) {
      case .batch, .sync: continue
      case .seal(let seal):
        segment.isSealed = true
        segment.tally = scan.scanner.tally
        // Past damage only the seal knows what the digest was, and the successor must continue that.
        if scan.scanner.hasResynced { segment.tally.digest = seal.digest }
        try checkSeal(seal, &scan, segment.header, isLast: isLast)
        return
      case .stopped:
        segment.tally = scan.scanner.tally
        if isLast { return }
        let start = scan.scanner.stoppedAt.rawValue
        guard start == scan.scanner.position.rawValue else {
          scan.takeSingleFrames()
          continue
        }
        let lostFrom = scan.scanner.nextIndex
        guard case .found = try scan.resync() else { return }
        segment.positions.appendLost(upTo: Int(scan.scanner.nextIndex))
        add(
          .frame, .damaged, segment.number, start..<scan.scanner.position.rawValue,
          offsets(lostFrom..<scan.scanner.nextIndex, segment.header),
          "a sealed segment is damaged; restore it from a copy, or salvage")
      }
    }
  }

  /// The next thing in the segment, with the records of a batch entered and visited.
  mutating func advance(
    _ scan: inout SegmentScan, _ segment: inout Segment, _ visit: (Offset, RawSpan) throws(LogError) -> Void
  ) throws(LogError) -> SegmentScan.Event {
    let first = segment.header.firstOffset.rawValue
    // Out of the segment while the closure has them, so that nothing is copied.
    var positions = segment.positions
    segment.positions = PositionTable()
    defer { segment.positions = positions }
    var next = nextToVisit
    var visited: UInt64 = 0
    defer {
      nextToVisit = next
      recordsRead += visited
    }
    let event = try scan.next { (offset, place, body) throws(LogError) in
      positions.appendLost(upTo: Int(offset.rawValue - first))
      positions.append(place)
      guard offset >= next else { return }
      next = offset.next
      visited += 1
      try visit(offset, body)
    }
    guard event != .stopped else { return event }
    segment.end = scan.scanner.position
    segment.endsInSyncFrame = event == .sync
    return event
  }

  private mutating func checkSeal(
    _ seal: Seal, _ scan: inout SegmentScan, _ header: SegmentHeader, isLast: Bool
  ) throws(LogError) {
    let tally = scan.scanner.tally
    let stated = Seal(tally, firstOffset: header.firstOffset)
    let end = scan.scanner.position
    if !scan.scanner.hasResynced, seal != stated {
      add(
        .seal, .damaged, header.number, end.rawValue - Seal.frameByteCount..<end.rawValue, 0..<0,
        "the seal does not fit the segment; restore the segment from a copy, or salvage")
    }
    guard !isLast else { return }
    if let last = try SegmentScan.lastNonzero(in: scan.file, from: end, fileLength: scan.fileLength) {
      add(
        .seal, .damaged, header.number, end.rawValue..<last.rawValue, 0..<0,
        "bytes follow the segment's seal; restore the segment from a copy, or salvage")
    }
  }

  private mutating func reportMissingSeal(
    _ start: FilePosition, in segment: Segment, upTo next: Offset?
  ) {
    let lost = segment.nextOffset..<max(next ?? segment.nextOffset, segment.nextOffset)
    add(
      lost.isEmpty ? .seal : .frame, .damaged, segment.number,
      start.rawValue..<max(start.rawValue, segment.header.preallocated), lost,
      "a segment with a successor has no seal; restore it from a copy, or salvage")
  }

  func offsets(_ indexes: Range<UInt32>, _ header: SegmentHeader) -> Range<Offset> {
    header.firstOffset.advanced(
      by: UInt64(indexes.lowerBound))..<header.firstOffset.advanced(
        by: UInt64(indexes.upperBound))
  }

  // MARK: Findings

  mutating func add(
    _ kind: Damage.Kind, _ code: LogError.Code, _ number: SegmentNumber, _ bytes: Range<UInt64>,
    _ offsets: Range<Offset>, _ detail: String, isSilent: Bool = false
  ) {
    let name = LogDirectory.name(of: number)
    findings.append(
      Finding(
        damage: Damage(kind: kind, file: name, bytes: bytes, offsets: offsets),
        error: LogError(
          code, path: directory.path(of: name), bytes: bytes.isEmpty ? nil : bytes,
          offsets: offsets.isEmpty ? nil : offsets, detail),
        silent: isSilent ? number : nil))
  }
}

extension LogScan.Finding {
  mutating func lose(_ offsets: Range<Offset>) {
    damage = Damage(kind: damage.kind, file: damage.file, bytes: damage.bytes, offsets: offsets)
    error = LogError(
      error.code, path: error.path, bytes: error.bytes, offsets: offsets, error.detail, cause: error.cause)
  }
}
