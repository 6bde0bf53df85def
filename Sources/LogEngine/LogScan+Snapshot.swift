internal import PlatformIO

/// What SNAPSHOT means for a directory that is opened.
enum SnapshotState {
  /// It is no snapshot.
  case none
  /// A snapshot that nobody has written to.
  case untouched
  /// A writer has made it a log of its own, and did not get to the unlinking of SNAPSHOT.
  case takenUp
}

extension LogScan {
  /// Compares what was read with what SNAPSHOT lists, if the directory has one. What differs is added to the findings.
  mutating func compareWithSnapshot() throws(LogError) -> SnapshotState {
    guard listing.hasSnapshot else { return .none }
    let manifest: SnapshotManifest
    do throws(LogError) {
      // A writer may have unlinked it since.
      guard let found = try directory.readSnapshot() else { return .none }
      manifest = found
    } catch {
      guard error.code == .damaged else { throw error }
      findings.append(
        Finding(
          damage: Damage(kind: .snapshot, file: SnapshotManifest.name, bytes: 0..<0, offsets: 0..<0),
          error: error))
      return .untouched
    }
    if let newest = segments.last?.header, let last = manifest.segments.last, newest.number > last.number,
      newest.log == manifest.log, newest.epoch.id != manifest.epoch
    {
      return .takenUp
    }
    compare(with: manifest)
    return .untouched
  }

  private mutating func compare(with manifest: SnapshotManifest) {
    let known = Set(findings.map(\.damage.file))
    var found: [SegmentNumber: Segment] = [:]
    for segment in segments { found[segment.number] = segment }
    for (place, listed) in manifest.segments.enumerated() {
      let following =
        place + 1 < manifest.segments.count ? manifest.segments[place + 1].firstOffset : manifest.next
      let offsets = listed.firstOffset..<max(listed.firstOffset, following)
      guard let segment = found.removeValue(forKey: listed.number) else {
        if known.contains(LogDirectory.name(of: listed.number)) { continue }
        add(
          .missing, .missingSegment, listed.number, 0..<0, offsets,
          "the snapshot lists the segment, and it is gone; put it back, or take another copy")
        continue
      }
      // Its own damage says more than that it differs.
      if known.contains(LogDirectory.name(of: listed.number)) { continue }
      guard segment.isSealed, segment.end.rawValue == listed.length, segment.tally.digest == listed.digest,
        segment.header.firstOffset == listed.firstOffset, segment.nextOffset == following
      else {
        add(
          .snapshot, .damaged, listed.number, 0..<listed.length, offsets,
          "the segment is not the one that the snapshot lists; restore it from another copy")
        continue
      }
    }
    for number in found.keys.sorted() {
      add(
        .foreign, .foreignSegment, number, 0..<0, 0..<0,
        "the snapshot does not list the segment; move it out of the directory")
    }
    if let newest = segments.last?.header,
      newest.log != manifest.log || newest.epoch.id != manifest.epoch || newest.logStart != manifest.logStart
    {
      add(
        .snapshot, .damaged, newest.number, 0..<UInt64(SegmentHeader.byteCount), 0..<0,
        "the segment's header is not that of the snapshot's log; restore it from another copy")
    }
  }
}
