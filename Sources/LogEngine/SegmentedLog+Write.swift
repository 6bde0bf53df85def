internal import PlatformIO
internal import Synchronization

/// The writing side of a log, behind its lock.
struct Writer: ~Copyable {
  enum State {
    case active(ActiveSegment)
    /// The last segment is sealed; the next append creates its successor.
    case sealed(number: SegmentNumber, end: FilePosition, digest: UInt64)
    /// A write failed, and bytes of it may stand behind the segment's end. They are taken back before the next append.
    case unfinished(ActiveSegment, dirtyEnd: FilePosition)
    /// A sync failed: what the disk holds is unknown until the log is opened again.
    case poisoned(LogError)
    case readOnly
    case closed
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

/// The segment that appends go to.
struct ActiveSegment {
  var file: any LogFile
  var number: SegmentNumber
  var nonce: UInt64
  /// A batch boundary: the next frame goes here.
  var end: FilePosition
  /// Everything below was durable when it was last synced.
  var synced: FilePosition
  /// Where the last sync frame ended, if nothing came after it.
  var quietEnd: FilePosition?
  /// How far its sidecar goes.
  var sidecarEnd: FilePosition?
  /// How far the system was told to write to the disk without being waited for.
  var writtenBack = SegmentHeader.dataStart
  /// The length at which the segment is full.
  var capacity: UInt64
  var tally: SegmentTally
  /// Its header says nothing of the log that its predecessor's does not, so that it can go as long as it is empty.
  var isExpendable = false

  /// What must fit behind the last batch: a sync frame and the seal.
  static let reserve = SyncFrame.maximumByteCount + Seal.frameByteCount

  func hasRoom(for byteCount: Int) -> Bool {
    end.rawValue + UInt64(byteCount) + Self.reserve <= capacity
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
    guard case .active(var active) = try usable(&writer) else { return }
    if active.synced < active.end {
      try synchronize(active.file, &writer)
      active.synced = active.end
      writer.state = .active(active)
      awaitQuiet(&writer)
    }
    published.withLock { $0.durable = $0.next }
  }

  /// A sync whose failure stops the writer for good.
  func synchronize(_ file: any LogFile, _ writer: inout Writer) throws(LogError) {
    do throws(LogError) {
      try synchronize(file)
    } catch {
      writer.state = .poisoned(error)
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
        writer.state = .closed
        writer.lock = nil
        published.withLock { published in
          published.isClosed = true
          published.segments = []
        }
      }
      switch writer.state {
      case .active, .sealed: break
      case .unfinished: _ = try usable(&writer)
      case .readOnly, .closed: return
      // What was appended before the failure, and not synced, cannot be promised any more.
      case .poisoned(let error): throw error
      }
      try sync(&writer)
      if case .active(var active) = writer.state, active.tally.recordCount > 0 {
        if active.quietEnd != active.end { try writeSyncFrame(&active, &writer) }
        queueSidecar(of: active, writer.header)
      }
      writeSidecars()
    }
  }

  /// Says, behind the last record, that everything before is durable, so that damage to it is not taken for a tear.
  /// FORMAT.md, "Sync frame".
  func writeSyncFrame(_ active: inout ActiveSegment, _ writer: inout Writer) throws(LogError) {
    let place = active.end.roundedUp(to: SyncFrame.blockByteCount)
    let frame = ControlFrame(
      .sync, body: [], at: place, nonce: active.nonce, syncedThrough: active.synced,
      index: active.tally.recordCount)
    let file = active.file
    let end = place.advanced(by: UInt64(FrameHeader.byteCount))
    do throws(FileSystemError) {
      try file.write(frame.bytes.span.rawBytes, at: place.rawValue)
    } catch {
      writer.state = .unfinished(active, dirtyEnd: end)
      throw LogError(error)
    }
    try synchronize(file, &writer)
    active.tally.add(frame.bytes.span.rawBytes, kind: .sync, bodyLength: 0)
    active.end = end
    active.synced = end
    active.quietEnd = end
    writer.state = .active(active)
    published.withLock { $0.segments[$0.segments.count - 1].byteCount = end.rawValue }
  }

  // MARK: Rolling

  /// The segment to write to, with room for so many bytes: a new one if need be.
  func activeSegment(_ writer: inout Writer, holding byteCount: Int) throws(LogError) -> ActiveSegment {
    let state = try usable(&writer)
    if case .active(let active) = state, active.hasRoom(for: byteCount) { return active }
    let started = SystemEnvironment.monotonicNanoseconds()
    if case .active(var active) = state { try seal(&active, &writer) }
    let active = try createSuccessor(&writer, holding: UInt64(byteCount))
    counted.withLock { $0.rolls.add(SystemEnvironment.monotonicNanoseconds() - started) }
    return active
  }

  /// The state, once a failed write is taken back: active or sealed.
  func usable(_ writer: inout Writer) throws(LogError) -> Writer.State {
    if case .unfinished(let active, let dirtyEnd) = try checked(writer.state) {
      try takeBack(active, dirtyEnd, &writer)
    }
    return writer.state
  }

