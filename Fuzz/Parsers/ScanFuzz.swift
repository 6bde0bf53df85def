internal import LogEngine
internal import PlatformIO
internal import RunLedger

/// Any bytes as the frames of a segment: the scanner, fed no more than it asks for, says what the format's words say, and so does
/// the reading of a file.
enum ScanFuzz {
  static let nonce: UInt64 = 0x5EED_5EED_5EED_5EED
  private static let base = SegmentHeader.dataStart

  /// The first byte says how; the others are the frames.
  static func run(_ input: RawSpan) {
    guard input.byteCount > 0 else { return }
    check(input.extracting(droppingFirst: 1), mode: input.loadUInt8(at: 0))
  }

  static func check(_ bytes: RawSpan, mode: UInt8) {
    // Frames that stand alone are looked for behind damage, where nobody asks for the end's verdict.
    if mode & 1 != 0 {
      var scan = LockstepScan(bytes.byteCount, single: true)
      _ = scan.readOn(bytes)
      return
    }
    let found = readFile(bytes)
    let expected = found.flatMap { facts(bytes, asIn: $0) }
    promise(expected != nil || hasNewer(bytes), "only a later format is refused")
    promise(found == expected, "a file's end is judged by the format's rules: \(String(describing: found))")
    guard let found else { return }
    switch found.verdict {
    case .sealed: promise(found.isSealed && found.dataEnd == found.end, "nothing stands behind a seal")
    case .clean: promise(found.end >= found.floor && found.dataEnd == found.end, "a clean end")
    case .unwritten(let end):
      promise(
        found.end >= found.floor && found.dataEnd == found.end && end > found.end, "zeros behind the end")
    case .torn(let end): promise(found.end >= found.floor && end > found.end, "nothing durable is cut")
    case .damaged(_, let end): promise(end >= found.end, "damage stands behind the end")
    case .suspect(let end): promise(end > found.end, "what is suspect stands behind the end")
    }
  }

  /// What the scanner and the model find of the end, put over every field; nil if a later format's frame is met.
  private static func facts(_ bytes: RawSpan, asIn found: TailFacts) -> TailFacts? {
    var facts = found
    var scan = LockstepScan(bytes.byteCount, single: false)
    guard let isSealed = scan.walk(bytes) else { return nil }
    facts.end = scan.position
    facts.isSealed = isSealed
    facts.fileLength = base.rawValue + UInt64(bytes.byteCount)
    facts.preallocated = 0
    let rest = bytes.extracting(scan.model.position..<bytes.byteCount)
    let last = rest.lastNonzeroIndex.map { scan.model.position + $0 + 1 }
    facts.dataEnd = last.map { base.advanced(by: UInt64($0)) } ?? facts.end
    (facts.hasSoundFrameBehind, facts.showsTear, facts.searchWasCut) = (false, false, false)
    if let last, !isSealed {
      scan.endSearch(at: last)
      let bad = scan.model.stoppedAt
      guard
        let behind = scan.readOn(
          bytes,
          first: { place in
            facts.hasSoundFrameBehind = true
            facts.showsTear = TearEvidence.isTorn(
              bytes.extracting(bad..<place), at: base.advanced(by: UInt64(bad)))
          })
      else { return nil }
      facts.searchWasCut = behind == .budgetSpent
    }
    facts.floor = scan.scanner.floor
    facts.nextIndex = scan.scanner.nextIndex
    return facts
  }

  private static func hasNewer(_ bytes: RawSpan) -> Bool {
    var scan = LockstepScan(bytes.byteCount, single: false)
    guard scan.walk(bytes) != nil else { return true }
    return scan.readOn(bytes) == nil
  }

  /// By way of a file; nil if a later format's frame is in it.
  private static func readFile(_ bytes: RawSpan) -> TailFacts? {
    let file = StillFile.shared
    file.lay(bytes)
    var end = base
    return unlessRefused {
      var scan = try SegmentScan(file, header, headerChecksum: 7)
      while true {
        let event = try scan.next { _, place, body in
          promise(place >= end, "records rise")
          end = place.advanced(by: FrameHeader.frameByteCount(bodyLength: UInt64(body.byteCount)))
          promise(end.rawValue <= file.length, "a record lies within the file")
        }
        switch event {
        case .batch, .sync: continue
        case .seal: return try scan.tailFacts(isSealed: true)
        case .stopped: return try scan.tailFacts(isSealed: false)
        }
      }
    }
  }

  private static let header: SegmentHeader = HeaderFuzz.sound(nonce: nonce)

  /// A closed segment, a sealed one, and one with a batch of three.
  static let seeds: [[UInt8]] = FrameProgram.seeds.map { program in
    var frames = FrameLayer()
    frames.lay(program.span.rawBytes.extracting(droppingFirst: 1))
    return [0] + frames.bytes
  }
}

/// The scanner and the model side by side.
struct LockstepScan {
  private(set) var scanner: SegmentScanner
  private(set) var model: FrameModel
  private let base = SegmentHeader.dataStart
  private let fileLength: UInt64
  /// What the scanner has been given so far, by its end in the bytes.
  private var loaded = 0

