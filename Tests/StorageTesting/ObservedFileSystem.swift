package import PlatformIO

/// A file system that tells of every operation before it happens, and fails those it is told to.
///
/// The observer sees what changes the disk and what reads it, in order; an error it returns is thrown in the operation's
/// place, and the operation does not happen.
package final class ObservedFileSystem: FileSystem {
  package struct Call: Sendable, CustomStringConvertible {
    package var operation: FileSystemError.Operation
    package var name: String
    package var position: UInt64?
    package var count: Int?

    package var description: String {
      let place = position.map { " @\($0)" } ?? ""
      let length = count.map { " +\($0)" } ?? ""
      return "\(operation.rawValue) \(name)\(place)\(length)"
    }

    /// Does it change what the disk holds, or make it durable?
    package var isMutation: Bool {
      switch operation {
      case .write, .preallocate, .truncate, .sync, .syncDirectory, .link, .rename, .unlink, .createDirectory,
        .removeDirectory, .exchange:
        true
      default: false
      }
    }
  }

  package typealias Observer = @Sendable (Call) -> FileSystemError.Code?

  /// A closure read through a generic lock and written back is wrapped anew each time, until calling it overflows the
  /// stack; in a structure it is not.
  private struct Watch: Sendable { var observer: Observer }

  private let base: any FileSystem
  private let watch: Locked<Watch>
  private let openFiles = Locked((now: 0, most: 0))

  /// The most files that were open at the same time.
  package var mostOpenFiles: Int { openFiles.withLock { $0.most } }

  fileprivate func count(_ change: Int) {
    openFiles.withLock { files in
      files.now += change
      files.most = max(files.most, files.now)
    }
  }

  package init(
    _ base: any FileSystem, isOnNetwork: Bool = false, _ observer: @escaping Observer = { _ in nil }
  ) {
    self.base = base
    self.isOnNetwork = isOnNetwork
    watch = Locked(Watch(observer: observer))
  }

  package func observe(_ observer: @escaping Observer) { watch.withLock { $0.observer = observer } }

  fileprivate func tell(
    _ operation: FileSystemError.Operation, _ path: String, _ position: UInt64? = nil, _ count: Int? = nil
  ) throws(FileSystemError) {
    let name = String(path.split(separator: "/").last ?? "")
    let observer = watch.withLock { $0.observer }
    let call = Call(operation: operation, name: name, position: position, count: count)
    if let code = observer(call) { throw FileSystemError(code, operation, path: path, position: position) }
  }

  /// What `isRemote` answers.
  package let isOnNetwork: Bool

  package func isRemote(_ path: String) throws(FileSystemError) -> Bool { isOnNetwork }

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    try tell(.createDirectory, path)
    return try base.createDirectory(path)
  }

  package func entries(of directory: String) throws(FileSystemError) -> [String] {
    try tell(.list, directory)
    return try base.entries(of: directory)
  }

  package func status(of path: String) throws(FileSystemError) -> FileStatus? { try base.status(of: path) }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile {
    try tell(.open, path)
    return ObservedFile(try base.open(path, mode), self)
  }

  package func link(_ path: String, as newPath: String) throws(FileSystemError) {
    try tell(.link, newPath)
    try base.link(path, as: newPath)
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try tell(.rename, path)
    try base.rename(path, to: newPath)
  }

  package func renameNew(_ path: String, to newPath: String) throws(FileSystemError) {
    try tell(.rename, path)
    try base.renameNew(path, to: newPath)
  }

  package func exchange(_ path: String, with otherPath: String) throws(FileSystemError) {
    try tell(.exchange, path)
    try base.exchange(path, with: otherPath)
  }

  package func removeDirectory(_ path: String) throws(FileSystemError) {
    try tell(.removeDirectory, path)
    try base.removeDirectory(path)
  }

  package func unlink(_ path: String) throws(FileSystemError) {
    try tell(.unlink, path)
    try base.unlink(path)
  }

  package func syncDirectory(_ path: String) throws(FileSystemError) {
    try tell(.syncDirectory, path)
    try base.syncDirectory(path)
  }
}

private final class ObservedFile: LogFile {
  private let base: any LogFile
  private let owner: ObservedFileSystem

  init(_ base: any LogFile, _ owner: ObservedFileSystem) {
    self.base = base
    self.owner = owner
    owner.count(1)
  }

  deinit { owner.count(-1) }

  var path: String { base.path }

  func status() throws(FileSystemError) -> FileStatus { try base.status() }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int {
    try owner.tell(.read, path, position, buffer.byteCount)
    return try base.read(into: &buffer, at: position)
  }

  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError) {
    try owner.tell(.write, path, position, bytes.byteCount)
    try base.write(bytes, at: position)
  }

  func preallocate(_ length: UInt64) throws(FileSystemError) {
    try owner.tell(.preallocate, path, length)
    try base.preallocate(length)
  }

  func setLength(_ length: UInt64) throws(FileSystemError) {
    try owner.tell(.truncate, path, length)
    try base.setLength(length)
  }

  func sync() throws(FileSystemError) {
    try owner.tell(.sync, path)
    try base.sync()
  }

  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64? {
    try base.nextData(from: position)
  }

  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion {
    try owner.tell(.map, path)
    return try base.map(length)
  }

  func tryLock() throws(FileSystemError) -> Bool {
    try owner.tell(.lock, path)
    return try base.tryLock()
  }

  func unlock() { base.unlock() }
}
