public import LogEngine
package import PlatformIO
internal import Synchronization

/// A durable, append-only record of what agents did: each event is written once, found by its id, and read back by its
/// run or from any offset.
///
/// One handle writes a ledger; any number of threads may use it, and readers never wait for a write or a sync. FORMAT.md
/// describes the files.
///
/// Whatever throws, throws ``LedgerError``: with code `log` and, in ``LedgerError/log``, `closed` after ``close()``, `forked`
/// in a process that was forked from the one that opened the ledger, `fileSystem` where the system refused; what changes the
/// ledger, `readOnly` if it was opened for reading. Reading a record that is not what was written throws `log` with code
/// `damaged`, or `corruptEvent` if it holds no valid event. What is said of a method's errors comes on top.
public final class Ledger: Sendable {
  let log: SegmentedLog
  let environment: any Environment
  let maximumPayload: Int
  /// Which kinds this ledger accepts.
  public let kindRule: KindRule

  /// Held for moments, by readers too.
  let index: EventIndex
  /// Held while it is decided what of a call is new, not while that is written.
  let deciding = UnfairLock()
  /// Held while the index of a segment is made of its records. Taken behind `deciding`.
  let remaking = Mutex(())
  /// Held for moments.
  let onTheirWay = Mutex(OnTheirWay())
  /// An empty draft's memory, to be used again. Held for moments.
  let spare = Mutex(Draft())
  /// For the hashes of ids, as the index has them.
  let idSeed: UInt64
  /// Where copies go, if not to the ledger's own file system: one in memory goes to the disk.
  let copyFileSystem: (any FileSystem)?

  private init(
    log: SegmentedLog, environment: any Environment, options: LedgerOptions, index: EventIndex
  ) {
    self.log = log
    copyFileSystem = log.fileSystem is MemoryFileSystem ? DiskFileSystem.shared : nil
    self.environment = environment
    maximumPayload = min(options.maximumPayload, EventLimits.payloadBytes)
    kindRule = LedgerOptions.kindRule(of: log.application)
    self.index = index
    idSeed = index.withLock { $0.seed }
  }

  // MARK: Opening

  /// Opens the ledger in a directory.
  ///
  /// It must exist unless `options.creation` says otherwise. A writer holds it alone until it is closed; others are told
  /// at once who does. Cost: after a clean close no record is read, only the indexes beside the segments; after a crash, or
  /// where such an index is missing, the records that none covers are read. Throws ``LedgerError`` with code `log`, `foreignDatabase`,
  /// `wrongKindRule` or `corruptEvent`.
  public static func open(at path: String, options: LedgerOptions = LedgerOptions()) throws(LedgerError)
    -> Ledger
  {
    do throws(LedgerError) {
      return try open(
        at: path, options: options, fileSystem: DiskFileSystem.shared, environment: SystemEnvironment())
    } catch {
      throw Self.namingForeignDatabase(error, path)
    }
  }

  /// Opens what a location names; see ``LedgerLocation/resolve(_:environment:)``.
  public static func open(
    _ location: LedgerLocation, options: LedgerOptions = LedgerOptions()
  ) throws(LedgerError) -> Ledger {
    switch location {
    case .memory: try inMemory(options: options)
    case .directory(let path): try open(at: path, options: options)
    }
  }

  /// A new, empty ledger that lives and dies with the process. Everything else about it is as on a disk.
  public static func inMemory(options: LedgerOptions = LedgerOptions()) throws(LedgerError) -> Ledger {
    var options = options
    options.access = .readWrite
    options.creation = .createIfMissing
    return try open(
      at: "memory", options: options, fileSystem: MemoryFileSystem(), environment: SystemEnvironment())
  }

  package static func open(
    at path: String, options: LedgerOptions, fileSystem: any FileSystem, environment: any Environment
  ) throws(LedgerError) -> Ledger {
    var attempts = 1
    while true {
      do throws(LedgerError) {
        return try openOnce(at: path, options, fileSystem, environment)
      } catch {
        // A writer reset the ledger meanwhile; then the new state is there to see.
        guard error.log?.code == .changedMeanwhile, attempts < 5 else { throw error }
        attempts += 1
      }
    }
  }

