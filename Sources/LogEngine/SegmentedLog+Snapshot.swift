package import PlatformIO
internal import Synchronization

/// A copy that was made of a log.
public struct LogCopy: Sendable, Hashable {
  /// The log's identity, which all its copies keep.
  public var log: UniqueID
  /// The copy's epoch: a snapshot's is the log's own until somebody writes to it, a fork or restored log has a new one.
  public var epoch: UniqueID
  /// The first offset that the copy has.
  public var firstOffset: Offset
  /// The last offset that the copy has.
  public var latestOffset: Offset
  /// How many segments it has.
  public var segments: Int
  /// How many bytes they use.
  public var bytes: UInt64
  /// How many bytes had to be copied, since there could be no link to them or only a part was wanted.
  public var copiedBytes: UInt64
}

extension SegmentedLog {
  /// Makes a snapshot of the log at a new path: a directory that can be opened like a log, and restored.
  ///
  /// It holds every record that was appended before the call, and is durable. The segments are linked, so that the cost is
  /// that of sealing the active segment (one file sync, for which appends wait) and of one link a segment (for which they do
  /// not); across devices, or where links are refused, the bytes are copied. A reset, retention and a close wait until it is
  /// done. Until it is complete nothing is at `path`. What is there already is replaced only if `replacing` says so and it
  /// is a log nobody writes to; then in one step.
  ///
  /// Thread-safe. Throws `.alreadyExists` or `.badDestination`, `.locked` if a writer has what would be replaced, and what
  /// an append would.
  @discardableResult
  public func snapshot(to path: String, replacing: Bool = false) throws(LogError) -> LogCopy {
    try snapshot(to: path, replacing: replacing, in: directory.fileSystem)
  }

  @discardableResult
  package func snapshot(
    to path: String, replacing: Bool, in fileSystem: any FileSystem
  ) throws(LogError) -> LogCopy {
    try checkWritable()
    return try excludingCopies { () throws(LogError) in
      try Destination.make(path, replacing: replacing, from: directory, in: fileSystem, environment) {
        (new) throws(LogError) in
        let contents = try writer.withLock { (writer) throws(LogError) in try sealUp(&writer) }
        let manifest = SnapshotManifest(
          log: id, epoch: contents.epoch.id, logStart: contents.logStart, next: contents.next,
          created: environment.microseconds(), segments: try contents.segments.map(listed))
        var copiedBytes: UInt64 = 0
        for segment in manifest.segments {
          copiedBytes += try new.takeOver(segment.number, length: segment.length, from: directory)
        }
        try new.writeSnapshot(manifest)
        return LogCopy(
          log: id, epoch: manifest.epoch, firstOffset: manifest.logStart,
          latestOffset: Offset(manifest.next.rawValue - 1), segments: manifest.segments.count,
          bytes: manifest.byteCount, copiedBytes: copiedBytes)
      }
    }
  }

  /// Runs `body` while no copy is made and nothing of the log is dropped.
  package func excludingCopies<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    try copying.withLock { (_) throws(E) in try body() }
  }

  // MARK: What a copy consists of

  /// The log at one moment, all of it sealed.
  struct Contents {
    var epoch: Epoch
    var logStart: Offset
    var next: Offset
    var segments: [ReadableSegment]
  }

  /// Makes everything durable and seals the active segment, if a copy needs it: it holds records, or it is the only one, or
  /// no other header says what its own does of the epoch and the log's start.
  func sealUp(_ writer: inout Writer) throws(LogError) -> Contents {
    if case .active(let active) = try usable(&writer) {
      let isSpare = active.extent.tally.recordCount > 0 ? false : try saysNothingNew(writer.header)
      if !isSpare { try seal(active, &writer) }
    }
    let isActive = if case .active = writer.state { true } else { false }
    return published.withLock { published in
      var kept = published
      if isActive { kept.segments.removeLast() }
      // One before the log's first that was sealed empty is no part of it.
      kept.segments.removeFirst(kept.place(of: kept.logStart))
      return Contents(epoch: kept.epoch, logStart: kept.logStart, next: kept.next, segments: kept.segments)
    }
  }

  /// Does an empty segment's header say nothing that its predecessor's does not?
  private func saysNothingNew(_ header: SegmentHeader) throws(LogError) -> Bool {
    let before = published.withLock { $0.segments.dropLast().last?.number }
    guard let before, let previous = try directory.openSegment(before).header else { return false }
    return previous.epoch == header.epoch && previous.logStart == header.logStart
  }

  /// A sealed segment as a snapshot lists it.
  func listed(_ segment: ReadableSegment) throws(LogError) -> SnapshotManifest.Segment {
    let end = FilePosition(segment.byteCount)
    let start = FilePosition(segment.byteCount - Seal.frameByteCount)
    let seal = try segment.source.withBytes(from: start, to: end) { (bytes) throws(LogError) in
      Seal(frame: bytes, at: start, nonce: segment.nonce)
    }
    guard let seal else {
      throw LogError(
        .damaged, path: directory.path(of: LogDirectory.name(of: segment.number)),
        bytes: start.rawValue..<end.rawValue,
        "the segment's seal is not what was written; restore the segment from a copy, or salvage")
    }
    return SnapshotManifest.Segment(
      number: segment.number, length: segment.byteCount, digest: seal.digest,
      firstOffset: segment.firstOffset)
  }

  // MARK: Opening a snapshot for writing

  /// Makes a snapshot that was opened for writing a log of its own: a segment with a new epoch first, and only then SNAPSHOT
  /// goes. FORMAT.md, "Opening a snapshot for writing".
  func takeUp(_ snapshot: SnapshotState) throws(LogError) {
    switch snapshot {
    case .none: return
    case .untouched: try writer.withLock { (writer) throws(LogError) in try startEpoch(&writer) }
    case .takenUp: break
    }
    try directory.removeSnapshot()
  }

  private func startEpoch(_ writer: inout Writer) throws(LogError) {
    var header = nextHeader(writer.header, behind: try sealed(try usable(&writer), &writer))
    header.epoch = Epoch(
      id: environment.uniqueID(), start: header.firstOffset, parent: header.epoch.id,
      parentEnd: Offset(header.firstOffset.rawValue - 1))
    header.preallocated = header.segmentSize
    _ = try activate(header, &writer)
    published.withLock { $0.epoch = header.epoch }
  }
}
