package import PlatformIO
internal import Synchronization

extension SegmentedLog {
  /// What reading a whole log through found.
  public struct Verification: Sendable {
    /// Sound records.
    public var records: UInt64
    /// Everything that is not as it was written, in the order of the files.
    public var damage: [Damage]
    /// The unsynced end of an interrupted write, if there is one: no damage, and cut off by the next opening for writing.
    public var torn: (file: String, bytes: Range<UInt64>)?
    /// Nothing is damaged.
    public var isSound: Bool { damage.isEmpty }
  }

  /// Reads every byte of a log and checks everything that can be checked, changing nothing. Works on a log that cannot be
  /// opened, and beside a writer. `check` sees each sound record and may find more fault with it.
  public static func verify(
    at path: String, application: ApplicationTag = ApplicationTag(id: 0),
    check: (Offset, RawSpan) -> Bool = { _, _ in true }
  ) throws(LogError) -> Verification {
    try verify(at: path, application: application, fileSystem: DiskFileSystem.shared, check: check)
  }

  /// If a writer drops segments meanwhile it reads all of the log again, so that `check` sees records that it has seen, or
  /// after as many attempts throws `.changedMeanwhile`.
  package static func verify(
    at path: String, application: ApplicationTag, fileSystem: any FileSystem, attempts: Int = 5,
    rescue: ReadRescue? = nil, check: (Offset, RawSpan) -> Bool
  ) throws(LogError) -> Verification {
    var directory = try LogDirectory(path, in: fileSystem)
    directory.rescue = rescue
    guard try probe(directory) else { throw noSuchLog(directory) }
    return try repeatedly(attempts) { [directory] () throws(LogError) in
      var scan = LogScan(directory, besideWriter: true, keepsSources: false)
      var faulty: [Offset] = []
      try scan.run { offset, record in if !check(offset, record) { faulty.append(offset) } }
      _ = try scan.compareWithSnapshot()
      return try verification(scan, application, faulty: faulty)
    }
  }

  /// As ``verify(at:application:check:)``, reading segments on as many threads as the machine has processors, up to four, so
  /// `check` is called by several at the same time. `progress` is told now and then how many bytes of how many were read.
  public static func verify(
    at path: String, application: ApplicationTag = ApplicationTag(id: 0),
    progress: @escaping @Sendable (UInt64, UInt64) -> Void,
    check: @escaping @Sendable (Offset, RawSpan) -> Bool = { _, _ in true }
  ) throws(LogError) -> Verification {
    try verify(
      at: path, application: application, fileSystem: DiskFileSystem.shared,
      threads: min(Parallel.processorCount, 4), progress: progress, check: check)
  }

  package static func verify(
    at path: String, application: ApplicationTag, fileSystem: any FileSystem, threads: Int,
    progress: @escaping @Sendable (UInt64, UInt64) -> Void,
    check: @escaping @Sendable (Offset, RawSpan) -> Bool
  ) throws(LogError) -> Verification {
    let directory = try LogDirectory(path, in: fileSystem)
    guard try probe(directory) else { throw noSuchLog(directory) }
    return try repeatedly(5) { () throws(LogError) in
      var scan = LogScan(directory, besideWriter: true, keepsSources: false)
      let faulty = Mutex<[Offset]>([])
      try scan.run(threads: threads, progress: progress) { offset, record in
        if !check(offset, record) { faulty.withLock { $0.append(offset) } }
      }
      _ = try scan.compareWithSnapshot()
      return try verification(scan, application, faulty: faulty.withLock { $0.sorted() })
    }
  }

  /// A writer may drop segments meanwhile; then there is another state to see.
  private static func repeatedly<T>(
    _ attempts: Int, _ body: () throws(LogError) -> T
  ) throws(LogError) -> T {
    for _ in 1..<attempts {
      do throws(LogError) {
        return try body()
      } catch {
        guard error.code == .changedMeanwhile else { throw error }
      }
    }
    return try body()
  }

