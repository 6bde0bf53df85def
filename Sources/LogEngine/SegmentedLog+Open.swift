package import PlatformIO
internal import Synchronization

extension SegmentedLog {
  /// Opens the log in a directory of the disk, creating it if `options` says so.
  ///
  /// Every record that is kept is read once and handed to `replay` in offset order, so that an application can build its
  /// indexes on the way; the bytes are borrowed for the call. An error from `replay` ends the opening. Opening for writing
  /// recovers the end of the log as FORMAT.md, "Recovery", says; opening for reading changes nothing.
  public static func open(
    at path: String, options: LogOptions = LogOptions(),
    replay: (Offset, RawSpan) throws(LogError) -> Void = { _, _ in }
  ) throws(LogError) -> SegmentedLog {
    try open(
      at: path, options: options, fileSystem: DiskFileSystem.shared, environment: SystemEnvironment(),
      replay: replay)
  }

  package static func open(
    at path: String, options: LogOptions, fileSystem: any FileSystem, environment: any Environment,
    replay: (Offset, RawSpan) throws(LogError) -> Void = { _, _ in }
  ) throws(LogError) -> SegmentedLog {
    try open(at: path, options: options, fileSystem: fileSystem, environment: environment, index: nil, replay)
  }

  /// Opens the log with an index that sidecars are kept for: it gets those, and every record that is in none.
  package static func open(
    at path: String, options: LogOptions, fileSystem: any FileSystem, environment: any Environment,
    index: any RecordIndex
  ) throws(LogError) -> SegmentedLog {
    try open(at: path, options: options, fileSystem: fileSystem, environment: environment, index: index) {
      (offset, record) throws(LogError) in try index.add(offset, record)
    }
  }

  private static func open(
    at path: String, options: LogOptions, fileSystem: any FileSystem, environment: any Environment,
    index: (any RecordIndex)?, _ replay: RecordReplay
  ) throws(LogError) -> SegmentedLog {
    guard LogLimits.segmentByteCount.contains(options.segmentSize) else {
      throw LogError(
        .invalidOption, path: path,
        "a segment size of \(options.segmentSize) is outside \(LogLimits.segmentByteCount.lowerBound)–\(LogLimits.segmentByteCount.upperBound) bytes"
      )
    }
    if case .interval(let interval) = options.syncPolicy, interval < .milliseconds(1) {
      throw LogError(
        .invalidOption, path: path,
        "a sync interval of \(interval) is below a millisecond; use `always`, or wait longer")
    }
    let started = SystemEnvironment.monotonicNanoseconds()
    let log = try opened(at: path, options, fileSystem, environment, index, replay)
    log.counted.withLock { $0.openingNanoseconds = SystemEnvironment.monotonicNanoseconds() - started }
    return log
  }

  private static func opened(
    at path: String, _ options: LogOptions, _ fileSystem: any FileSystem, _ environment: any Environment,
    _ index: (any RecordIndex)?, _ replay: RecordReplay
  ) throws(LogError) -> SegmentedLog {
    let directory = try LogDirectory(path, in: fileSystem)
    let isThere = try probe(directory)
    if isThere, options.creation == .mustNotExist {
      throw LogError(
        .alreadyExists, path: directory.path, "there is a log already; open it, or choose another path")
    }
    try refuseNetworkFileSystem(directory, options)
    switch options.access {
    case .readOnly:
      guard isThere else { throw noSuchLog(directory) }
      return try openReadOnly(directory, options, environment, index, replay)
    case .readWrite:
      guard isThere else {
        guard options.creation != .mustExist else { throw noSuchLog(directory) }
        return try create(directory, options, environment, index, replay)
      }
      return try openForWriting(
        directory, options, environment, try LogLock(directory, environment), index, replay)
    }
  }

  private static func refuseNetworkFileSystem(
    _ directory: LogDirectory, _ options: LogOptions
  ) throws(LogError) {
    guard !options.allowsNetworkFileSystem, options.access == .readWrite else { return }
    let isRemote = try onFile { () throws(FileSystemError) in
      for path in [directory.path, LogLocation.parent(of: directory.path)] {
        if try directory.fileSystem.status(of: path) != nil { return try directory.fileSystem.isRemote(path) }
      }
      // Creating it will say what is missing.
      return false
    }
    guard isRemote else { return }
    throw LogError(
      .networkFileSystem, path: directory.path,
      "this is a network file system, whose locks and syncs may not keep their promises; use a local disk, or allow it"
    )
  }

  static func noSuchLog(_ directory: LogDirectory) -> LogError {
    LogError(.noSuchLog, path: directory.path, "there is no log here; check the path, or create one")
  }

