/// The operating system's files.
package final class DiskFileSystem: FileSystem {
  package static let shared = DiskFileSystem()

  package init() {}

  package func absolutePath(_ path: String) throws(FileSystemError) -> String {
    path.isEmpty || path.hasPrefix("/") ? path : try Platform.workingDirectory(path) + "/" + path
  }

  package func resolvedPath(_ path: String) throws(FileSystemError) -> String {
    try Platform.resolvedPath(path)
  }

  package func isRemote(_ path: String) throws(FileSystemError) -> Bool { try Platform.isRemote(path) }

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    try Platform.makeDirectory(path)
  }

  package func entries(of directory: String) throws(FileSystemError) -> [String] {
    try Platform.entries(of: directory)
  }

  package func status(of path: String) throws(FileSystemError) -> FileStatus? {
    try Platform.status(of: path)
  }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile {
    let file = DiskFile(FileDescriptor(owning: try Platform.openFile(path, mode)), path: path)
    guard try file.status().kind == .regular else {
      throw FileSystemError(.notRegularFile, .open, path: path)
    }
    return file
  }

  package func link(_ path: String, as newPath: String) throws(FileSystemError) {
    try Platform.makeLink(path, as: newPath)
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try Platform.moveName(path, to: newPath)
  }

  package func renameNew(_ path: String, to newPath: String) throws(FileSystemError) {
    try Platform.moveNameWithoutReplacing(path, to: newPath)
  }

  package func exchange(_ path: String, with otherPath: String) throws(FileSystemError) {
    try Platform.exchangeNames(path, otherPath)
  }

  package func unlink(_ path: String) throws(FileSystemError) { try Platform.removeName(path) }

  package func removeDirectory(_ path: String) throws(FileSystemError) { try Platform.removeDirectory(path) }

  package func syncDirectory(_ path: String) throws(FileSystemError) { try Platform.syncDirectory(path) }
}

final class DiskFile: LogFile {
  let path: String
  private let descriptor: FileDescriptor

  init(_ descriptor: consuming FileDescriptor, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  func status() throws(FileSystemError) -> FileStatus { try Platform.status(of: descriptor.raw, path) }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int {
    try unsafe buffer.withUnsafeMutableBytes { (bytes) throws(FileSystemError) in
      try unsafe Platform.readFully(descriptor.raw, into: bytes, at: position, path)
    }
  }

  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError) {
    try unsafe bytes.withUnsafeBytes { (bytes) throws(FileSystemError) in
      try unsafe Platform.writeFully(descriptor.raw, bytes, at: position, path)
    }
  }

  func preallocate(_ length: UInt64) throws(FileSystemError) {
    try Platform.preallocate(descriptor.raw, length, path)
  }

  func setLength(_ length: UInt64) throws(FileSystemError) {
    try Platform.setLength(descriptor.raw, length, path)
  }

  func sync() throws(FileSystemError) { try Platform.sync(descriptor.raw, path) }

  func startWriteback(from start: UInt64, to end: UInt64) {
    Platform.startWriteback(descriptor.raw, from: start, to: end)
  }

  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64? {
    try Platform.nextData(descriptor.raw, from: position, path)
  }

  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion {
    guard length > 0, try status().length >= length else {
      throw FileSystemError(.unexpectedEnd, .map, path: path, position: length)
    }
    return try Platform.mapFile(descriptor.raw, Int(length), path)
  }

  func tryLock() throws(FileSystemError) -> Bool { try Platform.tryLock(descriptor.raw, path) }

  func unlock() { Platform.unlock(descriptor.raw) }
}
