internal import PlatformIO
internal import Synchronization

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
    /// The application's index of a segment that was read to its seal.
    var index: StoredBytes?
    var readableSource: SegmentSource {
      guard let source else { preconditionFailure("an opening keeps what it reads") }
      return source
    }
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
  private(set) var blemishes: [Damage] = []
  private(set) var segments: [Segment] = []
  var tail: TailFacts?
  /// The unsynced end of an interrupted write.
  var torn: (file: String, bytes: Range<UInt64>)?
  private(set) var listing = LogDirectory.Listing()
  /// Segments wholly below `logStart`: not part of the log any more, and never read.
  private(set) var garbage: [SegmentNumber] = []
  /// How many records were read.
  private(set) var recordsRead: UInt64 = 0
  /// By the newest header's word.
  private var logStart: Offset?
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

  /// As ``run(_:)``, but all segments but the newest are read by several threads, each telling of its own records in order.
  /// `progress` gets how many bytes of how many were read.
  mutating func run(
    threads: Int, progress: @escaping @Sendable (UInt64, UInt64) -> Void,
    _ visit: @escaping @Sendable (Offset, RawSpan) -> Void
  ) throws(LogError) {
    precondition(!keepsSources && index == nil, "segments that are read at the same time are only checked")
    listing = try directory.list()
    var pending = try chain(from: listing.segments)
    guard let newest = pending.first else { return try confirm() }
    let earlier = Array(pending.dropFirst().reversed())
    var byteCounts: [UInt64] = []
    for opened in earlier + [newest] { byteCounts.append(try length(of: opened)) }
    let (sizes, total) = (byteCounts, byteCounts.reduce(0, +))
    let parts = Mutex<[Result<Part, LogError>?]>(earlier.map { _ in nil })
    let done = Mutex<UInt64>(0)
    let (directory, besideWriter, logStart) = (directory, besideWriter, logStart)
    Parallel.forEach(0..<earlier.count, threads: threads) { place in
      var scan = LogScan(directory, besideWriter: besideWriter, keepsSources: false)
      scan.logStart = logStart
      let part = scan.part(
        earlier[place], before: place + 1 < earlier.count ? earlier[place + 1] : newest, visit)
      parts.withLock { $0[place] = part }
      progress(
        done.withLock { done in
          done += sizes[place]
          return done
        }, total)
    }
    for case .some(let part) in parts.withLock({ $0 }) { adopt(try part.get()) }
    pending = [newest]
    try readAll(&pending) { (offset, record) in visit(offset, record) }
    progress(total, total)
    nameLostOffsets()
    try confirm()
  }

  /// What reading one segment by itself found.
  private struct Part: Sendable {
    var findings: [Finding]
    var segments: [Segment]
    var recordsRead: UInt64
  }

  private mutating func part(
    _ opened: LogDirectory.OpenedSegment, before successor: LogDirectory.OpenedSegment,
    _ visit: (Offset, RawSpan) -> Void
  ) -> Result<Part, LogError> {
    do throws(LogError) {
      guard let header = opened.header else {
        return .success(Part(findings: [], segments: [], recordsRead: 0))
      }
      var pending = [successor]
      try readSegment(opened, header, &pending) { (offset, record) in visit(offset, record) }
      return .success(Part(findings: findings, segments: segments, recordsRead: recordsRead))
    } catch {
      return .failure(error)
    }
  }

  private mutating func adopt(_ part: Part) {
    for segment in part.segments {
      checkContinuity(to: segment.number, segment.header)
      segments.append(segment)
      nextToVisit = max(nextToVisit, segment.nextOffset)
    }
    findings += part.findings
    recordsRead += part.recordsRead
  }

  private func length(of opened: LogDirectory.OpenedSegment) throws(LogError) -> UInt64 {
    try onFile { () throws(FileSystemError) in
      let path = directory.path(of: LogDirectory.name(of: opened.number))
      return try directory.fileSystem.status(of: path)?.length ?? 0
    }
  }

  private func confirm() throws(LogError) {
    // What a reset or retention leaves of the listing looks like damage.
    guard besideWriter, !findings.isEmpty, let last = listing.segments.last else { return }
    if try directory.list().segments.filter({ $0 <= last }) != listing.segments { throw changedMeanwhile() }
  }

  private func changedMeanwhile() -> LogError {
    LogError(
      .changedMeanwhile, path: directory.path,
      "a writer dropped segments while they were being read; open the log again")
  }

  /// Opens something that was listed. Beside a writer, what is gone by now was dropped.
  private func listed<T>(_ open: () throws(LogError) -> T) throws(LogError) -> T {
    do throws(LogError) {
      return try open()
    } catch {
      throw besideWriter && error.cause?.code == .notFound ? changedMeanwhile() : error
    }
  }

  /// The newest is popped last: `pending` is in falling order.
  private mutating func readAll(
    _ pending: inout [LogDirectory.OpenedSegment], _ visit: (Offset, RawSpan) throws(LogError) -> Void
  ) throws(LogError) {
    if index != nil { sidecars = Sidecar.readAll(for: pending.compactMap(\.header), in: directory) }
    while let opened = pending.popLast() {
      guard let header = opened.header else { continue }
      checkContinuity(to: opened.number, header)
      try readSegment(opened, header, &pending, visit)
    }
  }

  private mutating func readSegment(
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
    var scan = try SegmentScan(file, opened, header)
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
      if segment.sidecarEnd != segment.end { segment.index = index?.endSegment() }
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

  // MARK: Which segments there are

  /// The segments that make up the log, newest first, with headers that agree.
  private mutating func chain(
    from numbers: [SegmentNumber]
  ) throws(LogError) -> [LogDirectory.OpenedSegment] {
    var chain: [LogDirectory.OpenedSegment] = []
    var newest: SegmentHeader?
    var above: LogDirectory.OpenedSegment?
    for (place, number) in numbers.enumerated().reversed() {
      if let newest, let header = above?.header, header.firstOffset <= newest.logStart {
        garbage = try dropped(Array(numbers[...place]), newest)
        break
      }
      let opened = try listed { () throws(LogError) in try directory.openSegment(number) }
      let name = LogDirectory.name(of: number)
      for copy in opened.badCopies where opened.header != nil {
        let start = UInt64(copy * SegmentHeader.blockByteCount)
        blemishes.append(
          Damage(
            kind: .header, file: name, bytes: start..<start + UInt64(SegmentHeader.blockByteCount),
            offsets: 0..<0))
      }
      if let above, above.number != number.next { reportMissing(number.next..<above.number, above.header) }
      guard let header = opened.header else {
        add(
          .header, .damaged, number, 0..<UInt64(SegmentHeader.byteCount),
          unknownOffsets(below: above?.header),
          "both copies of the segment's header are damaged; restore it from a copy, or salvage",
          isSilent: true)
        above = opened
        chain.append(opened)
        continue
      }
      if header.number != number || (newest.map { $0.log != header.log } ?? false)
        || (above?.header).map({ header.firstOffset > $0.firstOffset }) ?? false
      {
        add(
          .foreign, .foreignSegment, number, 0..<UInt64(SegmentHeader.byteCount),
          unknownOffsets(below: above?.header),
          "the file belongs to another log or another place in this one; move it out of the directory")
      } else if let epoch = above?.header?.epoch, epoch.id != header.epoch.id, epoch.parent != header.epoch.id
      {
        add(
          .foreign, .foreignSegment, number, 0..<UInt64(SegmentHeader.byteCount),
          unknownOffsets(below: above?.header),
          "the file is of an epoch that its successor does not continue; move it out of the directory")
      }
      newest = newest ?? header
      chain.append(opened)
      above = opened
    }
    logStart = newest?.logStart
    if let newest, let first = above?.header, first.firstOffset != newest.logStart {
      let missing = newest.logStart < first.firstOffset ? newest.logStart..<first.firstOffset : 0..<0
      let error = LogError(
        .missingSegment, path: directory.path, offsets: missing,
        "the log starts at offset \(newest.logStart), but its first segment starts at \(first.firstOffset); put the missing segments back, or salvage"
      )
      findings.append(
        Finding(
          damage: Damage(
            kind: .missing, file: LogDirectory.name(of: first.number), bytes: 0..<0, offsets: missing),
          error: error))
    }
    return chain
  }

  /// The segments wholly below `logStart`, if they are this log's: before anything may be removed as garbage, it has to show
  /// that it is. Another log's segment that got into the directory would else take the whole log with it.
  private mutating func dropped(
    _ numbers: [SegmentNumber], _ newest: SegmentHeader
  ) throws(LogError) -> [SegmentNumber] {
    var dropped: [SegmentNumber] = []
    for number in numbers {
      let opened: LogDirectory.OpenedSegment
      do throws(LogError) {
        opened = try directory.openSegment(number)
      } catch {
        // A writer is about to remove them.
        if besideWriter, error.cause?.code == .notFound { continue }
        throw error
      }
      guard let header = opened.header, header.number == number, header.log == newest.log else {
        add(
          .foreign, .foreignSegment, number, 0..<UInt64(SegmentHeader.byteCount), 0..<0,
          "the newest segment says that the log starts behind this one, but they are not of one log; move the one that does not belong here out of the directory"
        )
        continue
      }
      dropped.append(number)
    }
    return dropped
  }

  private func unknownOffsets(below header: SegmentHeader?) -> Range<Offset> {
    header.map { $0.firstOffset..<$0.firstOffset } ?? 0..<0
  }

  private mutating func reportMissing(_ numbers: Range<SegmentNumber>, _ above: SegmentHeader?) {
    add(
      .missing, .missingSegment, numbers.lowerBound, 0..<0, unknownOffsets(below: above),
      "the segment is gone; put it back, or salvage", isSilent: true)
  }

  /// A segment that is gone, or whose header is, held what lies between its neighbours. Known once those are read.
  private mutating func nameLostOffsets() {
    guard let newest = segments.last?.header else { return }
    for (place, finding) in findings.enumerated() {
      guard let number = finding.silent, finding.damage.offsets.upperBound > .zero else { continue }
      let before = segments.last { $0.number < number }
      // Of another log's segment nothing follows.
      guard before.map({ $0.header.log == newest.log }) ?? true else { continue }
      let start = before?.nextOffset ?? newest.logStart
      let end = finding.damage.offsets.upperBound
      if start < end { findings[place].lose(start..<end) }
    }
  }

  private mutating func checkContinuity(to number: SegmentNumber, _ header: SegmentHeader) {
    guard let before = segments.last, before.number.next == number, before.isSealed else { return }
    let expected = SegmentHeader.Predecessor(
      number: before.number.rawValue, length: before.end.rawValue, digest: before.tally.digest)
    if header.previous != expected || header.firstOffset != before.nextOffset {
      let lost =
        before.nextOffset < header.firstOffset
        ? before.nextOffset..<header.firstOffset : header.firstOffset..<header.firstOffset
      add(
        .missing, .missingSegment, number, 0..<UInt64(SegmentHeader.byteCount), lost,
        "the segment does not follow on segment \(before.number) as that one is; put the right files back, or salvage"
      )
    }
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
  fileprivate mutating func lose(_ offsets: Range<Offset>) {
    damage = Damage(kind: damage.kind, file: damage.file, bytes: damage.bytes, offsets: offsets)
    error = LogError(
      error.code, path: error.path, bytes: error.bytes, offsets: offsets, error.detail, cause: error.cause)
  }
}