  /// Is there a log? Anything else at the path is an error.
  static func probe(_ directory: LogDirectory) throws(LogError) -> Bool {
    let listing: LogDirectory.Listing
    do throws(LogError) {
      listing = try directory.list()
    } catch {
      switch error.cause?.code {
      case .notFound: return false
      case .notADirectory:
        throw LogError(
          .notALog, path: directory.path, "it is not a directory, so it is no log; give a log's directory",
          cause: error.cause)
      default: throw error
      }
    }
    if !listing.segments.isEmpty || listing.hasSnapshot { return true }
    guard listing.others.isEmpty else {
      throw LogError(
        .notALog, path: directory.path,
        "the directory holds other files and no log; give a log's directory, or an empty or a new one to make one in"
      )
    }
    // A listing taken while a reset swaps segments may show neither the old ones nor the new.
    guard listing.hasLock else { return false }
    return try !directory.list().segments.isEmpty
  }

  // MARK: Creating

  private static func create(
    _ directory: LogDirectory, _ options: LogOptions, _ environment: any Environment,
    _ index: (any RecordIndex)?, _ replay: RecordReplay
  ) throws(LogError) -> SegmentedLog {
    try onFile { () throws(FileSystemError) in
      _ = try directory.fileSystem.createDirectory(directory.path)
      // Also when the directory was there: whoever made it may have died before this.
      try directory.fileSystem.syncDirectory(LogLocation.parent(of: directory.path))
    }
    let lock = try LogLock(directory, environment)
    let listing = try directory.list()
    guard listing.segments.isEmpty else {
      // Somebody else created it meanwhile.
      guard options.creation == .createIfMissing else {
        throw LogError(
          .alreadyExists, path: directory.path, "there is a log already; open it, or choose another path")
      }
      return try openForWriting(directory, options, environment, lock, index, replay)
    }
    try sweep(listing.temporaries, directory)
    let (active, header) = try createSegment(
      SegmentHeader(
        log: environment.uniqueID(),
        epoch: Epoch(id: environment.uniqueID(), start: 1),
        number: SegmentNumber(1),
        firstOffset: 1,
        logStart: 1,
        nonce: environment.randomUInt64(),
        previous: .dropped(0),
        preallocated: options.segmentSize,
        segmentSize: options.segmentSize,
        created: environment.microseconds(),
        application: options.application),
      isExpendable: false, in: directory)
    index?.beginSegment(at: header.firstOffset)
    directory.makeReserve()
    return SegmentedLog(
      directory: directory, environment: environment, options: options, id: header.log,
      application: header.application, recovery: RecoveryReport(outcome: .created), index: index,
      writer: Writer(state: .active(active), lock: lock, header: header),
      published: Published(
        segments: [
          ReadableSegment(
            number: header.number, firstOffset: 1, nonce: header.nonce,
            source: .growing(active),
            positions: PositionTable(), end: active.end, byteCount: active.end.rawValue)
        ],
        epoch: header.epoch, logStart: 1, next: 1, durable: 1))
  }

  // MARK: Reading

  private static func openReadOnly(
    _ directory: LogDirectory, _ options: LogOptions, _ environment: any Environment,
    _ index: (any RecordIndex)?, _ replay: RecordReplay
  ) throws(LogError) -> SegmentedLog {
    var scan = LogScan(directory, besideWriter: true, keepsSources: true, index: index)
    try scan.run(replay)
    _ = try scan.compareWithSnapshot()
    // Damaged bytes leave the rest readable; a log whose segments do not belong together has no meaning.
    for finding in scan.findings where [.missing, .foreign, .header].contains(finding.damage.kind) {
      throw finding.error
    }
    let newest = try newest(scan, options)
    let header = newest.segment.header
    var report = report(scan, newest)
    report.damage = scan.findings.map(\.damage)
    return SegmentedLog(
      directory: directory, environment: environment, options: options, id: header.log,
      application: header.application, recovery: report, index: index,
      writer: Writer(state: .stopped(.readOnly), lock: nil, header: header),
      published: published(scan, newest, durable: knownDurable(newest)))
  }

  /// The newest segment of a log that was read, and its end.
  struct Newest {
    var segment: LogScan.Segment
    var source: SegmentSource
    var tail: TailFacts
  }

  private static func newest(
    _ scan: borrowing LogScan, _ options: LogOptions
  ) throws(LogError) -> Newest {
    guard let segment = scan.segments.last, let source = segment.source, let tail = scan.tail else {
      throw LogError(
        .damaged, path: scan.directory.path, "no segment of the log can be read; restore it from a copy")
    }
    try checkApplication(segment.header, options.application, scan.directory)
    return Newest(segment: segment, source: source, tail: tail)
  }

  static func checkApplication(
    _ header: SegmentHeader, _ application: ApplicationTag, _ directory: LogDirectory
  ) throws(LogError) {
    guard header.application.id == application.id else {
      throw LogError(
        .wrongApplication, path: directory.path,
        "the log belongs to another application; open it with that one")
    }
  }