  func checked(_ state: Writer.State) throws(LogError) -> Writer.State {
    switch state {
    case .active, .sealed, .unfinished: return state
    case .poisoned(let error): throw error
    case .closed: throw closedError()
    case .readOnly:
      throw LogError(.readOnly, path: directory.path, "the log was opened for reading; open it for writing")
    }
  }

  /// Ends a segment. The seal is synced before the file is cut: were the shorter length to reach the disk first, a crash
  /// would leave an unsealed file that is shorter than it was, and that is damage (FORMAT.md, "Roll").
  func seal(_ active: inout ActiveSegment, _ writer: inout Writer) throws(LogError) {
    let (end, tally) = (active.end, active.tally)
    let file = active.file
    let first = writer.header.firstOffset
    let seal = Self.sealFrame(
      tally, firstOffset: first, at: end, nonce: active.nonce, syncedThrough: active.synced)
    let sealedEnd = end.advanced(by: Seal.frameByteCount)
    do throws(FileSystemError) {
      try file.write(seal.bytes.span.rawBytes, at: end.rawValue)
    } catch {
      writer.state = .unfinished(active, dirtyEnd: sealedEnd)
      throw LogError(error)
    }
    try synchronize(file, &writer)
    writer.state = .sealed(number: active.number, end: sealedEnd, digest: tally.digest)
    // Zeros behind a seal mean nothing, so it is only space that a failure leaves.
    do throws(FileSystemError) { try file.setLength(sealedEnd.rawValue) } catch {}
    // Nor is it a failure if the sealed file cannot be mapped: it is read on as it was.
    let source: SegmentSource
    do throws(LogError) {
      source = try SegmentSource.sealed(file, length: sealedEnd.rawValue)
    } catch {
      source = .file(file)
    }
    published.withLock { published in
      let last = published.segments.count - 1
      published.segments[last].source = source
      published.segments[last].byteCount = sealedEnd.rawValue
      published.durable = published.next
    }
    queueSidecar(ofSealed: writer.header, sealedEnd, tally)
  }

  /// Takes back what a failed write left: clears it, and goes on in a new segment, since no place may get two contents
  /// under one nonce. What fails here for want of room is tried again by the next append; a failed sync is final.
  private func takeBack(
    _ active: ActiveSegment, _ dirtyEnd: FilePosition, _ writer: inout Writer
  ) throws(LogError) {
    let file = active.file
    do throws(LogError) {
      if try drop(active, &writer) { return }
      try onFile { () throws(FileSystemError) in
        let length = try file.status().length
        try file.clear(from: active.end, to: min(dirtyEnd, FilePosition(length)))
      }
      try synchronize(file, &writer)
      var active = active
      try seal(&active, &writer)
    } catch {
      guard error.code != .outcomeUnknown else { throw error }
      throw LogError(
        .outcomeUnknown, path: directory.path,
        "a write failed and could not be taken back yet, so whether its records are stored is unknown; append again, or open the log again",
        cause: error.cause)
    }
  }

  /// Removes a segment without a record, so that appends that are tried again on a full disk do not leave one each time.
  /// Its number goes to the next one. False if the segment has to stay.
  private func drop(_ active: ActiveSegment, _ writer: inout Writer) throws(LogError) -> Bool {
    guard active.tally.recordCount == 0, active.isExpendable else { return false }
    let directory = directory
    try onFile { () throws(FileSystemError) in
      try directory.removeIfPresent(directory.path(of: LogDirectory.name(of: active.number)))
    }
    do throws(FileSystemError) {
      // Before anybody hears that nothing is stored: a segment that came back would bring the failed batches along.
      try directory.fileSystem.syncDirectory(directory.path)
    } catch {
      let unknown = Self.unknown(LogError(error), directory)
      writer.state = .poisoned(unknown)
      throw unknown
    }
    published.withLock { _ = $0.segments.removeLast() }
    let previous = writer.header.previous
    writer.state = .sealed(
      number: SegmentNumber(previous.number), end: FilePosition(previous.length), digest: previous.digest)
    return true
  }

  /// Says that a write failed, once it has been taken back; or, as long as it could not be, that nobody knows.
  func failedWrite(
    _ error: FileSystemError, _ active: ActiveSegment, through dirtyEnd: FilePosition, _ writer: inout Writer
  ) -> LogError {
    writer.state = .unfinished(active, dirtyEnd: dirtyEnd)
    do throws(LogError) {
      _ = try usable(&writer)
      return LogError(error)
    } catch {
      return error
    }
  }

  static func sealFrame(
    _ tally: SegmentTally, firstOffset: Offset, at position: FilePosition, nonce: UInt64,
    syncedThrough: FilePosition
  ) -> ControlFrame {
    ControlFrame(
      .seal, body: Seal(tally, firstOffset: firstOffset).encode(), at: position, nonce: nonce,
      syncedThrough: syncedThrough,
      index: tally.recordCount)
  }