  private static func verification(
    _ scan: borrowing LogScan, _ application: ApplicationTag, faulty: [Offset]
  ) throws(LogError) -> Verification {
    if let newest = scan.segments.last {
      try checkApplication(newest.header, application, scan.directory)
    }
    var damage = scan.findings.map(\.damage) + scan.blemishes
    for offset in faulty {
      for segment in scan.segments where segment.header.firstOffset <= offset && offset < segment.nextOffset {
        let index = Int(offset.rawValue - segment.header.firstOffset.rawValue)
        // Of segments that do not fit together, one may have lost what another has.
        if let start = segment.positions.position(at: index) {
          damage.append(
            Damage(
              kind: .record, file: LogDirectory.name(of: segment.number),
              bytes: start.rawValue..<start.rawValue + UInt64(FrameHeader.byteCount),
              offsets: offset..<offset.next))
          break
        }
      }
    }
    damage.sort { ($0.file, $0.bytes.lowerBound) < ($1.file, $1.bytes.lowerBound) }
    return Verification(records: scan.recordsRead, damage: damage, torn: scan.torn)
  }

  // MARK: Forensics

  /// Something that stands in a segment file.
  public enum Part: Sendable, Hashable {
    /// A segment's header.
    case segment(SegmentDescription)
    /// A valid frame's header.
    case frame(FrameDescription)
    /// Bytes that are no valid frame; what an unfinished batch leaves, too.
    case unsound(file: String, bytes: Range<UInt64>)
  }

  /// What a segment's header says. FORMAT.md, "Segment header".
  public struct SegmentDescription: Sendable, Hashable {
    /// The file's name within the directory.
    public var file: String
    /// The segment's number.
    public var number: UInt64
    /// The log's identity.
    public var log: UniqueID
    /// The epoch the segment was started in.
    public var epoch: Epoch
    /// The offset of the segment's first record.
    public var firstOffset: Offset
    /// Where the log started when the segment was made.
    public var logStart: Offset
    /// Random; part of every frame check.
    public var nonce: UInt64
    /// The predecessor's number; 0 if there is none.
    public var previousNumber: UInt64
    /// The predecessor's length in bytes.
    public var previousLength: UInt64
    /// The predecessor's digest.
    public var previousDigest: UInt64
    /// The length in bytes that was reserved.
    public var preallocated: UInt64
    /// The length in bytes at which the log starts another segment.
    public var segmentSize: UInt64
    /// Microseconds since the Unix epoch.
    public var created: Int64
    /// Whose records these are.
    public var application: ApplicationTag
    /// The file's length in bytes now.
    public var fileLength: UInt64
    /// The header copies that cannot be read: 0, 1 or both.
    public var badCopies: [Int]
  }

  /// What a frame's header says. FORMAT.md, "Frame".
  public struct FrameDescription: Sendable, Hashable {
    /// `record`, `sync` or `seal`.
    public var kind: String
    /// Where the frame starts in the file.
    public var position: UInt64
    /// The record's length in bytes.
    public var bodyLength: UInt32
    /// The record's checksum.
    public var bodyChecksum: UInt64
    /// A position known durable when the frame was built.
    public var syncedThrough: UInt64
    /// The record's offset, or that of the next one for a frame that holds none.
    public var offset: Offset
    /// More frames of the same batch follow.
    public var continues: Bool
  }

  /// Tells `visit` what stands in each segment, or in one, from front to back, without judging, until it answers false; or
  /// only the headers. Works on damaged logs; of a segment whose header cannot be read it says only that.
  public static func inspect(
    at path: String, segment only: SegmentNumber? = nil, headersOnly: Bool = false, _ visit: (Part) -> Bool
  ) throws(LogError) {
    try inspect(
      at: path, segment: only, headersOnly: headersOnly, fileSystem: DiskFileSystem.shared, rescue: nil, visit
    )
  }

