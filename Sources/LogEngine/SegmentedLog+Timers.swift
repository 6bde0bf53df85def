internal import PlatformIO
internal import Synchronization

/// What happens some time after an append. Timers run on a thread of their own and hold no log alive. If there is no thread
/// for one, the next append tries again.
extension SegmentedLog {
  // MARK: Interval

  /// Sees to it that what was just written is durable when the interval has passed.
  func scheduleSync(_ writer: inout Writer) {
    guard case .interval(let interval) = syncPolicy, !writer.isSyncDue else { return }
    writer.isSyncDue = environment.perform(after: interval.nanoseconds, on: timers) { [weak self] in
      self?.syncBehind()
    }
  }

  private struct Unsynced {
    var file: any LogFile
    var number: SegmentNumber
    var end: FilePosition
    var next: Offset
  }

  /// Syncs without holding up appends: what is written meanwhile is the next sync's.
  private func syncBehind() {
    let unsynced: Unsynced? = writer.withLock { writer in
      writer.isSyncDue = false
      let active: ActiveSegment
      switch writer.state {
      // What stood before a write that failed is to be durable in time, too.
      case .active(let segment), .unfinished(let segment, _): active = segment
      // A sealed segment was synced with its seal.
      case .sealed, .stopped: return nil
      }
      guard active.extent.synced < active.end else { return nil }
      return Unsynced(
        file: active.file, number: active.number, end: active.end, next: published.withLock { $0.next })
    }
    guard let unsynced else { return }
    do throws(LogError) {
      try synchronize(unsynced.file)
    } catch {
      writer.withLock { writer in
        if case .stopped(.closed) = writer.state { return }
        writer.state = .stopped(.poisoned(error))
      }
      return
    }
    writer.withLock { writer in
      switch writer.state {
      case .active(let active) where active.number == unsynced.number:
        active.extent.synced = max(active.extent.synced, unsynced.end)
        awaitQuiet(&writer)
      case .unfinished(let active, _) where active.number == unsynced.number:
        active.extent.synced = max(active.extent.synced, unsynced.end)
      default: break
      }
    }
    published.withLock { $0.durable = max($0.durable, unsynced.next) }
  }

  // MARK: Quiet

  private static let quietNanoseconds: UInt64 = 1_000_000_000

  /// Lays a sync frame once nothing was appended for a second after a sync, so that damage to the last records is not taken
  /// for a tear. FORMAT.md, "Sync frame".
  func awaitQuiet(_ writer: inout Writer) {
    guard !writer.isQuietDue, case .active(let active) = writer.state, active.extent.quietEnd != active.end
    else {
      return
    }
    let (number, end) = (active.number, active.end)
    writer.isQuietDue = environment.perform(after: Self.quietNanoseconds, on: timers) { [weak self] in
      self?.layQuietFrame(number, end)
    }
  }

  private func layQuietFrame(_ number: SegmentNumber, _ end: FilePosition) {
    writer.withLock { writer in
      writer.isQuietDue = false
      // What is not synced yet will be, or is not meant to be; either way its sync sees to the frame.
      guard case .active(let active) = writer.state, active.extent.synced == active.end else { return }
      if active.number == number, active.end == end {
        // A failure shows in the state, and with the next append.
        do throws(LogError) { try writeSyncFrame(active, &writer) } catch {}
      } else {
        awaitQuiet(&writer)
      }
    }
  }
}

extension Duration {
  /// At least 0; what no clock will reach for the longest.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (whole, isTooLong) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, isStillTooLong) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
    return isTooLong || isStillTooLong ? .max : sum
  }
}
