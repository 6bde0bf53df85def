internal import PlatformIO

/// Which segments make up a log, and whether they follow on each other. FORMAT.md, "Reading and recovery", 1 and 2.
extension LogScan {
  /// The segments that make up the log, newest first, with headers that agree.
  mutating func chain(
    from numbers: [SegmentNumber]
  ) throws(LogError) -> [LogDirectory.OpenedSegment] {
    var chain: [LogDirectory.OpenedSegment] = []
    var newest: SegmentHeader?
    var above: LogDirectory.OpenedSegment?
    for (place, number) in numbers.enumerated().reversed() {
      if let newest, let header = above?.header, header.firstOffset <= newest.logStart {
        garbage = try dropped(Array(numbers[...place]), newest)
        break
      }
      let opened = try listed { () throws(LogError) in try directory.openSegment(number) }
      let name = LogDirectory.name(of: number)
      for copy in opened.badCopies where opened.header != nil {
        let start = UInt64(copy * SegmentHeader.blockByteCount)
        blemishes.append(
          Damage(
            kind: .header, file: name, bytes: start..<start + UInt64(SegmentHeader.blockByteCount),
            offsets: 0..<0))
      }
      if let above, above.number != number.next { reportMissing(number.next..<above.number, above.header) }
      guard let header = opened.header else {
        add(
          .header, .damaged, number, 0..<UInt64(SegmentHeader.byteCount),
          unknownOffsets(below: above?.header),
          "both copies of the segment's header are damaged; restore it from a copy, or salvage",
          isSilent: true)
        above = opened
        chain.append(opened)
        continue
      }
      if header.number != number || (newest.map { $0.log != header.log } ?? false)
        || (above?.header).map({ header.firstOffset > $0.firstOffset }) ?? false
      {
        add(
          .foreign, .foreignSegment, number, 0..<UInt64(SegmentHeader.byteCount),
          unknownOffsets(below: above?.header),
          "the file belongs to another log or another place in this one; move it out of the directory")
      } else if let epoch = above?.header?.epoch, epoch.id != header.epoch.id, epoch.parent != header.epoch.id
      {
        add(
          .foreign, .foreignSegment, number, 0..<UInt64(SegmentHeader.byteCount),
          unknownOffsets(below: above?.header),
          "the file is of an epoch that its successor does not continue; move it out of the directory")
      }
      newest = newest ?? header
      chain.append(opened)
      above = opened
    }
    logStart = newest?.logStart
    if let newest, let first = above?.header, first.firstOffset != newest.logStart {
      let missing = newest.logStart < first.firstOffset ? newest.logStart..<first.firstOffset : 0..<0
      let error = LogError(
        .missingSegment, path: directory.path, offsets: missing,
        "the log starts at offset \(newest.logStart), but its first segment starts at \(first.firstOffset); put the missing segments back, or salvage"
      )
      findings.append(
        Finding(
          damage: Damage(
            kind: .missing, file: LogDirectory.name(of: first.number), bytes: 0..<0, offsets: missing),
          error: error))
    }
    return chain
  }

  /// The segments wholly below `logStart`, if they are this log's: before anything may be removed as garbage, it has to show
  /// that it is. Another log's segment that got into the directory would else take the whole log with it.
  private mutating func dropped(
    _ numbers: [SegmentNumber], _ newest: SegmentHeader
  ) throws(LogError) -> [SegmentNumber] {
    var dropped: [SegmentNumber] = []
    for number in numbers {
      let opened: LogDirectory.OpenedSegment
      do throws(LogError) {
        opened = try directory.openSegment(number)
      } catch {
        // A writer is about to remove them.
        if besideWriter, error.cause?.code == .notFound { continue }
        throw error
      }
      guard let header = opened.header, header.number == number, header.log == newest.log else {
        add(
          .foreign, .foreignSegment, number, 0..<UInt64(SegmentHeader.byteCount), 0..<0,
          "the newest segment says that the log starts behind this one, but they are not of one log; move the one that does not belong here out of the directory"
        )
        continue
      }
      dropped.append(number)
    }
    return dropped
  }

  private func unknownOffsets(below header: SegmentHeader?) -> Range<Offset> {
    header.map { $0.firstOffset..<$0.firstOffset } ?? 0..<0
  }

  private mutating func reportMissing(_ numbers: Range<SegmentNumber>, _ above: SegmentHeader?) {
    add(
      .missing, .missingSegment, numbers.lowerBound, 0..<0, unknownOffsets(below: above),
      "the segment is gone; put it back, or salvage", isSilent: true)
  }

  /// A segment that is gone, or whose header is, held what lies between its neighbours. Known once those are read.
  mutating func nameLostOffsets() {
    guard let newest = segments.last?.header else { return }
    for (place, finding) in findings.enumerated() {
      guard let number = finding.silent, finding.damage.offsets.upperBound > .zero else { continue }
      let before = segments.last { $0.number < number }
      // Of another log's segment nothing follows.
      guard before.map({ $0.header.log == newest.log }) ?? true else { continue }
      let start = before?.nextOffset ?? newest.logStart
      let end = finding.damage.offsets.upperBound
      if start < end { findings[place].lose(start..<end) }
    }
  }

  mutating func checkContinuity(to number: SegmentNumber, _ header: SegmentHeader) {
    guard let before = segments.last, before.number.next == number, before.isSealed else { return }
    let expected = SegmentHeader.Predecessor(
      number: before.number.rawValue, length: before.end.rawValue, digest: before.tally.digest)
    if header.previous != expected || header.firstOffset != before.nextOffset {
      let lost =
        before.nextOffset < header.firstOffset
        ? before.nextOffset..<header.firstOffset : header.firstOffset..<header.firstOffset
      add(
        .missing, .missingSegment, number, 0..<UInt64(SegmentHeader.byteCount), lost,
        "the segment does not follow on segment \(before.number) as that one is; put the right files back, or salvage"
      )
    }
  }
}
