internal import PlatformIO
internal import Synchronization

/// What becomes of a write that failed. FORMAT.md, "Failed write".
extension SegmentedLog {
  /// Takes back what a failed write left: clears it, and goes on in a new segment, since no place may get two contents
  /// under one nonce. What fails here for want of room is tried again by the next append; a failed sync is final.
  func takeBack(
    _ active: ActiveSegment, _ dirtyEnd: FilePosition, _ writer: inout Writer
  ) throws(LogError) -> SegmentHeader.Predecessor {
    let file = active.file
    do throws(LogError) {
      if let last = try drop(active, &writer) { return last }
      try onFile { () throws(FileSystemError) in
        let length = try file.status().length
        try file.clear(from: active.end, to: min(dirtyEnd, FilePosition(length)))
      }
      try synchronize(file, &writer)
      return try seal(active, &writer)
    } catch {
      guard error.code != .outcomeUnknown else { throw error }
      throw LogError(
        .outcomeUnknown, path: directory.path,
        "a write failed and could not be taken back yet, so whether its records are stored is unknown; append again, or open the log again",
        cause: error.cause)
    }
  }

  /// Removes a segment without a record, so that appends that are tried again on a full disk do not leave one each time.
  /// Its number goes to the next one. Returns what the segment before it was; nil if it has to stay.
  private func drop(
    _ active: ActiveSegment, _ writer: inout Writer
  ) throws(LogError) -> SegmentHeader.Predecessor? {
    guard active.extent.tally.recordCount == 0, active.isExpendable else { return nil }
    let directory = directory
    try onFile { () throws(FileSystemError) in
      try directory.removeIfPresent(directory.path(of: LogDirectory.name(of: active.number)))
    }
    do throws(FileSystemError) {
      // Before anybody hears that nothing is stored: a segment that came back would bring the failed batches along.
      try directory.fileSystem.syncDirectory(directory.path)
    } catch {
      let unknown = Self.unknown(LogError(error), directory)
      writer.state = .stopped(.poisoned(unknown))
      throw unknown
    }
    published.withLock { _ = $0.segments.removeLast() }
    writer.state = .sealed(writer.header.previous)
    return writer.header.previous
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
}
