internal import PlatformIO
internal import Synchronization

/// Sidecars are written behind the appends, by the housekeeper, and what is left of them on closing. They only save work: what
/// fails here is made up for by the next opening, and changes no outcome.
extension SegmentedLog {
  /// Writes sidecars later.
  func write(_ drafts: [SidecarDraft]) {
    guard !drafts.isEmpty else { return }
    sidecarDrafts.withLock { $0 += drafts }
    let isQueued = environment.perform(after: 0, on: housekeeper) { [weak self] in
      self?.housekeeping.withLock { _ in self?.writeSidecars() }
    }
    // Without a thread they wait for the next ones, or for the close; their bytes are made now, for they take less memory than
    // what they are made of.
    if !isQueued, let newest = drafts.last { _ = index?.encodeSegment(at: newest.header.firstOffset) }
  }

  /// A sidecar for the segment that was sealed last.
  func queueSidecar(ofSealed header: SegmentHeader, _ end: FilePosition, _ tally: SegmentTally) {
    guard let index, tally.recordCount > 0 else { return }
    let positions = published.withLock { $0.segments[$0.segments.count - 1].positions }
    index.endSegment()
    write([SidecarDraft(header, end, tally, positions: positions)])
  }

  /// A sidecar for the active segment, which ends in a sync frame.
  func queueSidecar(of active: ActiveSegment, _ header: SegmentHeader) {
    guard index != nil, active.extent.quietEnd == active.end, active.extent.sidecarEnd != active.end else {
      return
    }
    let positions = published.withLock { $0.segments[$0.segments.count - 1].positions }
    let range = SidecarHeader.witness(before: active.end)
    var witness = ByteBuffer()
    do throws(FileSystemError) {
      try witness.fill(range.count) { (space) throws(FileSystemError) in
        try active.file.read(into: &space, at: range.lowerBound)
      }
    } catch { return }
    let draft = SidecarDraft(
      header: SidecarHeader(
        header, end: active.end, isSealed: false, tally: active.extent.tally,
        witness: XXH3.hash64(witness.bytes)),
      positions: positions)
    sidecarDrafts.withLock { $0.append(draft) }
  }

  /// Writes what is to be written, on this thread. To be called while housekeeping.
  func writeSidecars() {
    while let draft = sidecarDrafts.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
      guard isLive(draft.header.number), let bytes = index?.encodeSegment(at: draft.header.firstOffset) else {
        continue
      }
      do throws(FileSystemError) {
        let sidecar = try draft.write(bytes, in: directory)
        if draft.header.isSealed { takeOver(sidecar) }
        counted.withLock { $0.sidecarsWritten += 1 }
      } catch {
        counted.withLock { $0.sidecarsFailed += 1 }
        continue
      }
      // Dropped while its sidecar was written.
      if !isLive(draft.header.number) { directory.removeSidecar(of: draft.header.number) }
    }
  }

  /// Compares the positions of the segment that has a record with their digests, and takes others from its frames if they are not
  /// what was written.
  func checkPositions(ofSegmentWith offset: Offset) throws(LogError) {
    let segment = published.withLock { $0.segment(with: offset) }
    guard let segment, !segment.positions.isChecked else { return }
    var positions = segment.positions
    if !positions.check() {
      do throws(LogError) {
        positions = try readPositions(of: segment)
      } catch {
        // One that was dropped meanwhile is of no concern.
        guard place(of: segment) != nil else { return }
        throw error
      }
    }
    published.withLock { published in
      guard let place = published.place(of: segment) else { return }
      published.segments[place].positions = positions
    }
  }

  private func place(of segment: ReadableSegment) -> Int? { published.withLock { $0.place(of: segment) } }

  private func readPositions(of segment: ReadableSegment) throws(LogError) -> PositionTable {
    let (positions, isSound) = try LogScan.positions(
      of: segment.number, nonce: segment.nonce, count: segment.positions.count, in: directory)
    // Without it the next writer would refuse a damaged segment.
    if isSound { removeSidecar(of: segment.number) }
    return positions
  }

  /// Removes a sidecar that is not what was written, if this handle writes: the next opening reads the segment, and makes another.
  package func removeSidecar(ofSegmentWith offset: Offset) {
    if let number = published.withLock({ $0.segment(with: offset)?.number }) { removeSidecar(of: number) }
  }

  private func removeSidecar(of number: SegmentNumber) {
    if isWriter, !published.withLock({ $0.isClosed }) { directory.removeSidecar(of: number) }
  }

  private func isLive(_ number: SegmentNumber) -> Bool {
    published.withLock { $0.segments.contains { $0.number == number } }
  }

  /// From here on the file holds what memory held.
  private func takeOver(_ sidecar: Sidecar) {
    published.withLock { published in
      guard let place = published.segments.firstIndex(where: { $0.number == sidecar.header.number }) else {
        return
      }
      published.segments[place].positions = sidecar.positions
    }
    index?.moveSegment(at: sidecar.header.firstOffset, to: sidecar.index)
  }
}

extension SidecarDraft {
  /// For a sealed segment.
  init(
    _ header: SegmentHeader, _ end: FilePosition, _ tally: SegmentTally, positions: PositionTable
  ) {
    self.init(
      header: SidecarHeader(header, end: end, isSealed: true, tally: tally, witness: 0),
      positions: positions)
  }

  /// For a segment that had to be read.
  init?(_ segment: LogScan.Segment) {
    guard segment.lacksSidecar, segment.tally.recordCount > 0 else { return nil }
    self.init(segment.header, segment.end, segment.tally, positions: segment.positions)
  }
}
