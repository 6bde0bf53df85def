internal import PlatformIO

/// Where a reader takes a segment's bytes from.
enum SegmentSource: Sendable {
  /// Its pages, without a system call or a copy: a sealed segment, which nobody changes any more, or the one that this handle
  /// writes, as far as space is reserved for it.
  case mapped(MemoryRegion)
  /// A segment that another handle may write, or one that could not be mapped.
  case file(any LogFile)

  static func sealed(_ file: any LogFile, length: UInt64) throws(LogError) -> SegmentSource {
    do throws(FileSystemError) {
      return .mapped(try file.map(length))
    } catch {
      // A process has a limit of mappings; reading costs a system call then, and works.
      if error.code == .outOfMemory || error.code == .notSupported { return .file(file) }
      throw LogError(error)
    }
  }

  /// A segment that appends go to. What is written below its capacity shows in its pages, if the file is that long already; one
  /// that grows with each write is read like any file, and so is one that stands beyond its capacity, as a batch does that was
  /// larger and for which nothing could be reserved.
  static func growing(_ active: ActiveSegment) -> SegmentSource {
    active.hasRoom(for: 0) ? pages(of: active.file, through: active.capacity) : .file(active.file)
  }

  /// The first bytes of a file as pages, if it can be mapped.
  static func pages(of file: any LogFile, through length: UInt64) -> SegmentSource {
    do throws(FileSystemError) { return .mapped(try file.map(length)) } catch { return .file(file) }
  }

  /// Has the memory bring the beginnings of these frames at once, where it would else be asked for one after the other and
  /// waited for each time. What it returns means nothing: it keeps the loads from being dropped.
  @inline(never) @discardableResult
  func fetch(_ frames: ArraySlice<FramePlace>) -> UInt8 {
    guard case .mapped(let region) = self else { return 0 }
    var sum: UInt8 = 0
    for frame in frames where frame.end.rawValue - frame.start.rawValue >= 128 {
      sum ^= region.bytes.loadUInt8(at: Int(frame.start.rawValue))
      sum ^= region.bytes.loadUInt8(at: Int(frame.start.rawValue) + 64)
    }
    return sum
  }

  /// Calls `body` with the bytes from `start` to `end`, borrowed for the call.
  func withBytes<R: ~Copyable>(
    from start: FilePosition, to end: FilePosition, _ body: (RawSpan) throws(LogError) -> R
  ) throws(LogError) -> R {
    switch self {
    case .mapped(let region):
      return try body(region.bytes.extracting(Int(start.rawValue)..<Int(end.rawValue)))
    case .file(let file):
      let count = Int(end.rawValue - start.rawValue)
      var buffer = ByteBuffer(capacity: count)
      try onFile { () throws(FileSystemError) in
        try buffer.fill(count) { (space) throws(FileSystemError) in
          try file.read(into: &space, at: start.rawValue)
        }
      }
      guard buffer.count == count else {
        throw LogError(FileSystemError(.unexpectedEnd, .read, path: file.path, position: end.rawValue))
      }
      return try body(buffer.bytes)
    }
  }
}
