/// What the end of the last segment is, and what may be done with it. FORMAT.md, "Recovery"; DESIGN.md's table.
package enum TailVerdict: Sendable, Hashable {
  /// A valid seal, and nothing but zeros behind it: create the successor.
  case sealed
  /// Only zeros behind the last complete batch: go on there.
  case clean
  /// Only zeros, where nothing but a write made the file so long: an interrupted one, of which nothing arrived. Go on behind
  /// the last complete batch, and say so.
  case unwritten(end: FilePosition)
  /// An interrupted write: keep the bytes up to `end` aside, and go on in a new segment.
  case torn(end: FilePosition)
  /// Durable records are damaged: refuse to write.
  case damaged(Damage.Kind, end: FilePosition)
  /// Not durable as far as is known, but it looks like rot: refuse to write unless told otherwise.
  case suspect(end: FilePosition)
}

/// What a scan found of the last segment's end.
package struct TailFacts: Sendable, Hashable {
  /// The end of the last complete batch: X of the recovery table.
  package var end: FilePosition
  /// One past the highest record index that any sound frame behind `end` states.
  package var nextIndex: UInt32
  /// The highest position known durable.
  package var floor: FilePosition
  /// The seal that ended the scan, if one did.
  package var isSealed: Bool
  /// One past the last byte behind `end` that is not zero; `end` if all are.
  package var dataEnd: FilePosition
  package var fileLength: UInt64
  package var preallocated: UInt64
  /// The length to which the file may have been reserved later on, if that could be had.
  package var capacity: UInt64
  /// Nothing was written since the log was last quiet, as a sync frame at `end` says.
  package var isQuiet = false
  /// A sound frame stands somewhere behind the first bad one.
  package var hasSoundFrameBehind = false
  /// The bytes from the bad frame to that one show zeroed or half-filled sectors, as an interrupted write leaves them.
  package var showsTear = false
  /// The search for sound frames was given up.
  package var searchWasCut = false

  /// Counts what stands behind `end` as not written yet.
  mutating func ignoreWhatFollows() {
    dataEnd = end
    fileLength = max(end.rawValue, preallocated)
    hasSoundFrameBehind = false
    searchWasCut = false
    floor = min(floor, end)
  }

  package var verdict: TailVerdict {
    if isSealed {
      return dataEnd == end ? .sealed : .damaged(.seal, end: dataEnd)
    }
    if fileLength < preallocated { return .damaged(.cut, end: FilePosition(preallocated)) }
    if end < floor { return .damaged(.frame, end: max(dataEnd, floor)) }
    if dataEnd == end {
      let isReserved = preallocated > 0 ? fileLength == preallocated : fileLength == capacity
      return isReserved || isQuiet || fileLength <= end.rawValue
        ? .clean : .unwritten(end: FilePosition(fileLength))
    }
    if searchWasCut || (hasSoundFrameBehind && !showsTear) { return .suspect(end: dataEnd) }
    return .torn(end: dataEnd)
  }
}

/// The marks an interrupted write leaves. A sector reaches the disk whole, not at all (it still reads as zeros), or as a
/// prefix, with zeros behind; and where a write was being taken back by zeros, with the rest of what was written behind those.
package enum TearEvidence {
  package static let sectorByteCount: UInt64 = 512
  private static let markByteCount = 8

  /// True if some sector, as far as it lies in `bytes`, begins or ends with at least eight zeros, or is nothing else. `bytes`
  /// starts at `position` of the file; where that is not where the bad bytes begin it counts only as a sector's beginning.
  package static func isTorn(_ bytes: RawSpan, at position: FilePosition, isBeginning: Bool = true) -> Bool {
    var start = 0
    while start < bytes.byteCount {
      let intoSector = Int((position.rawValue + UInt64(start)) % sectorByteCount)
      let end = min(start + Int(sectorByteCount) - intoSector, bytes.byteCount)
      let sector = bytes.extracting(start..<end)
      // All of it, where it is shorter.
      if sector.extracting(last: markByteCount).isAllZeros { return true }
      let hasBeginning = intoSector == 0 || isBeginning && start == 0
      if hasBeginning, sector.extracting(first: markByteCount).isAllZeros { return true }
      start = end
    }
    return false
  }
}
