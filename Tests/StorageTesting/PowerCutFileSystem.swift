package import PlatformIO

/// A disk whose power can fail: what was written and not synced is there, in part, or not.
///
/// It keeps what every process sees and what the platter holds. After a cut, unsynced sectors of 512 bytes arrived in
/// any subset, whole or as a prefix with zeros behind; length and bytes independently; and of the directory's unsynced
/// changes, a prefix (FORMAT.md, "System assumptions").
package final class PowerCutFileSystem: FileSystem {
  fileprivate final class Node: Sendable {
    struct State {
      var cached: [UInt8] = []
      var stored: [UInt8] = []
      var dirtySectors: Set<Int> = []
      var linkCount: UInt64 = 0
    }
    let state: Locked<State>
    let inode: UInt64

    init(inode: UInt64, bytes: [UInt8] = []) {
      self.inode = inode
      state = Locked(State(cached: bytes, stored: bytes))
    }
  }

  private enum Change {
    case add(String, Node)
    case remove(String)
  }

  private struct Names {
    var seen: [String: Node] = [:]
    var stored: [String: Node] = [:]
    var unsynced: [Change] = []
    var nextInode: UInt64 = 1
    /// Operations until the power fails.
    var remaining = Int.max
    /// The sync of this file that comes next fails, and leaves its pages clean in the cache.
    var failingSync: String?
    /// Bytes that may still be written; a write beyond takes effect in part.
    var room = Int.max
  }

  private static let sectorByteCount = 512
  private let names = Locked(Names())
  private let directory: String

  package init(directory: String = TestLog.path) { self.directory = directory }

  /// A disk that holds these files, durably.
  package convenience init(_ image: DiskImage, directory: String = TestLog.path) {
    self.init(directory: directory)
    for (name, bytes) in image.files { addStored(directory + "/" + name, bytes) }
  }

  private func addStored(_ path: String, _ bytes: [UInt8]) {
    names.withLock { names in
      let node = Node(inode: names.nextInode, bytes: bytes)
      node.state.withLock { $0.linkCount = 1 }
      names.nextInode += 1
      names.seen[path] = node
      names.stored[path] = node
    }
  }

  /// Lets the power fail at the operation after `count` more that change something.
  package func failPower(after count: Int) { names.withLock { $0.remaining = count } }

  /// Lets the disk be full after so many more bytes, or have room again.
  package func setRoom(_ byteCount: Int = .max) { names.withLock { $0.room = byteCount } }

  /// Lets the next sync of a file fail the way Linux does: the error is told once, and the pages that did not reach the
  /// disk count as clean.
  package func failNextSync(of name: String) { names.withLock { $0.failingSync = directory + "/" + name } }

  fileprivate func step(_ operation: FileSystemError.Operation, _ path: String) throws(FileSystemError) {
    let isOff = names.withLock { names in
      guard names.remaining > 0 else { return true }
      names.remaining -= 1
      return false
    }
    if isOff { throw FileSystemError(.io, operation, path: path) }
  }

  /// What stands on the disk when the power is back.
  package func afterPowerCut(_ generator: inout SeededGenerator) -> PowerCutFileSystem {
    let names = names.withLock { $0 }
    var arrived = names.stored
    let changes = names.unsynced.isEmpty ? 0 : Int.random(in: 0...names.unsynced.count, using: &generator)
    for change in names.unsynced.prefix(changes) {
      switch change {
      case .add(let path, let node): arrived[path] = node
      case .remove(let path): arrived[path] = nil
      }
    }
    let fresh = PowerCutFileSystem(directory: directory)
    var copies: [UInt64: Node] = [:]
    for (path, node) in arrived.sorted(by: { $0.key < $1.key }) {
      let copy = copies[node.inode] ?? Node(inode: node.inode, bytes: Self.arrived(node, &generator))
      copies[node.inode] = copy
      copy.state.withLock { $0.linkCount += 1 }
      fresh.names.withLock { fresh in
        fresh.seen[path] = copy
        fresh.stored[path] = copy
        fresh.nextInode = max(fresh.nextInode, node.inode + 1)
      }
    }
    return fresh
  }

  private static func arrived(_ node: Node, _ generator: inout SeededGenerator) -> [UInt8] {
    let state = node.state.withLock { $0 }
    var bytes = state.stored
    if bytes.count < state.cached.count { bytes.resize(to: state.cached.count) }
    let share: Double = ([0.1, 0.5, 0.9, 1] as [Double]).randomElement(using: &generator) ?? 1
    for sector in state.dirtySectors.sorted() where Double.random(in: 0..<1, using: &generator) < share {
      let start = sector * sectorByteCount
      var end = min(start + sectorByteCount, state.cached.count)
      // A prefix: the rest of the sector keeps what was there, zeros where nothing was.
      if Int.random(in: 0..<6, using: &generator) == 0 {
        end = min(end, start + Int.random(in: 0...63, using: &generator) * 8)
      }
      if start < end { bytes.replaceSubrange(start..<end, with: state.cached[start..<end]) }
    }
    bytes.resize(to: Bool.random(using: &generator) ? state.cached.count : state.stored.count)
    return bytes
  }

  // MARK: Names

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool { true }

  package func entries(of directory: String) throws(FileSystemError) -> [String] {
    names.withLock { $0.seen.keys.map { String($0.dropFirst(directory.count + 1)) } }
  }

  package func status(of path: String) throws(FileSystemError) -> FileStatus? {
    names.withLock { $0.seen[path] }.map(PowerCutFile.status)
  }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile {
    if let node = names.withLock({ $0.seen[path] }) {
      if mode == .createNew { throw FileSystemError(.exists, .open, path: path) }
      return PowerCutFile(node, path, self)
    }
    guard mode == .createNew || mode == .createIfMissing else {
      throw FileSystemError(.notFound, .open, path: path)
    }
    try step(.open, path)
    let node = names.withLock { names in
      let node = Node(inode: names.nextInode)
      node.state.withLock { $0.linkCount = 1 }
      names.nextInode += 1
      names.seen[path] = node
      names.unsynced.append(.add(path, node))
      return node
    }
    return PowerCutFile(node, path, self)
  }

  package func link(_ path: String, as newPath: String) throws(FileSystemError) {
    try step(.link, newPath)
    let isDone = names.withLock { names in
      guard let node = names.seen[path], names.seen[newPath] == nil else { return false }
      names.seen[newPath] = node
      names.unsynced.append(.add(newPath, node))
      node.state.withLock { $0.linkCount += 1 }
      return true
    }
    if !isDone { throw FileSystemError(.exists, .link, path: newPath) }
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try step(.rename, path)
    let isDone = names.withLock { names in
      guard let node = names.seen.removeValue(forKey: path) else { return false }
      names.seen[newPath]?.state.withLock { $0.linkCount -= 1 }
      names.seen[newPath] = node
      names.unsynced.append(.add(newPath, node))
      names.unsynced.append(.remove(path))
      return true
    }
    if !isDone { throw FileSystemError(.notFound, .rename, path: path) }
  }

  package func unlink(_ path: String) throws(FileSystemError) {
    guard names.withLock({ $0.seen[path] != nil }) else {
      throw FileSystemError(.notFound, .unlink, path: path)
    }
    try step(.unlink, path)
    names.withLock { names in
      names.seen.removeValue(forKey: path)?.state.withLock { $0.linkCount -= 1 }
      names.unsynced.append(.remove(path))
    }
  }

  package func syncDirectory(_ path: String) throws(FileSystemError) {
    try step(.syncDirectory, path)
    guard path == directory else { return }
    names.withLock { names in
      names.stored = names.seen
      names.unsynced = []
    }
  }

  // MARK: Bytes

  fileprivate func write(_ bytes: [UInt8], to node: Node, _ path: String, at position: Int)
    throws(FileSystemError)
  {
    try step(.write, path)
    let count = names.withLock { names in
      let count = min(bytes.count, names.room)
      if names.room < .max { names.room -= count }
      return count
    }
    let isCut = count < bytes.count
    let bytes = bytes.prefix(count)
    if !bytes.isEmpty {
      node.state.withLock { state in
        let end = position + bytes.count
        if state.cached.count < end { state.cached.resize(to: end) }
        state.cached.replaceSubrange(position..<end, with: bytes)
        state.dirtySectors.formUnion(position / Self.sectorByteCount...(end - 1) / Self.sectorByteCount)
      }
    }
    if isCut { throw FileSystemError(.noSpace, .write, path: path, position: UInt64(position + count)) }
  }

  fileprivate func setLength(_ length: Int, of node: Node) {
    node.state.withLock { state in
      let old = state.cached.count
      state.cached.resize(to: length)
      // What a cut file grows again by reads as zeros, whatever was stored there.
      if old < length {
        state.dirtySectors.formUnion(old / Self.sectorByteCount...(length - 1) / Self.sectorByteCount)
      }
    }
  }

  fileprivate func sync(_ node: Node, _ path: String) throws(FileSystemError) {
    try step(.sync, path)
    let fails = names.withLock { names in
      guard names.failingSync == path else { return false }
      names.failingSync = nil
      return true
    }
    node.state.withLock { state in
      if !fails {
        state.stored.resize(to: state.cached.count)
        for sector in state.dirtySectors {
          let start = sector * Self.sectorByteCount
          let end = min(start + Self.sectorByteCount, state.cached.count)
          if start < end { state.stored.replaceSubrange(start..<end, with: state.cached[start..<end]) }
        }
      }
      state.dirtySectors = []
    }
    if fails { throw FileSystemError(.io, .sync, path: path) }
  }
}