  /// Publishes the segment after a sealed one and makes it the active one. On failure the log stays sealed, and the next
  /// append tries again.
  private func createSuccessor(
    _ writer: inout Writer, holding byteCount: UInt64
  ) throws(LogError) -> ActiveSegment {
    var header = try successor(&writer)
    header.preallocated = max(
      header.segmentSize, SegmentHeader.dataStart.rawValue + byteCount + ActiveSegment.reserve)
    return try activate(header, &writer)
  }

  /// The header of a segment that goes on behind a sealed one; nothing is reserved for it.
  func successor(_ writer: inout Writer) throws(LogError) -> SegmentHeader {
    guard case .sealed(let number, let end, let digest) = try usable(&writer) else {
      preconditionFailure("only a sealed segment has a successor")
    }
    var header = writer.header
    header.number = number.next
    header.firstOffset = published.withLock { $0.next }
    header.nonce = environment.randomUInt64()
    header.previous = .init(number: number.rawValue, length: end.rawValue, digest: digest)
    header.created = environment.microseconds()
    header.preallocated = 0
    return header
  }

  func activate(_ header: SegmentHeader, _ writer: inout Writer) throws(LogError) -> ActiveSegment {
    var active: ActiveSegment
    let before = writer.header
    do throws(LogError) {
      (active, writer.header) = try Self.createSegment(
        header, in: directory, prepared: takePrepared(for: header, &writer))
    } catch {
      // Up to here nothing but a temporary file exists, and the next append may try again.
      if let operation = error.cause?.operation, [.open, .preallocate, .write].contains(operation) {
        throw error
      }
      let unknown = Self.unknown(error, directory)
      writer.state = .poisoned(unknown)
      throw unknown
    }
    active.isExpendable = header.logStart == before.logStart && header.epoch == before.epoch
    writer.state = .active(active)
    let readable = ReadableSegment(
      number: header.number, firstOffset: header.firstOffset, nonce: header.nonce, source: .file(active.file),
      positions: PositionTable(), end: active.end, byteCount: active.end.rawValue)
    published.withLock { $0.segments.append(readable) }
    index?.beginSegment(at: header.firstOffset)
    return active
  }

  /// Publishes a segment; without reserved space if the disk has not that much left.
  static func createSegment(
    _ header: SegmentHeader, in directory: LogDirectory, prepared: LogDirectory.PreparedSegment? = nil
  ) throws(LogError) -> (ActiveSegment, SegmentHeader) {
    var header = header
    let capacity = header.capacity
    let file: any LogFile
    let checksum: UInt64
    do throws(LogError) {
      (file, checksum) = try directory.publish(header, in: prepared)
    } catch {
      guard error.cause?.operation == .preallocate else { throw error }
      header.preallocated = 0
      (file, checksum) = try directory.publish(header)
    }
    let active = ActiveSegment(
      file: file, number: header.number, nonce: header.nonce, end: SegmentHeader.dataStart,
      synced: SegmentHeader.dataStart, quietEnd: nil, sidecarEnd: nil, capacity: capacity,
      tally: SegmentTally(headerChecksum: checksum))
    return (active, header)
  }

  // MARK: Reset

  /// Empties the log in one atomic step. Offsets go on; a new epoch starts, so cursors of the old one are refused.
  ///
  /// A crash leaves the old log or the empty one. Records being read meanwhile stay readable to their readers.
  public func reset() throws(LogError) {
    try checkProcess()
    try excludingCopies { () throws(LogError) in try empty() }
  }

  /// To be called within `excludingCopies`.
  package func empty() throws(LogError) {
    try writer.withLock { (writer) throws(LogError) in
      let last: SegmentNumber
      switch try directory.withReserve({ () throws(LogError) in try usable(&writer) }) {
      case .active(let active): last = active.number
      case .sealed(let number, _, _): last = number
      default: return
      }
      var header = writer.header
      let next = published.withLock { $0.next }
      header.number = last.next
      header.firstOffset = next
      header.logStart = next
      header.epoch = Epoch(
        id: environment.uniqueID(), start: next, parent: header.epoch.id, parentEnd: Offset(next.rawValue - 1)
      )
      header.nonce = environment.randomUInt64()
      header.previous = .dropped(last.rawValue)
      header.created = environment.microseconds()
      // Nothing is reserved before the switch, so that a reset works on a full disk.
      header.preallocated = 0
      let active = try directory.withReserve { () throws(LogError) in try activate(header, &writer) }
      let dropped = published.withLock { published in
        let dropped = published.segments.dropLast().map(\.number)
        published.segments.removeFirst(published.segments.count - 1)
        published.logStart = next
        published.durable = next
        published.epoch = header.epoch
        return dropped
      }
      index?.removeAll(below: next)
      // The switch is done. What fails from here on is only space, and the next opening for writing tries again.
      for number in dropped {
        do throws(FileSystemError) { try directory.removeSegment(number) } catch { break }
      }
      do throws(FileSystemError) { try active.file.preallocate(active.capacity) } catch {}
      directory.makeReserve()
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