  private static func openOnce(
    at path: String, _ options: LedgerOptions, _ fileSystem: any FileSystem, _ environment: any Environment
  ) throws(LedgerError) -> Ledger {
    guard (0...EventLimits.payloadBytes).contains(options.maximumPayload) else {
      throw LedgerError(
        .log, "",
        log: LogError(
          .invalidOption, path: path,
          "a payload limit of \(options.maximumPayload) is outside 0–\(EventLimits.payloadBytes) bytes"))
    }
    let index = EventIndex(
      seed: environment.randomUInt64(), refusesUnreadable: options.access == .readWrite)
    let log: SegmentedLog
    do throws(LogError) {
      log = try SegmentedLog.open(
        at: path, options: options.logOptions, fileSystem: fileSystem, environment: environment, index: index)
    } catch {
      if let corrupt = index.unreadable {
        throw Self.corruptEvent(corrupt, "the record has not the shape of an event")
      }
      throw LedgerError(error)
    }
    let ledger = Ledger(log: log, environment: environment, options: options, index: index)
    if let wanted = options.kindRule, wanted != ledger.kindRule, log.recovery.outcome != .created {
      try ledger.close()
      throw LedgerError(
        .wrongKindRule,
        "\(path): the ledger takes \(ledger.kindRule == .dotted ? "dotted kinds" : "any text as a kind"), fixed when it was created; open it without a rule, or copy its events to a new ledger"
      )
    }
    return ledger
  }

  static func corruptEvent(_ offset: Offset, _ flaw: String) -> LedgerError {
    LedgerError(
      .corruptEvent,
      "offset \(offset): \(flaw), though its checksum is right; the program that wrote it is at fault, restore the event from its source",
      offset: offset)
  }

  /// A file where a ledger's directory should be may be the database this ledger is to replace.
  static func namingForeignDatabase(_ error: LedgerError, _ path: String) -> LedgerError {
    guard error.log?.code == .notALog, error.log?.cause?.code == .notADirectory,
      SegmentedLog.fileStarts(path, with: "SQLite format 3\0")
    else { return error }
    return LedgerError(
      .foreignDatabase,
      "\(path): it is an SQLite database, not a ledger; write its events as JSON lines and import them with `ledgerctl import`"
    )
  }

  // MARK: State

  /// The ledger's identity, kept by all its copies.
  public var id: UniqueID { log.id }

  /// The current epoch.
  public var epoch: Epoch { log.epoch }

  /// The highest offset ever given out; 0 if none was. It never falls, not even on a reset.
  public var latestOffset: Offset { log.latestOffset }

  /// The first offset that is kept; one past the last if nothing is.
  public var firstOffset: Offset { log.firstOffset }

  /// The highest offset known to survive a power cut.
  public var durableOffset: Offset { log.durableOffset }

  /// What opening found and did.
  public var recovery: RecoveryReport { log.recovery }

  /// How many segments there are, and how many bytes of them are used.
  public var size: (segments: Int, bytes: UInt64) { log.size }

  /// What the ledger has done since it was opened: counters and latencies. Cost: a copy of some 2 KB, for which nobody waits.
  public var metrics: LogMetrics { log.metrics }

  /// How many events can be found.
  public var eventCount: Int { index.withLock { $0.count } }

  /// How many runs there are. Cost: a look at each run the first time it is asked for, then at those of the newest segments. Throws
  /// `log` where an index is not what was written and its records cannot be read.
  public var runCount: Int {
    get throws(LedgerError) {
      try inIndex(allValues: true) { (index) throws(UnsoundPart) in try index.runCount }
    }
  }

  /// Bytes of memory the indexes use: apart from the names of runs, kinds, actors, sessions and models, and for those.
  public var indexSize: (index: Int, names: Int) {
    index.withLock { $0.byteCounts }
  }

  // MARK: Making events