private final class PowerCutFile: LogFile {
  let path: String
  private let node: PowerCutFileSystem.Node
  private let disk: PowerCutFileSystem

  init(_ node: PowerCutFileSystem.Node, _ path: String, _ disk: PowerCutFileSystem) {
    self.node = node
    self.path = path
    self.disk = disk
  }

  static func status(_ node: PowerCutFileSystem.Node) -> FileStatus {
    node.state.withLock { state in
      FileStatus(
        kind: .regular, length: UInt64(state.cached.count), linkCount: state.linkCount,
        identity: .init(device: 0, inode: node.inode))
    }
  }

  func status() throws(FileSystemError) -> FileStatus { Self.status(node) }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int {
    let bytes = node.state.withLock { $0.cached }
    guard position < UInt64(bytes.count) else { return 0 }
    let count = min(buffer.byteCount, bytes.count - Int(position))
    unsafe buffer.withUnsafeMutableBytes { target in
      unsafe target.copyBytes(from: bytes[Int(position)..<Int(position) + count])
    }
    return count
  }

  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError) {
    let copy = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    try disk.write(copy, to: node, path, at: Int(position))
  }

  func preallocate(_ length: UInt64) throws(FileSystemError) {
    try disk.step(.preallocate, path)
    if node.state.withLock({ $0.cached.count < Int(length) }) { disk.setLength(Int(length), of: node) }
  }

  func setLength(_ length: UInt64) throws(FileSystemError) {
    try disk.step(.truncate, path)
    disk.setLength(Int(length), of: node)
  }

  func sync() throws(FileSystemError) { try disk.sync(node, path) }

  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64? {
    position < UInt64(node.state.withLock { $0.cached.count }) ? position : nil
  }

  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion {
    throw FileSystemError(.notSupported, .map, path: path)
  }

  func tryLock() throws(FileSystemError) -> Bool { true }

  func unlock() {}
}

extension [UInt8] {
  fileprivate mutating func resize(to count: Int) {
    if self.count > count {
      removeLast(self.count - count)
    } else {
      self += [UInt8](repeating: 0, count: count - self.count)
    }
  }
}
