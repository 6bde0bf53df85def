package import PlatformIO
internal import Synchronization

/// An append-only log of records in a directory of segments: bytes in, bytes out.
///
/// One handle writes, any number of threads use it; readers never wait for a write or a sync. See FORMAT.md for the bytes,
/// the write protocol and recovery.
public final class SegmentedLog: Sendable {
  let directory: LogDirectory
  let environment: any Environment
  package let syncPolicy: SyncPolicy
  let byteQuota: UInt64?
  /// Was it opened for writing?
  package let isWriter: Bool
  /// What the application keeps of the records.
  let index: (any RecordIndex)?

  /// The log's identity, kept by all its copies.
  public let id: UniqueID
  /// The application's settings, fixed when the log was created.
  public let application: ApplicationTag
  /// What opening found and did.
  public let recovery: RecoveryReport

  /// Which process this handle is of.
  private let forkCount: UInt32

  /// Held for moments: appends on their way.
  let commits = Mutex(CommitQueue<PendingAppend>())
  /// Held while a copy of the log is made, so that nothing it consists of is dropped; and by whoever drops. Taken before
  /// `writer`.
  let copying = Mutex(())
  /// Held through write and sync, by whoever leads.
  let writer: Mutex<Writer>
  /// Held through each sync of the active segment, with what one failed with: of two syncs at the same time the system
  /// would tell only one of an error, and the other would believe its success.
  let syncing = Mutex<LogError?>(nil)
  /// Leads while appends wait. A handle that is dropped without `close()` lives until it is done with them.
  let worker: Worker
  /// Syncs what nobody waits for. Apart from the worker, so that neither holds the other up.
  let timers: Worker
  /// Writes sidecars, and works ahead.
  let housekeeper: Worker
  /// Held for moments: sidecars to be written.
  let sidecarDrafts = Mutex<[SidecarDraft]>([])
  /// Held by the housekeeper while it makes files, and by a close, so that nothing is made behind it. Taken before the
  /// writer's lock.
  let housekeeping = Mutex<Void>(())
  /// Held for moments: what was counted.
  let counted: Mutex<LogMetrics>
  /// Held for moments: what readers see.
  let published: Mutex<Published>
  /// How often records were dropped, or the log closed; it changes under the lock of `published`. Who finds many records at
  /// once looks at it before each, so as to give none that went meanwhile, without a lock for each.
  let drops = Atomic<UInt32>(0)

  struct Published {
    var segments: [ReadableSegment]
    var epoch: Epoch
    var logStart: Offset
    /// The next offset to be given out; every record below is readable.
    var next: Offset
    /// Every record below is durable.
    var durable: Offset
    var isClosed = false

    /// The active segment got records, whose positions it has, up to here.
    mutating func advance(to next: Offset, end: FilePosition, isDurable: Bool) {
      segments[segments.count - 1].end = end
      segments[segments.count - 1].byteCount = end.rawValue
      self.next = next
      if isDurable { durable = next }
    }

    /// The segment that has a record; nil if none does.
    func segment(with offset: Offset) -> ReadableSegment? {
      offset >= logStart && offset < next ? segments[place(of: offset)] : nil
    }

    /// nil if it was dropped.
    func place(of segment: ReadableSegment) -> Int? {
      segments.firstIndex { $0.number == segment.number && $0.nonce == segment.nonce }
    }

    /// The last segment that starts at or before an offset that is kept.
    func place(of offset: Offset) -> Int {
      var low = 0
      var high = segments.count
      while high - low > 1 {
        let middle = (low + high) / 2
        if segments[middle].firstOffset <= offset { low = middle } else { high = middle }
      }
      return low
    }
  }

  struct ReadableSegment {
    var number: SegmentNumber
    var firstOffset: Offset
    var nonce: UInt64
    var source: SegmentSource
    var positions: PositionTable
    /// Where the last record ends, at the latest.
    var end: FilePosition
    /// The length of the file as far as it is used.
    var byteCount: UInt64
  }

  init(
    directory: LogDirectory, environment: any Environment, options: LogOptions, id: UniqueID,
    application: ApplicationTag, recovery: RecoveryReport, index: (any RecordIndex)?,
    writer: consuming sending Writer, published: sending Published
  ) {
    self.directory = directory
    self.environment = environment
    worker = Worker(environment)
    timers = Worker(environment)
    housekeeper = Worker(environment)
    syncPolicy = options.syncPolicy
    byteQuota = options.byteQuota
    self.index = index
    var counted = LogMetrics()
    counted.recordsRead = recovery.records
    counted.recoveries = recovery.outcome == .torn ? 1 : 0
    self.counted = Mutex(counted)
    self.id = id
    self.application = application
    self.recovery = recovery
    Platform.watchForks()
    forkCount = Platform.forkCount
    isWriter = writer.lock != nil
    self.writer = Mutex(writer)
    self.published = Mutex(published)
  }

  // MARK: State

  /// The current epoch: a reset, fork or restore starts another.
  public var epoch: Epoch { published.withLock { $0.epoch } }

  /// The first offset that is kept; one past the last if nothing is.
  public var firstOffset: Offset { published.withLock { $0.logStart } }

  /// The highest offset ever given out; 0 if none was. It never falls.
  public var latestOffset: Offset { published.withLock { Offset($0.next.rawValue - 1) } }

  /// The highest offset known to survive a power cut.
  public var durableOffset: Offset { published.withLock { Offset($0.durable.rawValue - 1) } }

  /// How many segments there are, and how many bytes of them are used.
  public var size: (segments: Int, bytes: UInt64) {
    published.withLock { ($0.segments.count, $0.segments.reduce(0) { $0 + $1.byteCount }) }
  }

  /// What the log has done since it was opened. Cost: a copy of some 2 KB, for which nobody waits.
  public var metrics: LogMetrics {
    var metrics = counted.withLock { $0 }
    published.withLock { published in
      for segment in published.segments {
        guard case .mapped = segment.source else { continue }
        metrics.mappedSegments += 1
        metrics.mappedBytes += segment.byteCount
      }
    }
    return metrics
  }

  /// The directory it lives in.
  public var path: String { directory.path }

  /// The file system that directory is in.
  package var fileSystem: any FileSystem { directory.fileSystem }

  func closedError() -> LogError {
    LogError(.closed, path: directory.path, "the handle was closed; open the log again")
  }
}

extension SegmentedLog {
  /// Throws `.forked` in a child of the process that opened the log. To be called before any lock is taken, which a
  /// thread that the child does not have may have held.
  package func checkProcess() throws(LogError) {
    guard forkCount != Platform.forkCount else { return }
    throw LogError(
      .forked, path: directory.path,
      "the handle belongs to the process that this one was forked from; open the log here")
  }

  /// Throws `.closed` after a close.
  package func checkOpen() throws(LogError) {
    try checkProcess()
    if published.withLock({ $0.isClosed }) { throw closedError() }
  }

  /// Throws what an append would, were there something to write.
  package func checkWritable() throws(LogError) {
    try checkProcess()
    try writer.withLock { (writer) throws(LogError) in try checkWritable(writer) }
  }

  /// Does the file at `path` start with these bytes? False if it cannot be read.
  package static func fileStarts(_ path: String, with text: String) -> Bool {
    var buffer = ByteBuffer()
    do throws(FileSystemError) {
      let file = try DiskFileSystem.shared.open(path, .readOnly)
      try buffer.fill(text.utf8.count) { (space) throws(FileSystemError) in try file.read(into: &space, at: 0)
      }
    } catch {
      return false
    }
    return buffer.bytes.isEqual(to: text.utf8Span.span.rawBytes)
  }
}
