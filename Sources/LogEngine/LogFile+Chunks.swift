internal import PlatformIO

/// How much of a file is read or written at once where much of it is.
enum Chunk {
  static let byteCount: UInt64 = 1 << 20
}

extension LogFile {
  /// Reads the bytes from `start` to `end` in chunks of a bounded size and hands each on with its position. Throws
  /// `.unexpectedEnd` if the file ends before, unless it may.
  func forEachChunk(
    from start: FilePosition, to end: FilePosition, mayEndBefore: Bool = false,
    _ body: (RawSpan, FilePosition) throws(FileSystemError) -> Void
  ) throws(FileSystemError) {
    var buffer = ByteBuffer()
    var place = start
    while place < end {
      let from = place.rawValue
      let count = Int(min(Chunk.byteCount, end.rawValue - from))
      buffer.truncate(to: 0)
      try buffer.fill(count) { (space) throws(FileSystemError) in try read(into: &space, at: from) }
      guard buffer.count == count || mayEndBefore else {
        throw FileSystemError(.unexpectedEnd, .read, path: path, position: from + UInt64(buffer.count))
      }
      try body(buffer.bytes, place)
      if buffer.count < count { return }
      place = place.advanced(by: UInt64(count))
    }
  }

  /// Overwrites the bytes from `start` to `end` with zeros.
  func clear(from start: FilePosition, to end: FilePosition) throws(FileSystemError) {
    guard start < end else { return }
    var zeros = ByteBuffer()
    zeros.appendZeros(Int(min(Chunk.byteCount, end.rawValue - start.rawValue)))
    var place = start.rawValue
    while place < end.rawValue {
      let count = min(zeros.count, Int(end.rawValue - place))
      try write(zeros.bytes.extracting(0..<count), at: place)
      place += UInt64(count)
    }
  }

  /// Overwrites with zeros what the file system calls data from `start` to `end`. Of what only reads as zeros, the disk may
  /// still hold something else.
  func clearData(from start: FilePosition, to end: FilePosition) throws(FileSystemError) {
    // Not much beside a block of data, and not too often where all of it is.
    let step: UInt64 = 64 << 10
    var place = start.rawValue
    while place < end.rawValue, let data = try nextData(from: place), data < end.rawValue {
      place = min((data / step + 1) * step, end.rawValue)
      try clear(from: FilePosition(data), to: FilePosition(place))
    }
  }
}
