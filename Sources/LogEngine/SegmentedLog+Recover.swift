internal import PlatformIO

/// Recovery of the end of a log. FORMAT.md, "Reading and recovery".
extension SegmentedLog {
  struct Recovered {
    var state: Writer.State
    var source: SegmentSource
    var end: FilePosition

    init(sealed segment: LogScan.Segment, at end: FilePosition, _ source: SegmentSource) {
      state = .sealed(.init(segment.number, end: end, digest: segment.tally.digest))
      self.source = source
      self.end = end
    }

    init(_ active: ActiveSegment) {
      state = .active(active)
      source = .growing(active)
      end = active.end
    }
  }

  /// Makes the end of the log one that can be written on, and vouches for it. Each step leaves a state that this same
  /// procedure takes up again, so a crash in it is harmless.
  static func recover(
    _ newest: Newest, _ directory: LogDirectory, _ report: inout RecoveryReport
  ) throws(LogError) -> Recovered {
    let (last, tail) = (newest.segment, newest.tail)
    let file = try directory.openFile(last.number, .readWrite)
    let status = try onFile { () throws(FileSystemError) in try file.status() }
    if last.isSealed, status.linkCount > 1 {
      // A snapshot has it too. It was synced with its seal before anybody linked it, and nothing of it is to change.
      try onFile { () throws(FileSystemError) in
        try file.sync()
        try directory.fileSystem.syncDirectory(directory.path)
      }
      return Recovered(sealed: last, at: last.end, newest.source)
    }
    guard status.linkCount == 1 else {
      throw LogError(
        .linkedSegment, path: file.path,
        "the last segment has \(status.linkCount) hard links and would change under all of them; copy the log to a directory of its own"
      )
    }
    var tornEnd: FilePosition?
    if !last.isSealed {
      // Torn bytes kept aside from here on say that a recovery began and did not get to its seal. What reads as zeros may
      // be what a failed sync left in the cache, with the torn bytes still on the disk: clear them again.
      let kept = try directory.kept(of: last.number, from: tail.end)
      tornEnd = kept?.end
      report.keptAs = kept?.name
    }
    switch tail.verdict {
    case .clean, .sealed, .damaged, .unwritten: break
    case .torn(let end), .suspect(let end):
      let kept = tornEnd
      tornEnd = max(end, tornEnd ?? end)
      // A recovery that did not get to its end kept at least these aside.
      if end > kept ?? tail.end {
        report.keptAs = try directory.keepAside(file, of: last.number, from: tail.end, to: end)
      } else {
        // Its bytes were synced before it got its name, but perhaps not its name.
        try onFile { () throws(FileSystemError) in try directory.fileSystem.syncDirectory(directory.path) }
      }
    }
    if let end = tornEnd {
      tornEnd = min(end, FilePosition(status.length))
      report.outcome = .torn
      report.tornFile = LogDirectory.name(of: last.number)
      report.tornBytes = tail.end.rawValue..<min(end.rawValue, status.length)
    }

    // Vouch: this process has written these bytes itself, through a descriptor that saw every error, before it says that
    // they are durable. What an earlier, failed sync marked clean in the cache may never have reached the disk.
    try onFile { () throws(FileSystemError) in
      try rewrite(file, from: tail.floor, to: last.end)
      // Zeros, not a cut: a file that is shorter than it was means damage, and stays that way.
      if let tornEnd { try file.clear(from: last.end, to: tornEnd) }
      if !last.isSealed {
        try file.clearData(from: tornEnd ?? last.end, to: FilePosition(tail.fileLength))
      }
      try file.sync()
      try directory.fileSystem.syncDirectory(directory.path)
    }

    if last.isSealed {
      if status.length > last.end.rawValue {
        try onFile { () throws(FileSystemError) in try file.setLength(last.end.rawValue) }
      }
      return Recovered(sealed: last, at: last.end, newest.source)
    }
    if tornEnd != nil {
      // New records must not stand where torn ones stood under the same nonce.
      let seal = sealFrame(
        last.tally, firstOffset: last.header.firstOffset, at: last.end, nonce: last.header.nonce,
        syncedThrough: last.end)
      let end = last.end.advanced(by: Seal.frameByteCount)
      try onFile { () throws(FileSystemError) in
        try file.write(seal.bytes.span.rawBytes, at: last.end.rawValue)
        try file.sync()
        try file.setLength(end.rawValue)
      }
      return Recovered(
        sealed: last, at: end, try SegmentSource.sealed(file, length: end.rawValue))
    }
    if case .unwritten = tail.verdict, status.length > tail.preallocated {
      // Cut, so that it is not found again each time; the length of a file that has grown says nothing.
      try onFile { () throws(FileSystemError) in
        try file.setLength(max(last.end.rawValue, tail.preallocated))
      }
    }
    let extent = ActiveSegment.Extent(
      end: last.end, synced: last.end, quietEnd: last.endsInSyncFrame ? last.end : nil,
      sidecarEnd: last.sidecarEnd, tally: last.tally)
    return Recovered(
      ActiveSegment(file, last.header, capacity: last.header.capacity, isExpendable: false, extent))
  }

  private static func rewrite(
    _ file: any LogFile, from start: FilePosition, to end: FilePosition
  ) throws(FileSystemError) {
    try file.forEachChunk(from: start, to: end) { (bytes, place) throws(FileSystemError) in
      try file.write(bytes, at: place.rawValue)
    }
  }
}