  /// The time now, by the system's clock.
  public func now() -> Timestamp { Timestamp(environment.wallTime()) }

  /// Makes an event for this ledger, with a random id and the time now unless given. Nothing is stored. Throws
  /// `.invalidEvent`.
  public func makeEvent(
    id: String? = nil, run: String, turn: Int64, kind: String, actor: String, payload: String,
    createdAt: Timestamp? = nil, schemaVersion: Int64 = 1, session: String? = nil,
    modelProfile: String? = nil,
    model: String? = nil
  ) throws(LedgerError) -> Event {
    do throws(EventError) {
      return try Event(
        id: id ?? UniqueID(random: environment.randomUInt64(), environment.randomUInt64()).description,
        runID: run,
        turn: turn, kind: kind, actor: actor, payload: Array(payload.utf8), createdAt: createdAt ?? now(),
        schemaVersion: schemaVersion, sessionID: session, modelProfile: modelProfile, modelID: model,
        kindRule: kindRule)
    } catch {
      throw LedgerError(.invalidEvent, "", id: id, event: error)
    }
  }

  // MARK: Ending

  /// Makes every event appended so far durable. Thread-safe; appends wait meanwhile, readers do not. Cost: one sync; none if all
  /// is durable. Throws `log` with code `outcomeUnknown` if this or an earlier sync failed: close the ledger and open it again.
  public func sync() throws(LedgerError) { try onLog { () throws(LogError) in try log.sync() } }

  /// Makes everything durable and lets the next writer in. Closing again does nothing; any other use afterwards is an
  /// error. Waits for a copy that is being made. Throws `log` with code `outcomeUnknown` if an append or a sync did.
  public func close() throws(LedgerError) {
    try onLog { () throws(LogError) in try log.close() }
  }

  /// Empties the ledger and frees all ids, in one atomic step. Offsets go on, and a new epoch starts, which refuses the
  /// cursors of the old one. Each append takes effect before it or after it, as a whole. Works on a full disk. A crash leaves
  /// the old ledger or the empty one. Waits for a copy that is being made; throws what an append would.
  public func reset() throws(LedgerError) {
    try onLog { () throws(LogError) in try log.checkProcess() }
    // Copies first: while one is made, nobody who decides what to append may have to wait for it.
    try log.excludingCopies { () throws(LedgerError) in
      try deciding.withLock { () throws(LedgerError) in
        // What was decided before takes effect before: behind the reset its duplicates would be duplicates of nothing. If it
        // fails, those who wait for it are told, and a reset that cannot be done for the same reason says so itself.
        _ = log.outcome(of: log.submit(RecordBatch(), durably: false))
        try onLog { () throws(LogError) in try log.empty() }
      }
    }
  }

  /// Reads every byte of the ledger at a path and checks all that can be checked, changing nothing, on several threads. Works
  /// on a ledger that cannot be opened, and beside a writer. `progress` is told, from any of the threads, how many bytes of how
  /// many were read. Damage is in the result; it throws `foreignDatabase`, or `log` if there is no ledger, a file cannot be
  /// read, or a writer drops segments again and again meanwhile (`changedMeanwhile`).
  public static func verify(
    at path: String, progress: @escaping @Sendable (UInt64, UInt64) -> Void = { _, _ in }
  ) throws(LedgerError) -> SegmentedLog.Verification {
    do throws(LogError) {
      return try SegmentedLog.verify(
        at: path, application: ApplicationTag(id: LedgerOptions.applicationID), progress: progress
      ) { offset, record in
        guard let view = EventView(record, at: offset, kindRule: .anyText) else { return false }
        return view.flaw == nil
      }
    } catch {
      throw namingForeignDatabase(LedgerError(error), path)
    }
  }
}

extension Timestamp {
  /// A clock outside the years 0000–9999 counts as standing at the nearer end.
  init(_ time: WallTime) {
    self =
      Timestamp(seconds: time.seconds, nanoseconds: time.nanoseconds)
      ?? (time.seconds < 0 ? .minimum : .maximum)
  }
}
