internal import Synchronization

/// Files that live and die with the process: the `:memory:` backend, and the root of the tests' simulated disks.
///
/// It keeps names, link counts and bytes as a disk would, in one flat name space of full paths (a directory is a name
/// that was created as one). Nothing in it survives the process, so `sync` has nothing to do.
package final class MemoryFileSystem: FileSystem {
  struct Names {
    /// With their inodes.
    var directories: [String: UInt64] = [:]
    var files: [String: MemoryFile.Contents] = [:]
    var nextInode: UInt64 = 1

    func holds(_ path: String) -> Bool { files[path] != nil || directories[path] != nil }

    mutating func addDirectory(_ path: String) -> Bool {
      guard !holds(path) else { return false }
      directories[path] = nextInode
      nextInode += 1
      return true
    }

    /// Takes a file, or a directory with all that is in it, out of the name space. The names in it start with "/".
    mutating func take(_ path: String) -> Tree {
      var tree = Tree(file: files.removeValue(forKey: path), directory: directories.removeValue(forKey: path))
      for name in files.keys where name.hasPrefix(path + "/") {
        tree.files[String(name.dropFirst(path.count))] = files.removeValue(forKey: name)
      }
      for name in directories.keys where name.hasPrefix(path + "/") {
        tree.directories[String(name.dropFirst(path.count))] = directories.removeValue(forKey: name)
      }
      return tree
    }

    mutating func put(_ tree: Tree, _ path: String) {
      files[path] = tree.file
      directories[path] = tree.directory
      for (name, file) in tree.files { files[path + name] = file }
      for (name, inode) in tree.directories { directories[path + name] = inode }
    }
  }

  struct Tree {
    var file: MemoryFile.Contents?
    var directory: UInt64?
    var files: [String: MemoryFile.Contents] = [:]
    var directories: [String: UInt64] = [:]
  }

  private let names = Mutex(Names())

  package init() {}

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    names.withLock { $0.addDirectory(path) }
  }

  package func entries(of directory: String) throws(FileSystemError) -> [String] {
    let found: [String]? = names.withLock { names in
      guard names.directories[directory] != nil else { return nil }
      let prefix = directory + "/"
      return (Array(names.files.keys) + Array(names.directories.keys))
        .filter { $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains("/") }
        .map { String($0.dropFirst(prefix.count)) }
    }
    guard let found else { throw FileSystemError(.notFound, .list, path: directory) }
    return found
  }

  package func status(of path: String) throws(FileSystemError) -> FileStatus? {
    names.withLock { names in
      if let contents = names.files[path] { return contents.status }
      if let inode = names.directories[path] {
        return FileStatus(
          kind: .directory, length: 0, linkCount: 1, identity: .init(device: 0, inode: inode))
      }
      return nil
    }
  }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile {
    let outcome: Result<MemoryFile.Contents, FileSystemError> = names.withLock { names in
      if names.directories[path] != nil {
        return .failure(FileSystemError(.notRegularFile, .open, path: path))
      }
      if let contents = names.files[path] {
        return mode == .createNew
          ? .failure(FileSystemError(.exists, .open, path: path)) : .success(contents)
      }
      guard mode == .createIfMissing || mode == .createNew else {
        return .failure(FileSystemError(.notFound, .open, path: path))
      }
      let contents = MemoryFile.Contents(inode: names.nextInode)
      names.nextInode += 1
      names.files[path] = contents
      return .success(contents)
    }
    return MemoryFile(try outcome.get(), path: path)
  }

  package func link(_ path: String, as newPath: String) throws(FileSystemError) {
    let failure: FileSystemError? = names.withLock { names in
      guard let contents = names.files[path] else { return FileSystemError(.notFound, .link, path: path) }
      guard !names.holds(newPath) else {
        return FileSystemError(.exists, .link, path: newPath)
      }
      names.files[newPath] = contents
      contents.changeLinkCount(by: 1)
      return nil
    }
    if let failure { throw failure }
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    let failure: FileSystemError? = names.withLock { names in
      guard names.holds(path) else { return FileSystemError(.notFound, .rename, path: path) }
      guard names.directories[newPath] == nil else {
        return FileSystemError(.exists, .rename, path: newPath)
      }
      let tree = names.take(path)
      names.take(newPath).file?.changeLinkCount(by: -1)
      names.put(tree, newPath)
      return nil
    }
    if let failure { throw failure }
  }

  package func renameNew(_ path: String, to newPath: String) throws(FileSystemError) {
    let failure: FileSystemError? = names.withLock { names in
      guard names.holds(path) else { return FileSystemError(.notFound, .rename, path: path) }
      guard !names.holds(newPath) else { return FileSystemError(.exists, .rename, path: newPath) }
      names.put(names.take(path), newPath)
      return nil
    }
    if let failure { throw failure }
  }

  package func exchange(_ path: String, with otherPath: String) throws(FileSystemError) {
    let failure: FileSystemError? = names.withLock { names in
      for path in [path, otherPath] where !names.holds(path) {
        return FileSystemError(.notFound, .exchange, path: path)
      }
      let trees = (names.take(path), names.take(otherPath))
      names.put(trees.0, otherPath)
      names.put(trees.1, path)
      return nil
    }
    if let failure { throw failure }
  }

  package func unlink(_ path: String) throws(FileSystemError) {
    let contents = names.withLock { $0.files.removeValue(forKey: path) }
    guard let contents else { throw FileSystemError(.notFound, .unlink, path: path) }
    contents.changeLinkCount(by: -1)
  }

  package func removeDirectory(_ path: String) throws(FileSystemError) {
    let failure: FileSystemError? = names.withLock { names in
      guard names.directories[path] != nil else {
        return FileSystemError(.notFound, .removeDirectory, path: path)
      }
      let tree = names.take(path)
      guard tree.files.isEmpty, tree.directories.isEmpty else {
        names.put(tree, path)
        return FileSystemError(.notEmpty, .removeDirectory, path: path)
      }
      return nil
    }
    if let failure { throw failure }
  }

  package func syncDirectory(_ path: String) throws(FileSystemError) {}
}

