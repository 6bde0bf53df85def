internal import PlatformIO
internal import Synchronization

/// The writing side of a log, behind its lock.
struct Writer: ~Copyable {
  enum State {
    case active(ActiveSegment)
    /// The last segment is sealed; the next append creates its successor.
    case sealed(SegmentHeader.Predecessor)
    /// A write failed, and bytes of it may stand behind the segment's end. They are taken back before the next append.
    case unfinished(ActiveSegment, dirtyEnd: FilePosition)
    case stopped(Stop)
  }

  /// Why nothing is written.
  enum Stop {
    /// A sync failed: what the disk holds is unknown until the log is opened again.
    case poisoned(LogError)
    case readOnly
    case closed
  }

  /// What a new record can follow.
  enum Usable {
    case active(ActiveSegment)
    case sealed(SegmentHeader.Predecessor)
  }

  var state: State
  /// Released when it goes.
  var lock: LogLock?
  /// The newest header, from which the next one is made.
  var header: SegmentHeader
  /// A file for the next segment.
  var prepared: LogDirectory.PreparedSegment?
  /// The segment that a file was last asked to be prepared for.
  var preparedFor: SegmentNumber?
  /// Batches that are written at once.
  var gathered = ByteBuffer()
  /// A timer runs that syncs what was appended under `.interval`.
  var isSyncDue = false
  /// A timer runs that lays a sync frame if nothing is appended until then.
  var isQuietDue = false

  init(state: State, lock: LogLock?, header: SegmentHeader) {
    self.state = state
    self.lock = lock
    self.header = header
  }
}

extension SegmentedLog {
  /// Makes every record appended so far durable.
  public func sync() throws(LogError) {
    try checkProcess()
    try writer.withLock { (writer) throws(LogError) in try sync(&writer) }
  }

  func sync(_ writer: inout Writer) throws(LogError) {
    // A sealed segment was synced with its seal.
    guard case .active(let active) = try usable(&writer) else { return }
    try sync(active, &writer)
    published.withLock { $0.durable = $0.next }
  }

  func sync(_ active: ActiveSegment, _ writer: inout Writer) throws(LogError) {
    guard active.extent.synced < active.end else { return }
    try synchronize(active.file, &writer)
    active.extent.synced = active.end
    awaitQuiet(&writer)
  }

  /// A sync whose failure stops the writer for good.
  func synchronize(_ file: any LogFile, _ writer: inout Writer) throws(LogError) {
    do throws(LogError) {
      try synchronize(file)
    } catch {
      writer.state = .stopped(.poisoned(error))
      throw error
    }
  }

  func synchronize(_ file: any LogFile) throws(LogError) {
    try syncing.withLock { (failure) throws(LogError) in
      if let failure { throw failure }
      let started = SystemEnvironment.monotonicNanoseconds()
      defer { counted.withLock { $0.syncs.add(SystemEnvironment.monotonicNanoseconds() - started) } }
      do throws(FileSystemError) {
        try file.sync()
      } catch {
        let unknown = Self.unknown(LogError(error), directory)
        failure = unknown
        throw unknown
      }
    }
  }

  /// Makes everything durable, marks the end as clean, and lets the next writer in. Closing again does nothing; any
  /// other use afterwards throws `.closed`. Waits for a copy that is being made. Throws `.outcomeUnknown` if an append or a
  /// sync did: what was not durable by then is not promised.
  public func close() throws(LogError) {
    try checkProcess()
    try excludingCopies { () throws(LogError) in
      try housekeeping.withLock { (_) throws(LogError) in try closeAlone() }
    }
  }

  private func closeAlone() throws(LogError) {
    try writer.withLock { (writer) throws(LogError) in
      defer {
        if let prepared = writer.prepared.take() { directory.discard(prepared) }
        writer.state = .stopped(.closed)
        writer.lock = nil
        published.withLock { published in
          drops.add(1, ordering: .relaxed)
          published.isClosed = true
          published.segments = []
        }
      }
      switch writer.state {
      case .active, .sealed: break
      case .unfinished: _ = try usable(&writer)
      case .stopped(.readOnly), .stopped(.closed): return
      // What was appended before the failure, and not synced, cannot be promised any more.
      case .stopped(.poisoned(let error)): throw error
      }
      try sync(&writer)
      if case .active(let active) = writer.state, active.extent.tally.recordCount > 0 {
        if active.extent.quietEnd != active.end { try writeSyncFrame(active, &writer) }
        queueSidecar(of: active, writer.header)
      }
      writeSidecars()
    }
  }

  /// Says, behind the last record, that everything before is durable, so that damage to it is not taken for a tear.
  /// FORMAT.md, "Sync frame".
  func writeSyncFrame(_ active: ActiveSegment, _ writer: inout Writer) throws(LogError) {
    let place = active.end.roundedUp(to: SyncFrame.blockByteCount)
    let frame = ControlFrame(
      .sync, body: [], at: place, nonce: active.nonce, syncedThrough: active.extent.synced,
      index: active.extent.tally.recordCount)
    let file = active.file
    let end = place.advanced(by: UInt64(FrameHeader.byteCount))
    do throws(FileSystemError) {
      try file.write(frame.bytes.span.rawBytes, at: place.rawValue)
    } catch {
      writer.state = .unfinished(active, dirtyEnd: end)
      throw LogError(error)
    }
    try synchronize(file, &writer)
    active.extent.tally.add(frame.bytes.span.rawBytes, kind: .sync, bodyLength: 0)
    active.extent.end = end
    active.extent.synced = end
    active.extent.quietEnd = end
    published.withLock { $0.segments[$0.segments.count - 1].byteCount = end.rawValue }
  }

  /// The end of the log, once a failed write is taken back.
  func usable(_ writer: inout Writer) throws(LogError) -> Writer.Usable {
    switch writer.state {
    case .active(let active): return .active(active)
    case .sealed(let last): return .sealed(last)
    case .unfinished(let active, let dirtyEnd): return .sealed(try takeBack(active, dirtyEnd, &writer))
    case .stopped(let stop): throw refusal(stop)
    }
  }

  func checkWritable(_ writer: borrowing Writer) throws(LogError) {
    if case .stopped(let stop) = writer.state { throw refusal(stop) }
  }

  private func refusal(_ stop: Writer.Stop) -> LogError {
    switch stop {
    case .poisoned(let error): error
    case .closed: closedError()
    case .readOnly:
      LogError(.readOnly, path: directory.path, "the log was opened for reading; open it for writing")
    }
  }

  // MARK: Failure

  static func unknown(_ error: LogError, _ directory: LogDirectory) -> LogError {
    LogError(
      .outcomeUnknown, path: directory.path,
      "a write or sync failed, so whether the last records are stored is unknown; close the log and open it again",
      cause: error.cause)
  }
}

extension Environment {
  func uniqueID() -> UniqueID { UniqueID(random: randomUInt64(), randomUInt64()) }

  func microseconds() -> Int64 {
    let time = wallTime()
    return time.seconds * 1_000_000 + Int64(time.nanoseconds / 1000)
  }
}