  package static func inspect(
    at path: String, segment only: SegmentNumber?, headersOnly: Bool, fileSystem: any FileSystem,
    rescue: ReadRescue?, _ visit: (Part) -> Bool
  ) throws(LogError) {
    var directory = try LogDirectory(path, in: fileSystem)
    directory.rescue = rescue
    guard try probe(directory) else { throw noSuchLog(directory) }
    let numbers = try directory.list().segments.filter { only == nil || $0 == only }
    guard only == nil || !numbers.isEmpty else {
      throw LogError(.missingSegment, path: directory.path, "there is no such segment; list them with `dump`")
    }
    for number in numbers {
      do throws(LogError) {
        guard try inspect(number, directory, headersOnly, visit) else { return }
      } catch {
        // A writer dropped it since it was listed.
        guard only == nil, error.cause?.code == .notFound else { throw error }
      }
    }
  }

  private static func inspect(
    _ number: SegmentNumber, _ directory: LogDirectory, _ headersOnly: Bool, _ visit: (Part) -> Bool
  ) throws(LogError) -> Bool {
    let opened = try directory.openSegment(number)
    let file = try directory.openFile(number, .readOnly)
    let length = try onFile { () throws(FileSystemError) in try file.status().length }
    guard let header = opened.header else {
      return visit(
        .unsound(file: LogDirectory.name(of: number), bytes: 0..<min(length, UInt64(SegmentHeader.byteCount)))
      )
    }
    guard visit(.segment(description(header, opened, length))) else { return false }
    if headersOnly { return true }
    var scan = try SegmentScan(file, header, headerChecksum: opened.headerChecksum)
    while true {
      var place = scan.scanner.position
      let event = try scan.next { _, _, _ in }
      // A sync frame has zeros before it and is exactly one header long.
      if event == .sync {
        place = FilePosition(scan.scanner.position.rawValue - UInt64(FrameHeader.byteCount))
      }
      while event != .stopped, place < scan.scanner.position,
        case .frame(let frame) = scan.frameHeader(at: place)
      {
        guard visit(.frame(description(frame, at: place, header))) else { return false }
        place = place.advanced(by: frame.frameByteCount)
      }
      if case .seal = event { break }
      guard event == .stopped else { continue }
      let start = scan.scanner.stoppedAt
      guard start == scan.scanner.position else {
        scan.takeSingleFrames()
        continue
      }
      let end: FilePosition?
      if case .found = try scan.resync() {
        end = scan.scanner.position
      } else {
        end = try SegmentScan.lastNonzero(in: file, from: start, fileLength: length)
      }
      guard let end else { break }
      guard visit(.unsound(file: LogDirectory.name(of: number), bytes: start.rawValue..<end.rawValue)) else {
        return false
      }
      if scan.scanner.position == start { break }
    }
    return true
  }

  private static func description(
    _ header: SegmentHeader, _ opened: LogDirectory.OpenedSegment, _ length: UInt64
  ) -> SegmentDescription {
    SegmentDescription(
      file: LogDirectory.name(of: opened.number), number: header.number.rawValue, log: header.log,
      epoch: header.epoch, firstOffset: header.firstOffset, logStart: header.logStart, nonce: header.nonce,
      previousNumber: header.previous.number, previousLength: header.previous.length,
      previousDigest: header.previous.digest, preallocated: header.preallocated,
      segmentSize: header.segmentSize,
      created: header.created, application: header.application, fileLength: length,
      badCopies: opened.badCopies)
  }

  private static func description(
    _ frame: FrameHeader, at place: FilePosition, _ header: SegmentHeader
  ) -> FrameDescription {
    let kind =
      switch frame.kind {
      case .record: "record"
      case .sync: "sync"
      case .seal: "seal"
      }
    return FrameDescription(
      kind: kind, position: place.rawValue, bodyLength: frame.bodyLength, bodyChecksum: frame.bodyChecksum,
      syncedThrough: frame.syncedThrough.rawValue,
      offset: header.firstOffset.advanced(by: UInt64(frame.index)), continues: frame.continues)
  }
}
