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
    return try await outcome(of: submit(batch, durably: durably)).get()
  }

  /// Takes a place in the order of appends. Whoever submits has to wait for the outcome, since it may be for him to write.
  /// An empty batch takes effect when all before it have.
  package func submit(
    _ batch: consuming RecordBatch, durably: Bool? = nil,
    onStored: @escaping @Sendable (Range<Offset>) -> Void = { _ in }
  ) -> PendingAppend {
    let pending = PendingAppend(batch, isDurable: durably ?? (syncPolicy == .always), onStored: onStored)
    if commits.withLock({ $0.add(pending) }) { pending.tell(.leads) }
    return pending
  }

  package func outcome(of pending: PendingAppend) -> Result<Range<Offset>, LogError> {
    while true {
      switch pending.hear() {
      case .leads: lead()
      case .stored(let offsets): return .success(offsets)
      case .failed(let error): return .failure(error)
      }
    }
  }

  package func outcome(of pending: PendingAppend) async -> Result<Range<Offset>, LogError> {
    while true {
      switch await pending.hear() {
      case .leads: worker.perform { [self] in lead() }
      case .stored(let offsets): return .success(offsets)
      case .failed(let error): return .failure(error)
      }
    }
  }

  /// How many appends wait for somebody to commit them.
  package var waitingAppends: Int { commits.withLock { $0.count } }

  // MARK: Committing

  /// So much is gathered for one write; a larger batch is written by itself.
  private static let groupByteCount = 4 << 20

  /// Commits what has queued up, hands the lead on, and tells everybody.
  private func lead() {
    let group = commits.withLock { $0.takeGroup(byteLimit: Self.groupByteCount) { $0.byteCount } }
    let words = writer.withLock { commit(group, &$0) }
    // First the next leader, so that the disk is not kept waiting.
    commits.withLock { $0.handOver() }?.tell(.leads)
    for (pending, word) in zip(group, words) { pending.tell(word) }
  }

  private func commit(_ group: [PendingAppend], _ writer: inout Writer) -> [PendingAppend.Word] {
    var words: [PendingAppend.Word] = []
    words.reserveCapacity(group.count)
    while words.count < group.count {
      let rest = group[words.count...]
      do throws(LogError) {
        if rest[rest.startIndex].byteCount == 0, case .sealed = try usable(&writer) {
          // Nothing to write, and what a sealed segment holds is durable.
          let next = published.withLock { $0.next }
          words.append(.stored(next..<next))
          continue
        }
        let room = try roomUnderQuota(for: rest[rest.startIndex].byteCount)
        let active = try activeSegment(&writer, holding: rest[rest.startIndex].byteCount)
        var byteCount = 0
        let part = rest.prefix { pending in
          byteCount += pending.byteCount
          return active.hasRoom(for: byteCount) && byteCount <= room
        }
        commit(part, active, &writer, &words)
      } catch {
        words.append(.failed(error))
      }
    }
    return words
  }

  /// How many bytes may still be appended.
  private func roomUnderQuota(for byteCount: Int) throws(LogError) -> Int {
    guard let byteQuota, byteCount > 0 else { return .max }
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
    _ part: ArraySlice<PendingAppend>, _ active: ActiveSegment, _ writer: inout Writer,
    _ words: inout [PendingAppend.Word]
  ) {
    do throws(LogError) {
      let first = published.withLock { $0.next }
      var written = Written(next: first)
      try write(part, active, &written, &writer)
      let isDurable = part.contains { $0.isDurable }
      if isDurable { try sync(&writer) }
      publish(written, isDurable: isDurable, &writer)
      if !isDurable { scheduleSync(&writer) }
      workAhead(&writer)
      for (pending, offsets) in zip(part, written.offsets) {
        pending.onStored(offsets)
        words.append(.stored(offsets))
      }
    } catch {
      words += repeatElement(.failed(error), count: part.count)
    }
  }

  /// What a write put into a segment.
  private struct Written {
    var next: Offset
    var offsets: [Range<Offset>] = []
    var places: [FilePosition] = []

    mutating func add(
      _ batch: inout RecordBatch, to active: inout ActiveSegment
    ) throws(LogError) {
      let end = next.advanced(by: UInt64(batch.count))
      guard end <= Offset.max.next else {
        throw LogError(.outOfOffsets, path: active.file.path, "all offsets are used; start a new log")
      }
      batch.seal(at: active.end, nonce: active.nonce, syncedThrough: active.synced, tally: &active.tally) {
        places.append($0)
      }
      active.end = active.end.advanced(by: UInt64(batch.byteCount))
      offsets.append(next..<end)
      next = end
    }
  }

  private func write(
    _ part: ArraySlice<PendingAppend>, _ active: ActiveSegment, _ written: inout Written,
    _ writer: inout Writer
  ) throws(LogError) {
    var grown = active
    let start = active.end.rawValue
    let outcome: Result<Void, FileSystemError>
    if part.count == 1, let only = part.first {
      outcome = try only.batch.withLock { (batch) throws(LogError) in
        try written.add(&batch, to: &grown)
        return Self.result { () throws(FileSystemError) in
          if batch.byteCount > 0 { try active.file.write(batch.bytes, at: start) }
        }
      }
    } else {
      writer.gathered.removeAll(keepingAtMost: Self.groupByteCount)
      for pending in part {
        try pending.batch.withLock { (batch) throws(LogError) in
          try written.add(&batch, to: &grown)
          writer.gathered.append(batch.bytes)
        }
      }
      outcome = Self.result { () throws(FileSystemError) in
        if writer.gathered.count > 0 { try active.file.write(writer.gathered.bytes, at: start) }
      }
    }
    do throws(FileSystemError) {
      try outcome.get()
    } catch {
      throw failedWrite(error, active, through: grown.end, &writer)
    }
    if grown.end > active.end { grown.quietEnd = nil }
    writer.state = .active(grown)
  }

  private static func result(_ body: () throws(FileSystemError) -> Void) -> Result<Void, FileSystemError> {
    do throws(FileSystemError) {
      return .success(try body())
    } catch {
      return .failure(error)
    }
  }

  private func publish(_ written: Written, isDurable: Bool, _ writer: inout Writer) {
    guard case .active(let active) = writer.state else { return }
    published.withLock { published in
      let last = published.segments.count - 1
      for place in written.places { published.segments[last].positions.append(place) }
      published.segments[last].end = active.end
      published.segments[last].byteCount = active.end.rawValue
      published.next = written.next
      if isDurable { published.durable = written.next }
    }
  }
}
