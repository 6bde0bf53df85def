/// A stream that is read from front to end: a file of the user's, or standard input.
package final class InputStream {
  package let name: String
  private let descriptor: FileDescriptor?

  private init(_ descriptor: consuming FileDescriptor?, name: String) {
    self.descriptor = descriptor
    self.name = name
  }

  package static func standardInput() -> InputStream { InputStream(nil, name: "<stdin>") }

  package static func file(_ path: String) throws(FileSystemError) -> InputStream {
    InputStream(FileDescriptor(owning: try Platform.openForStreaming(path)), name: path)
  }

  /// The length of a regular file; nil where there is none to know.
  package var length: UInt64? {
    get throws(FileSystemError) {
      let status = try Platform.status(of: number, name)
      return status.kind == .regular ? status.length : nil
    }
  }

  private var number: Int32 {
    switch descriptor {
    case .some(let descriptor): descriptor.raw
    case .none: 0
    }
  }

  /// Waits up to a time for something to read, or the end. Answers at once for a regular file, and when a signal comes.
  package func isReady(withinMilliseconds milliseconds: Int32) -> Bool {
    Platform.isReady(number, withinMilliseconds: milliseconds)
  }

  /// Reads what is there, at most `buffer.byteCount` bytes; 0 at the end.
  package func read(into buffer: inout MutableRawSpan) throws(FileSystemError) -> Int {
    try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(FileSystemError) in
      try unsafe Platform.readSome(number, into: bytes, name)
    }
  }
}

/// Standard output or standard error, unbuffered.
package struct OutputStream: Sendable {
  package static let standardOutput = OutputStream(number: 1, name: "<stdout>")
  package static let standardError = OutputStream(number: 2, name: "<stderr>")

  private let number: Int32
  private let name: String

  package var isTerminal: Bool { Platform.isTerminal(number) }

  /// Writes everything; `.brokenPipe` when the reader is gone.
  package func write(_ bytes: RawSpan) throws(FileSystemError) {
    try unsafe bytes.withUnsafeBytes { (bytes) throws(FileSystemError) in
      try unsafe Platform.writeStream(number, bytes, name)
    }
  }
}
