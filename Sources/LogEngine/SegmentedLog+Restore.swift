package import PlatformIO

extension SegmentedLog {
  /// Makes a log at a new path out of a snapshot, which stays as it is.
  ///
  /// The log keeps its identity and starts a new epoch behind the snapshot's last record. The snapshot's list is compared
  /// with its segments' headers and seals first; their records are not read. They are linked, or
  /// copied across devices, so that the cost is that of a link a segment. Until all is complete and durable nothing is at
  /// the new path; what is there already is replaced, in one step, only if `replacing` says so and it is a log that nobody
  /// writes to.
  ///
  /// Throws `.notASnapshot`, `.noSuchLog`, `.damaged`, `.missingSegment` or `.foreignSegment` about the snapshot, and
  /// `.alreadyExists`, `.badDestination` or `.locked` about the destination.
  @discardableResult
  public static func restore(
    from path: String, to newPath: String, replacing: Bool = false,
    application: ApplicationTag = ApplicationTag(id: 0)
  ) throws(LogError) -> LogCopy {
    try restore(
      from: path, to: newPath, replacing: replacing, application: application,
      fileSystem: DiskFileSystem.shared, environment: SystemEnvironment())
  }

  @discardableResult
  package static func restore(
    from path: String, to newPath: String, replacing: Bool,
    application: ApplicationTag = ApplicationTag(id: 0), fileSystem: any FileSystem,
    environment: any Environment
  ) throws(LogError) -> LogCopy {
    let source = try LogDirectory(path, in: fileSystem)
    guard try isThere(source) else { throw noSuchLog(source) }
    guard let manifest = try source.readSnapshot() else {
      throw LogError(
        .notASnapshot, path: source.path,
        "it has no file SNAPSHOT, so it is no snapshot, or one that has been written to since; open it as it is, or make a snapshot or a fork of it"
      )
    }
    let (header, previous) = try check(source, manifest)
    guard header.application.id == application.id else {
      throw LogError(
        .wrongApplication, path: source.path,
        "the snapshot belongs to another application; restore it with that one")
    }
    return try Destination.make(
      newPath, replacing: replacing, from: source, in: fileSystem, environment
    ) { (new) throws(LogError) in
      var copied: UInt64 = 0
      for segment in manifest.segments {
        // Whoever brought the snapshot here, from a backup for example, need not have synced it.
        copied += try new.takeOver(segment.number, length: segment.length, from: source, isSynced: false)
      }
      // What was compared with the list has only the source's names, which may lead elsewhere by now.
      do throws(LogError) {
        _ = try check(new, manifest)
      } catch {
        guard error.code != .fileSystem else { throw error }
        throw LogError(
          .changedMeanwhile, path: source.path,
          "the snapshot was changed or replaced while it was being restored; restore it again",
          cause: error.cause)
      }
      let started = try new.startEpoch(
        like: header, behind: previous, at: manifest.next, logStart: manifest.logStart,
        parent: manifest.epoch, environment)
      return LogCopy(
        log: manifest.log, epoch: started.epoch.id, firstOffset: manifest.logStart,
        latestOffset: Offset(manifest.next.rawValue - 1), segments: manifest.segments.count + 1,
        bytes: manifest.byteCount + SegmentHeader.dataStart.rawValue, copiedBytes: copied)
    }
  }

  /// Is there a log? What is none is no snapshot either.
  private static func isThere(_ source: LogDirectory) throws(LogError) -> Bool {
    do throws(LogError) {
      return try probe(source)
    } catch {
      guard error.code == .notALog else { throw error }
      throw LogError(
        .notASnapshot, path: source.path, "it is no snapshot; give a snapshot's directory", cause: error.cause
      )
    }
  }

  /// Compares each listed segment's header and seal with the list. Returns the newest header, and what its successor has to
  /// say of that segment.
  private static func check(
    _ source: LogDirectory, _ manifest: SnapshotManifest
  ) throws(LogError) -> (SegmentHeader, SegmentHeader.Predecessor) {
    var newest: SegmentHeader?
    var previous = SegmentHeader.Predecessor.dropped(0)
    for (place, listed) in manifest.segments.enumerated() {
      let following =
        place + 1 < manifest.segments.count ? manifest.segments[place + 1].firstOffset : manifest.next
      let header = try check(source, listed, upTo: following)
      guard header.log == manifest.log, place == 0 || header.previous == previous else {
        throw changed(source, listed.number)
      }
      previous = .init(number: listed.number.rawValue, length: listed.length, digest: listed.digest)
      newest = header
    }
    guard let newest, newest.epoch.id == manifest.epoch, newest.logStart == manifest.logStart else {
      throw changed(source, SegmentNumber(previous.number))
    }
    return (newest, previous)
  }

  private static func check(
    _ source: LogDirectory, _ listed: SnapshotManifest.Segment, upTo next: Offset
  ) throws(LogError) -> SegmentHeader {
    do throws(LogError) {
      let file = try source.openFile(listed.number, .readOnly)
      guard let header = try source.openSegment(listed.number).header, header.number == listed.number,
        header.firstOffset == listed.firstOffset,
        try onFile({ () throws(FileSystemError) in try file.status().length }) >= listed.length,
        let seal = try source.seal(of: file, endingAt: listed.length, nonce: header.nonce),
        seal.digest == listed.digest, seal.firstOffset == listed.firstOffset, seal.nextOffset == next
      else { throw changed(source, listed.number) }
      return header
    } catch {
      guard error.cause?.code == .notFound else { throw error }
      throw LogError(
        .missingSegment, path: source.path(of: LogDirectory.name(of: listed.number)),
        "the snapshot lists the segment, and it is gone; put it back, or take another copy")
    }
  }

  private static func changed(_ source: LogDirectory, _ number: SegmentNumber) -> LogError {
    LogError(
      .damaged, path: source.path(of: LogDirectory.name(of: number)),
      "the segment is not the one that the snapshot lists; restore it from another copy")
  }
}
