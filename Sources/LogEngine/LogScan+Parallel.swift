internal import PlatformIO
internal import Synchronization

/// Checking a log with several threads.
extension LogScan {
  /// As ``run(_:)``, but all segments but the newest are read by several threads, each telling of its own records in order.
  /// `progress` gets how many bytes of how many were read.
  mutating func run(
    threads: Int, progress: @escaping @Sendable (UInt64, UInt64) -> Void,
    _ visit: @escaping @Sendable (Offset, RawSpan) -> Void
  ) throws(LogError) {
    // Segments that are read at the same time are only checked.
    precondition(!keepsSources && index == nil)
    listing = try directory.list()
    var pending = try chain(from: listing.segments)
    guard let newest = pending.first else { return try confirm() }
    let earlier = Array(pending.dropFirst().reversed())
    var byteCounts: [UInt64] = []
    for opened in earlier + [newest] { byteCounts.append(try length(of: opened)) }
    let (sizes, total) = (byteCounts, byteCounts.reduce(0, +))
    let parts = Mutex<[Result<Part, LogError>?]>(earlier.map { _ in nil })
    let done = Mutex<UInt64>(0)
    let (directory, besideWriter, logStart) = (directory, besideWriter, logStart)
    Parallel.forEach(0..<earlier.count, threads: threads) { place in
      var scan = LogScan(directory, besideWriter: besideWriter, keepsSources: false)
      scan.logStart = logStart
      let part = scan.part(
        earlier[place], before: place + 1 < earlier.count ? earlier[place + 1] : newest, visit)
      parts.withLock { $0[place] = part }
      progress(
        done.withLock { done in
          done += sizes[place]
          return done
        }, total)
    }
    for case .some(let part) in parts.withLock({ $0 }) { adopt(try part.get()) }
    pending = [newest]
    try readAll(&pending) { (offset, record) in visit(offset, record) }
    progress(total, total)
    nameLostOffsets()
    try confirm()
  }

  /// What reading one segment by itself found.
  private struct Part: Sendable {
    var findings: [Finding]
    var segments: [Segment]
    var recordsRead: UInt64
  }

  private mutating func part(
    _ opened: LogDirectory.OpenedSegment, before successor: LogDirectory.OpenedSegment,
    _ visit: (Offset, RawSpan) -> Void
  ) -> Result<Part, LogError> {
    do throws(LogError) {
      guard let header = opened.header else {
        return .success(Part(findings: [], segments: [], recordsRead: 0))
      }
      var pending = [successor]
      try readSegment(opened, header, &pending) { (offset, record) in visit(offset, record) }
      return .success(Part(findings: findings, segments: segments, recordsRead: recordsRead))
    } catch {
      return .failure(error)
    }
  }

  private mutating func adopt(_ part: Part) {
    for segment in part.segments {
      checkContinuity(to: segment.number, segment.header)
      segments.append(segment)
      nextToVisit = max(nextToVisit, segment.nextOffset)
    }
    findings += part.findings
    recordsRead += part.recordsRead
  }

  private func length(of opened: LogDirectory.OpenedSegment) throws(LogError) -> UInt64 {
    try onFile { () throws(FileSystemError) in
      let path = directory.path(of: LogDirectory.name(of: opened.number))
      return try directory.fileSystem.status(of: path)?.length ?? 0
    }
  }
}
