internal import PlatformIO

/// Names of a log's files, and the one way to add a segment. FORMAT.md, "Directory".
struct LogDirectory: Sendable {
  static let lockName = "LOCK"
  static let temporarySuffix = ".tmp"

  let fileSystem: any FileSystem
  /// Absolute: a change of the working directory must not move the log.
  let path: String
  /// For reading what can be read of a failing disk.
  var rescue: ReadRescue?

  init(_ path: String, in fileSystem: any FileSystem) throws(LogError) {
    self.fileSystem = fileSystem
    var path = try onFile { () throws(FileSystemError) in try fileSystem.absolutePath(path) }
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    self.path = path
  }

  func path(of name: String) -> String { path + "/" + name }

  static func name(of segment: SegmentNumber) -> String {
    let digits = String(segment.rawValue)
    return String(repeating: "0", count: max(0, 8 - digits.count)) + digits + ".seg"
  }

  static func sidecarName(of segment: SegmentNumber) -> String { name(of: segment).dropLast(4) + ".idx" }

  static func segment(named name: String) -> SegmentNumber? {
    guard name.hasSuffix(".seg"), let value = UInt64(name.dropLast(4)), value >= 1 else { return nil }
    let number = SegmentNumber(value)
    return self.name(of: number) == name ? number : nil
  }

  struct Listing: Equatable {
    /// In rising order.
    var segments: [SegmentNumber] = []
    var temporaries: [String] = []
    /// The segments that have a sidecar, or had one.
    var sidecars: [SegmentNumber] = []
    /// Files that are not the engine's.
    var others: [String] = []
    var hasLock = false
    var hasSnapshot = false
  }

  func list() throws(LogError) -> Listing {
    let names = try onFile { () throws(FileSystemError) in try fileSystem.entries(of: path) }
    var listing = Listing()
    for name in names.sorted() {
      if let segment = Self.segment(named: name) {
        listing.segments.append(segment)
      } else if name.hasSuffix(".idx"), let segment = Self.segment(named: name.dropLast(4) + ".seg") {
        listing.sidecars.append(segment)
      } else if name.hasSuffix(Self.temporarySuffix) {
        listing.temporaries.append(name)
      } else if name == Self.lockName {
        listing.hasLock = true
      } else if name == SnapshotManifest.name {
        listing.hasSnapshot = true
      } else if name != Self.reserveName, !name.hasSuffix(".torn"), !name.hasSuffix(".idx") {
        listing.others.append(name)
      }
    }
    listing.segments.sort()
    return listing
  }

  // MARK: Headers

  struct OpenedSegment {
    var number: SegmentNumber
    /// nil if neither copy is readable.
    var header: SegmentHeader?
    var headerChecksum: UInt64 = 0
    /// Which of the two copies is unreadable or contradicts the other.
    var badCopies: [Int] = []
  }

  func openFile(_ number: SegmentNumber, _ mode: FileOpenMode) throws(LogError) -> any LogFile {
    let name = Self.name(of: number)
    let file = try onFile { () throws(FileSystemError) in try fileSystem.open(path(of: name), mode) }
    return rescue?.wrap(file, name: name) ?? file
  }

  /// Reads a segment's header.
  func openSegment(_ number: SegmentNumber) throws(LogError) -> OpenedSegment {
    try openSegment(number, in: try openFile(number, .readOnly))
  }

  func openSegment(_ number: SegmentNumber, in file: any LogFile) throws(LogError) -> OpenedSegment {
    var buffer = ByteBuffer(capacity: SegmentHeader.byteCount)
    try onFile { () throws(FileSystemError) in
      try buffer.fill(SegmentHeader.byteCount) { (space) throws(FileSystemError) in
        try file.read(into: &space, at: 0)
      }
    }
    var opened = OpenedSegment(number: number)
    for copy in 0..<2 {
      let start = copy * SegmentHeader.blockByteCount
      let end = min(start + SegmentHeader.blockByteCount, buffer.count)
      switch SegmentHeader.decode(buffer.bytes.extracting(min(start, end)..<end)) {
      case .invalid: opened.badCopies.append(copy)
      case .newer(let what):
        throw LogError(
          .newerFormat, path: file.path,
          "uses \(what), which this version does not know; use the newer program that wrote it")
      case .header(let header, let checksum):
        if opened.header == nil {
          opened.header = header
          opened.headerChecksum = checksum
        } else if opened.header != header {
          opened.badCopies.append(copy)
        }
      }
    }
    return opened
  }

  // MARK: Publishing

  /// Makes a segment appear with its header, durably and at once, or not at all.
  ///
  /// A crash before the link leaves a temporary file, which the next opening for writing removes; a crash behind it
  /// leaves the segment, with or without its temporary name. `link` refuses to replace, so a segment cannot be lost to
  /// another of its number.
  func publish(
    _ header: SegmentHeader, in prepared: PreparedSegment? = nil
  ) throws(LogError) -> (file: any LogFile, headerChecksum: UInt64) {
    let target = path(of: Self.name(of: header.number))
    let (block, checksum) = header.encode()
    return try onFile { () throws(FileSystemError) in
      let new =
        if let prepared { prepared } else {
          try prepare(header.number, as: target, byteCount: header.preallocated)
        }
      try publish(block, new, as: target)
      try fileSystem.syncDirectory(path)
      try fileSystem.unlink(new.path)
      return (openUnderItsName(target) ?? new.file, checksum)
    }
  }