final class MemoryFile: LogFile {
  /// A file's bytes, shared by every name and every open file of it.
  final class Contents: Sendable {
    struct State {
      var region = MemoryRegion.zeroed(0)
      var length = 0
      var linkCount: Int64 = 1
      /// The open file that holds the exclusive lock.
      var lockHolder: ObjectIdentifier?
    }
    let inode: UInt64
    let state = Mutex(State())

    init(inode: UInt64) { self.inode = inode }

    var status: FileStatus {
      state.withLock { state in
        FileStatus(
          kind: .regular, length: UInt64(state.length), linkCount: UInt64(state.linkCount),
          identity: .init(device: 0, inode: inode))
      }
    }

    func changeLinkCount(by change: Int64) { state.withLock { $0.linkCount += change } }
  }

  let path: String
  private let contents: Contents

  init(_ contents: Contents, path: String) {
    self.contents = contents
    self.path = path
  }

  deinit {
    contents.state.withLock { state in
      if state.lockHolder == ObjectIdentifier(self) { state.lockHolder = nil }
    }
  }

  func status() throws(FileSystemError) -> FileStatus { contents.status }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int {
    let (region, length) = contents.state.withLock { ($0.region, $0.length) }
    guard position < UInt64(length) else { return 0 }
    let start = Int(position)
    let count = min(buffer.byteCount, length - start)
    let source = region.bytes.extracting(start..<start + count)
    unsafe buffer.withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
    return count
  }

  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError) {
    let end = try checkedLength(position, plus: bytes.byteCount, .write)
    // `RawSpan` cannot be captured by the lock's closure, so the room is made first; one file has one writer.
    let region = contents.state.withLock { state in
      Self.reserve(end, in: &state)
      return state.region
    }
    region.write(bytes, at: Int(position))
    contents.state.withLock { $0.length = max($0.length, end) }
  }

  func preallocate(_ length: UInt64) throws(FileSystemError) {
    let length = try checkedLength(length, plus: 0, .preallocate)
    contents.state.withLock { state in
      Self.reserve(length, in: &state)
      state.length = max(state.length, length)
    }
  }

  func setLength(_ length: UInt64) throws(FileSystemError) {
    let length = try checkedLength(length, plus: 0, .truncate)
    contents.state.withLock { state in
      Self.reserve(length, in: &state)
      if length < state.length { state.region.clear(length..<state.length) }
      state.length = length
    }
  }

  func sync() throws(FileSystemError) {}

  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64? {
    position < UInt64(contents.state.withLock { $0.length }) ? position : nil
  }

  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion {
    let (region, count) = contents.state.withLock { ($0.region, $0.length) }
    guard length > 0, UInt64(count) >= length else {
      throw FileSystemError(.unexpectedEnd, .map, path: path, position: length)
    }
    return region
  }

  func tryLock() throws(FileSystemError) -> Bool {
    contents.state.withLock { state in
      guard state.lockHolder == nil || state.lockHolder == ObjectIdentifier(self) else { return false }
      state.lockHolder = ObjectIdentifier(self)
      return true
    }
  }

  func unlock() {
    contents.state.withLock { state in
      if state.lockHolder == ObjectIdentifier(self) { state.lockHolder = nil }
    }
  }

  private func checkedLength(
    _ position: UInt64, plus count: Int, _ operation: FileSystemError.Operation
  ) throws(FileSystemError) -> Int {
    guard let start = Int(exactly: position), start <= Int.max - count else {
      throw FileSystemError(.fileTooLarge, operation, path: path, position: position)
    }
    return start + count
  }

  /// Grows by copying into a new region; regions handed out by `map` keep showing the old one, whose published bytes are
  /// the same.
  private static func reserve(_ length: Int, in state: inout Contents.State) {
    guard length > state.region.count else { return }
    let region = MemoryRegion.zeroed(max(length, state.region.count * 2))
    region.write(state.region.bytes.extracting(0..<state.length), at: 0)
    state.region = region
  }
}