  init(_ byteCount: Int, single: Bool) {
    fileLength = base.rawValue + UInt64(byteCount)
    scanner = SegmentScanner(nonce: ScanFuzz.nonce, headerChecksum: 7, fileLength: fileLength)
    model = FrameModel(nonce: ScanFuzz.nonce, byteCount: byteCount)
    scanner.takeSingleFrames(single)
    model.isSingle = single
  }

  var position: FilePosition { scanner.position }

  mutating func endSearch(at place: Int) {
    scanner.endSearch(at: base.advanced(by: UInt64(place)))
    model.searchEnd = place
  }

  /// As far as frames follow one another. True at a seal, false where they stop, nil at a frame of a later format.
  mutating func walk(_ bytes: RawSpan) -> Bool? {
    while true {
      let before = position
      let step = next(bytes)
      promise(step == model.next(bytes), "a step is what the format says: \(step)")
      agree()
      switch step {
      case .batch, .sync: promise(position > before, "a walk goes on")
      case .seal: return true
      case .stopped: return false
      case .newer: return nil
      case .needBytes: preconditionFailure("they were given")
      }
    }
  }

  /// Behind what was missed, to the end; `first` hears where the first sound frame stands. nil at a frame of a later format.
  mutating func readOn(
    _ bytes: RawSpan, first: (Int) -> Void = { _ in }
  ) -> SegmentScanner.ResyncStep? {
    var hasFound = false
    while true {
      guard let step = resync(bytes) else { return nil }
      guard step == .found else { return step }
      if !hasFound { first(model.position) }
      hasFound = true
      if walk(bytes) == nil { return nil }
    }
  }

  private mutating func next(_ bytes: RawSpan) -> SegmentScanner.Step {
    while true {
      let start = window()
      let step = scanner.next(
        bytes.extracting(start..<max(start, loaded)), at: base.advanced(by: UInt64(start)))
      guard case .needBytes(let end) = step else { return step }
      load(end)
    }
  }

  /// nil for a frame of a later format.
  mutating func resync(_ bytes: RawSpan) -> SegmentScanner.ResyncStep? {
    while true {
      let start = window()
      let step = scanner.resync(
        bytes.extracting(start..<max(start, loaded)), at: base.advanced(by: UInt64(start)))
      if case .needBytes(let end) = step {
        load(end)
        continue
      }
      promise(step == model.resync(bytes), "what is found is what the format says: \(step)")
      if case .newer = step { return nil }
      if step == .found { agree() }
      return step
    }
  }

  /// Never more than is kept and was asked for.
  private func window() -> Int { Int(scanner.retained.rawValue - base.rawValue) }

  private mutating func load(_ end: FilePosition) {
    promise(end.rawValue <= fileLength, "no bytes are asked for behind the end")
    let wanted = Int(end.rawValue - base.rawValue)
    promise(wanted > loaded || loaded < window(), "only what is missing is asked for")
    loaded = wanted
  }

  private func agree() {
    promise(
      scanner.position == base.advanced(by: UInt64(model.position)) && scanner.nextIndex == model.nextIndex
        && scanner.floor == base.advanced(by: UInt64(model.floor))
        && scanner.stoppedAt == base.advanced(by: UInt64(model.stoppedAt)),
      "places, indexes and the floor agree")
    promise(scanner.position.rawValue <= fileLength, "the place lies within the file")
    promise(scanner.floor.rawValue <= fileLength, "and so does the floor")
  }
}

/// A file that holds the same bytes behind any header, and is laid anew for each input.
///
/// `@unchecked Sendable`: one input at a time, see FuzzProgram.
final class StillFile: LogFile, @unchecked Sendable {
  static let shared = StillFile()

  private var bytes: [UInt8] = []
  private let base = Int(SegmentHeader.dataStart.rawValue)
  let path = "frames"

  var length: UInt64 { UInt64(base + bytes.count) }

  func lay(_ frames: RawSpan) {
    bytes.removeAll(keepingCapacity: true)
    bytes.append(frames)
  }

  func status() -> FileStatus {
    FileStatus(kind: .regular, length: length, linkCount: 1, identity: .init(device: 0, inode: 0))
  }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) -> Int {
    let (bytes, start) = (bytes, Int(position) - base)
    let count = max(0, min(buffer.byteCount, bytes.count - start))
    guard count > 0 else { return 0 }
    unsafe buffer.withUnsafeMutableBytes { target in
      unsafe bytes.span.rawBytes.extracting(start..<start + count).withUnsafeBytes {
        unsafe target.copyMemory(from: $0)
      }
    }
    return count
  }

  func nextData(from position: UInt64) -> UInt64? { position < length ? position : nil }
  func startWriteback(from start: UInt64, to end: UInt64) {}
  func unlock() {}
  func tryLock() -> Bool { true }

  // The reading of a segment does none of these.
  func write(_ bytes: RawSpan, at position: UInt64) { fatalError("read only") }
  func preallocate(_ length: UInt64) { fatalError("read only") }
  func setLength(_ length: UInt64) { fatalError("read only") }
  func sync() { fatalError("read only") }
  func map(_ length: UInt64) -> MemoryRegion { fatalError("read only") }
}