  private func publish(
    _ block: [UInt8], _ new: PreparedSegment, as target: String
  ) throws(FileSystemError) {
    do throws(FileSystemError) {
      try new.file.write(block.span.rawBytes, at: 0)
      try new.file.write(block.span.rawBytes, at: UInt64(SegmentHeader.blockByteCount))
      try new.file.sync()
      try fileSystem.link(new.path, as: target)
    } catch {
      discard(new)
      throw error
    }
  }

  /// A file for a segment to come, under a temporary name, with its space reserved.
  struct PreparedSegment {
    var number: SegmentNumber
    var file: any LogFile
    var path: String
    var byteCount: UInt64
  }

  /// Prepares a segment ahead of time, under a name that nobody else gives to anything.
  func prepare(
    _ number: SegmentNumber, byteCount: UInt64, unique: UInt64
  ) throws(FileSystemError) -> PreparedSegment {
    let stem = path(of: Self.name(of: number)) + "." + String(unique, radix: 16)
    return try prepare(number, as: stem, byteCount: byteCount)
  }

  private func prepare(
    _ number: SegmentNumber, as stem: String, byteCount: UInt64
  ) throws(FileSystemError) -> PreparedSegment {
    let path = stem + Self.temporarySuffix
    try removeIfPresent(path)
    let file = try fileSystem.open(path, .createNew)
    let prepared = PreparedSegment(number: number, file: file, path: path, byteCount: byteCount)
    do throws(FileSystemError) {
      if byteCount > 0 { try file.preallocate(byteCount) }
    } catch {
      discard(prepared)
      throw error
    }
    return prepared
  }

  /// What is left of it otherwise, the next opening removes.
  func discard(_ prepared: PreparedSegment) {
    do throws(FileSystemError) { try removeIfPresent(prepared.path) } catch {}
  }

  /// So that errors name a file that exists. It is nothing to fail for: what is published has to be written on.
  private func openUnderItsName(_ path: String) -> (any LogFile)? {
    do throws(FileSystemError) {
      return try fileSystem.open(path, .readWrite)
    } catch {
      return nil
    }
  }

  func removeIfPresent(_ path: String) throws(FileSystemError) {
    do throws(FileSystemError) {
      try fileSystem.unlink(path)
    } catch {
      if error.code != .notFound { throw error }
    }
  }

  /// A sidecar without its segment is of no use, and in nobody's way.
  func removeSidecar(of segment: SegmentNumber) {
    do throws(FileSystemError) {
      try removeIfPresent(path(of: Self.sidecarName(of: segment)))
    } catch {}
  }

  private static func keptStem(of segment: SegmentNumber, from start: FilePosition) -> String {
    "\(name(of: segment).dropLast(4))-\(start)"
  }

  /// The longest file of bytes that were kept aside from `start` on, and where they end; nil if none were.
  func kept(
    of segment: SegmentNumber, from start: FilePosition
  ) throws(LogError) -> (name: String, end: FilePosition)? {
    let prefix = Self.keptStem(of: segment, from: start) + "-"
    return try onFile { () throws(FileSystemError) in
      var longest: (name: String, end: FilePosition)?
      for name in try fileSystem.entries(of: path) where name.hasPrefix(prefix) && name.hasSuffix(".torn") {
        guard let kept = try fileSystem.status(of: path(of: name)), kept.kind == .regular else { continue }
        let end = start.advanced(by: min(kept.length, LogLimits.segmentFileByteCount))
        if end > longest?.end ?? start { longest = (name, end) }
      }
      return longest
    }
  }

  /// Copies bytes of a segment into a file of their own beside it, durably, under the first free name. Returns the name.
  func keepAside(
    _ file: any LogFile, of segment: SegmentNumber, from start: FilePosition, to end: FilePosition
  ) throws(LogError) -> String {
    let stem = Self.keptStem(of: segment, from: start)
    return try onFile { () throws(FileSystemError) in
      let temporary = path(of: stem + ".torn" + Self.temporarySuffix)
      try removeIfPresent(temporary)
      let copy = try fileSystem.open(temporary, .createNew)
      try file.forEachChunk(from: start, to: end) { (bytes, place) throws(FileSystemError) in
        try copy.write(bytes, at: place.rawValue - start.rawValue)
      }
      try copy.sync()
      var attempt = 1
      while try !linkNew(temporary, as: "\(stem)-\(attempt).torn") { attempt += 1 }
      try fileSystem.syncDirectory(path)
      try fileSystem.unlink(temporary)
      return "\(stem)-\(attempt).torn"
    }
  }

  /// False if the name is taken.
  private func linkNew(_ temporary: String, as name: String) throws(FileSystemError) -> Bool {
    do throws(FileSystemError) {
      try fileSystem.link(temporary, as: path(of: name))
      return true
    } catch {
      guard error.code == .exists else { throw error }
      return false
    }
  }
}
