internal import PlatformIO
internal import Synchronization

/// What the housekeeper does ahead of time, so that a roll has less to wait for. Without a thread for it a roll waits longer.
extension SegmentedLog {
  /// So much is written unsynced before the system is asked to begin with it.
  private static let writebackByteCount: UInt64 = 1 << 20

  /// To be called after each commit.
  func workAhead(_ active: ActiveSegment, _ writer: inout Writer) {
    let start = max(active.extent.writtenBack, active.extent.synced)
    if active.end.rawValue >= start.rawValue + Self.writebackByteCount {
      active.extent.writtenBack = active.end
      let (file, end) = (active.file, active.end)
      _ = environment.perform(after: 0, on: housekeeper) {
        file.startWriteback(from: start.rawValue, to: end.rawValue)
      }
    }
    let next = active.number.next
    if active.end.rawValue > active.capacity / 2, writer.preparedFor != next {
      writer.preparedFor = next
      let byteCount = writer.header.segmentSize
      _ = environment.perform(after: 0, on: housekeeper) { [weak self] in
        self?.housekeeping.withLock { _ in self?.prepare(next, byteCount: byteCount) }
      }
    }
  }

  /// Makes a file for the next segment and reserves its space. If that cannot be done the roll does it, or says why not.
  private func prepare(_ number: SegmentNumber, byteCount: UInt64) {
    guard isNext(number) else { return }
    let prepared: LogDirectory.PreparedSegment
    do throws(FileSystemError) {
      prepared = try directory.prepare(
        number, byteCount: byteCount, unique: environment.randomUInt64())
    } catch {
      return
    }
    let isTaken = writer.withLock { writer in
      guard case .active(let active) = writer.state, active.number.next == number else { return false }
      writer.prepared = prepared
      return true
    }
    // The log rolled meanwhile, or was closed.
    if !isTaken { directory.discard(prepared) }
  }

  private func isNext(_ number: SegmentNumber) -> Bool {
    published.withLock { $0.segments.last?.number.next == number }
  }

  /// The prepared file, if it is of use for this segment.
  func takePrepared(
    for header: SegmentHeader, _ writer: inout Writer
  ) -> LogDirectory.PreparedSegment? {
    guard let prepared = writer.prepared.take() else { return nil }
    if prepared.number == header.number, prepared.byteCount == header.preallocated { return prepared }
    directory.discard(prepared)
    return nil
  }
}