  private static func report(_ scan: borrowing LogScan, _ newest: Newest) -> RecoveryReport {
    var report = RecoveryReport(outcome: .clean)
    report.records = scan.recordsRead
    let tail = newest.tail
    switch tail.verdict {
    case .clean: break
    case .sealed: report.outcome = .sealed
    case .damaged: report.outcome = .damaged
    case .torn(let end), .suspect(let end), .unwritten(let end):
      report.outcome = .torn
      report.tornFile = LogDirectory.name(of: newest.segment.number)
      report.tornBytes = tail.end.rawValue..<max(end.rawValue, tail.end.rawValue)
    }
    return report
  }

  /// Where what nobody says is durable begins.
  private static func knownDurable(_ newest: Newest) -> Offset {
    let segment = newest.segment
    if segment.isSealed { return segment.nextOffset }
    return segment.header.firstOffset.advanced(
      by: UInt64(segment.positions.count(below: newest.tail.floor)))
  }

  private static func published(
    _ scan: borrowing LogScan, _ newest: Newest, durable: Offset
  ) -> Published {
    let header = newest.segment.header
    return Published(
      segments: scan.segments.compactMap { segment in
        // An opening keeps what it reads.
        segment.source.map { source in
          ReadableSegment(
            number: segment.number, firstOffset: segment.header.firstOffset, nonce: segment.header.nonce,
            source: source, positions: segment.positions, end: segment.end,
            byteCount: segment.end.rawValue)
        }
      },
      epoch: header.epoch, logStart: header.logStart, next: newest.segment.nextOffset, durable: durable)
  }

  // MARK: Writing

  private static func openForWriting(
    _ directory: LogDirectory, _ options: LogOptions, _ environment: any Environment, _ lock: LogLock,
    _ index: (any RecordIndex)?, _ replay: RecordReplay
  ) throws(LogError) -> SegmentedLog {
    var scan = LogScan(directory, besideWriter: false, keepsSources: true, index: index)
    try scan.run(replay)
    let snapshot = try scan.compareWithSnapshot()
    if let finding = scan.findings.first(where: { $0.damage.kind != .tail || !options.acceptSuspectTail }) {
      throw finding.error
    }
    let newest = try newest(scan, options)
    let (last, header) = (newest.segment, newest.segment.header)
    guard header.unknownReadOnlyFeatures == 0 else {
      throw LogError(
        .newerFormat, path: directory.path,
        "uses a feature that this version can read but not write; open it read-only, or use the newer program"
      )
    }

    // Up to here nothing was changed; everything refused is as it was.
    try sweep(scan.listing.temporaries, directory)
    var report = report(scan, newest)
    let recovered = try recover(newest, directory, &report)
    try vouchForName(directory)
    for number in scan.garbage {
      try onFile { () throws(FileSystemError) in try directory.removeSegment(number) }
    }
    let live = Set(scan.segments.map(\.number))
    for number in scan.listing.sidecars where !live.contains(number) {
      directory.removeSidecar(of: number)
    }

    var published = published(scan, newest, durable: last.nextOffset)
    let place = published.segments.count - 1
    published.segments[place].source = recovered.source
    published.segments[place].byteCount = recovered.end.rawValue
    var drafts = scan.segments.compactMap(SidecarDraft.init)
    // One without a record has nothing to be found, and starts where its successor does.
    if case .sealed = recovered.state, !last.isSealed, last.tally.recordCount > 0, let index {
      index.endSegment()
      drafts.append(SidecarDraft(header, recovered.end, last.tally, positions: last.positions))
    }
    let log = SegmentedLog(
      directory: directory, environment: environment, options: options, id: header.log,
      application: header.application, recovery: report, index: index,
      writer: Writer(state: recovered.state, lock: lock, header: header), published: published)
    try log.takeUp(snapshot)
    directory.makeReserve()
    log.write(drafts)
    return log
  }

  /// Makes the directory's own name durable: whoever made the log, or a copy by this name, may have died before that.
  private static func vouchForName(_ directory: LogDirectory) throws(LogError) {
    do throws(FileSystemError) {
      try directory.fileSystem.syncDirectory(LogLocation.parent(of: directory.path))
    } catch {
      // Who may not read the directory above cannot have made the name either.
      guard error.code == .permissionDenied else { throw LogError(error) }
    }
  }

  /// Removes what a crash left of unpublished files. Whatever else has such a name is not the engine's.
  private static func sweep(_ temporaries: [String], _ directory: LogDirectory) throws(LogError) {
    for path in temporaries.map(directory.path(of:)) {
      try onFile { () throws(FileSystemError) in
        guard try directory.fileSystem.status(of: path)?.kind == .regular else { return }
        try directory.removeIfPresent(path)
      }
    }
  }

  private typealias RecordReplay = (Offset, RawSpan) throws(LogError) -> Void
}
