internal import PlatformIO
internal import Synchronization

extension SegmentedLog {
  /// Appends a batch and empties it; all of its records or none are there after a crash. Returns their offsets.
  ///
  /// Under `.always`, or with `durably`, it returns once they are durable. Thread-safe: what several threads append at the
  /// same time is committed together, in the order of the calls, with one write and one fdatasync. Cost alone: one write
  /// and, if durable, one fdatasync; a full segment adds two file syncs and a directory sync.
  ///
  /// A write that fails, on a full disk for example, is taken back and thrown as `.fileSystem` with its cause; nothing of
  /// it is stored, and appends succeed again when there is room. After a failed sync the handle takes no more appends
  /// (`.outcomeUnknown`): close it and open the log again.
  @discardableResult
  public func append(_ batch: inout RecordBatch, durably: Bool? = nil) throws(LogError) -> Range<Offset> {
    try checkProcess()
    var taken = RecordBatch()
    swap(&taken, &batch)
    let pending = submit(taken, durably: durably)
    let outcome = outcome(of: pending)
    batch = pending.takeBatch()
    return try outcome.get()
  }

  /// As the blocking append, for tasks: it suspends, and never keeps a thread of the cooperative pool waiting for the disk.
  @discardableResult
  public func append(
    _ batch: consuming RecordBatch, durably: Bool? = nil
  ) async throws(LogError) -> Range<Offset> {
    try checkProcess()
    return try await outcome(of: submit(batch, durably: durably, byTask: true)).get()
  }

  /// Takes a place in the order of appends. A thread that submits has to wait for the outcome, since it may be for it to
  /// write; a task need not. An empty batch takes effect when all before it have.
  package func submit(
    _ batch: consuming RecordBatch, durably: Bool? = nil, byTask isOfTask: Bool = false,
    onStage: @escaping @Sendable (PendingAppend.Stage, borrowing RecordBatch) -> Void = { _, _ in }
  ) -> PendingAppend {
    let pending = PendingAppend(
      batch, isDurable: durably ?? (syncPolicy == .always), onStage: onStage)
    if commits.withLock({ $0.add(pending) }) {
      // A task may never run again while the threads of its pool wait behind it.
      if !isOfTask { pending.tellToLead() } else if !letWorkerLead() { lead() }
    }
    return pending
  }

  package func outcome(of pending: PendingAppend) -> PendingAppend.Outcome {
    switch pending.hear() {
    case .leads:
      lead()
      return outcome(of: pending)
    case .settled(let outcome): return outcome
    }
  }

  package func outcome(of pending: PendingAppend) async -> PendingAppend.Outcome {
    await pending.outcome()
  }

  /// How many appends wait for somebody to commit them.
  package var waitingAppends: Int { commits.withLock { $0.count } }

  // MARK: Committing

  /// So much is gathered for one write; a larger batch is written by itself.
  private static let groupByteCount = 4 << 20

  /// False: there is no thread for it, so the caller has to lead.
  private func letWorkerLead() -> Bool { worker.perform { [self] in lead(isWorker: true) } }

  /// Commits what has queued up, and tells everybody. Who came to append commits one group and leaves the next to the worker, which
  /// goes on until nothing waits: were the lead handed from one to another, the disk would wait each time until that one runs.
  func lead(isWorker: Bool = false) {
    var goesOn = true
    while goesOn {
      let group = commits.withLock { $0.takeGroup(byteLimit: Self.groupByteCount) { $0.byteCount } }
      let outcomes = writer.withLock { commit(group, &$0) }
      goesOn = commits.withLock { $0.handOver() } && (isWorker || !letWorkerLead())
      for (pending, outcome) in zip(group, outcomes) { pending.settle(outcome) }
    }
  }

  /// Ends the turn of who took the lead without an append in the queue.
  package func handOverLead() {
    if commits.withLock({ $0.handOver() }), !letWorkerLead() { lead() }
  }

  /// Appends that are committed together. Each is settled in its turn.
  private struct Group {
    let appends: [PendingAppend]
    private(set) var outcomes: [PendingAppend.Outcome] = []
    /// Those that are not settled yet.
    var rest: ArraySlice<PendingAppend> { appends[outcomes.count...] }

    init(_ appends: [PendingAppend]) {
      self.appends = appends
      outcomes.reserveCapacity(appends.count)
    }

    mutating func settleNext(_ outcome: PendingAppend.Outcome) {
      appends[outcomes.count].reach(.settled)
      outcomes.append(outcome)
    }
  }

  private func commit(_ appends: [PendingAppend], _ writer: inout Writer) -> [PendingAppend.Outcome] {
    let started = SystemEnvironment.monotonicNanoseconds()
    var group = Group(appends)
    while let first = group.rest.first {
      do throws(LogError) {
        // First of all: a handle that cannot write says so, whatever is asked of it.
        _ = try usable(&writer)
        if first.byteCount == 0 {
          if first.isDurable { try sync(&writer) }
          let next = published.withLock { $0.next }
          group.settleNext(.success(next..<next))
          continue
        }
        let room = try roomUnderQuota(for: first.byteCount)
        let active = try activeSegment(&writer, holding: first.byteCount)
        var byteCount = 0
        let part = group.rest.prefix { pending in
          byteCount += pending.byteCount
          return active.hasRoom(for: byteCount) && byteCount <= room
        }
        commit(part, active, &writer, &group)
      } catch {
        group.settleNext(.failure(error))
      }
    }
    count(group, SystemEnvironment.monotonicNanoseconds() - started)
    return group.outcomes
  }

  private func count(_ group: Group, _ nanoseconds: UInt64) {
    counted.withLock { counted in
      for (append, outcome) in zip(group.appends, group.outcomes) {
        switch outcome {
        case .success(let offsets): counted.count(offsets, append.byteCount)
        case .failure: counted.failedAppends += 1
        }
      }
      counted.commits.add(nanoseconds)
    }
  }

  /// How many bytes may still be appended.
  func roomUnderQuota(for byteCount: Int) throws(LogError) -> Int {
    guard let byteQuota else { return .max }
    let used = published.withLock { $0.segments.reduce(0) { $0 + $1.byteCount } }
    // What a new segment and the ends of two would take is kept free, so that the quota is a promise.
    let overhead = SegmentHeader.dataStart.rawValue + 2 * ActiveSegment.reserve
    let taken = used + overhead
    guard taken + UInt64(byteCount) <= byteQuota else {
      throw LogError(
        .quotaExceeded, path: directory.path,
        "the log uses \(used) bytes, and \(byteCount) more would pass its quota of \(byteQuota); raise the quota, or drop old records"
      )
    }
    return Int(clamping: byteQuota - taken)
  }

  /// Commits what fits into a segment: one write, one sync, and then it is there for all to see.
  private func commit(
    _ part: ArraySlice<PendingAppend>, _ active: ActiveSegment, _ writer: inout Writer, _ group: inout Group
  ) {
    do throws(LogError) {
      let first = published.withLock { $0.next }
      var written = Written(next: first)
      try write(part, active, &written, &writer)
      let isDurable = part.contains { $0.isDurable }
      if isDurable { try sync(active, &writer) }
      for (append, offsets) in zip(part, written.offsets) { append.reach(.stored(offsets.lowerBound)) }
      published.withLock { published in
        let last = published.segments.count - 1
        for place in written.places { published.segments[last].positions.append(place) }
        published.advance(to: written.next, end: active.end, isDurable: isDurable)
      }
      if !isDurable { scheduleSync(&writer) }
      workAhead(active, &writer)
      for offsets in written.offsets { group.settleNext(.success(offsets)) }
    } catch {
      for _ in part { group.settleNext(.failure(error)) }
    }
  }

  /// What a write put into a segment.
  private struct Written {
    var next: Offset
    var offsets: [Range<Offset>] = []
    var places: [FilePosition] = []
  }

  /// Completes a batch for its place behind the end of `grown`, and moves that on. Returns the offset behind its last record.
  func lay(
    _ batch: inout RecordBatch, _ first: Offset, _ active: ActiveSegment,
    _ grown: inout ActiveSegment.Extent
  ) throws(LogError) -> Offset {
    let next = first.advanced(by: UInt64(batch.count))
    guard next <= Offset.max.next else {
      throw LogError(.outOfOffsets, path: active.file.path, "all offsets are used; start a new log")
    }
    batch.seal(at: grown.end, nonce: active.nonce, syncedThrough: grown.synced, tally: &grown.tally)
    grown.end = grown.end.advanced(by: UInt64(batch.byteCount))
    return next
  }

  private func lay(
    _ batch: inout RecordBatch, _ written: inout Written, _ active: ActiveSegment,
    _ grown: inout ActiveSegment.Extent
  ) throws(LogError) {
    let (first, start) = (written.next, grown.end)
    written.next = try lay(&batch, first, active, &grown)
    written.offsets.append(first..<written.next)
    batch.forEachFrame(at: start) { written.places.append($0) }
  }

  private func write(
    _ part: ArraySlice<PendingAppend>, _ active: ActiveSegment, _ written: inout Written,
    _ writer: inout Writer
  ) throws(LogError) {
    var grown = active.extent
    let start = grown.end.rawValue
    let outcome: Result<Void, FileSystemError>
    if part.count == 1, let only = part.first {
      outcome = try only.batch.withLock { (batch) throws(LogError) in
        try lay(&batch, &written, active, &grown)
        return Self.result { () throws(FileSystemError) in try active.file.write(batch.bytes, at: start) }
      }
    } else {
      writer.gathered.removeAll(keepingAtMost: Self.groupByteCount)
      for pending in part {
        try pending.batch.withLock { (batch) throws(LogError) in
          try lay(&batch, &written, active, &grown)
          writer.gathered.append(batch.bytes)
        }
      }
      outcome = Self.result { () throws(FileSystemError) in
        try active.file.write(writer.gathered.bytes, at: start)
      }
    }
    do throws(FileSystemError) {
      try outcome.get()
    } catch {
      throw failedWrite(error, active, through: grown.end, &writer)
    }
    grown.quietEnd = nil
    active.extent = grown
  }

  private static func result(_ body: () throws(FileSystemError) -> Void) -> Result<Void, FileSystemError> {
    do throws(FileSystemError) {
      return .success(try body())
    } catch {
      return .failure(error)
    }
  }
}
