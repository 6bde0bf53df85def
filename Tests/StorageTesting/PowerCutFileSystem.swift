package import PlatformIO

/// A disk whose power can fail: what was written and not synced is there, in part, or not.
///
/// It keeps what every process sees and what the platter holds. After a cut, unsynced sectors of 512 bytes arrived in
/// any subset, whole or as a prefix with zeros behind; length and bytes independently; and of each directory's unsynced
/// changes a prefix, independently of other directories' (FORMAT.md, "System assumptions"). A rename is one change.
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

  private enum Entry {
    case file(Node)
    /// By its inode.
    case directory(UInt64)

    var node: Node? { if case .file(let node) = self { node } else { nil } }
  }

  private enum Change {
    case add(String, Entry)
    case remove(String)
    case rename(String, String)
    case exchange(String, String)

    func apply(to names: inout [String: Entry]) {
      switch self {
      case .add(let name, let entry): names[name] = entry
      case .remove(let name): names[name] = nil
      case .rename(let name, let newName): names[newName] = names.removeValue(forKey: name)
      case .exchange(let name, let other): (names[name], names[other]) = (names[other], names[name])
      }
    }
  }

  private struct Directory {
    var seen: [String: Entry] = [:]
    var stored: [String: Entry] = [:]
    var unsynced: [Change] = []

    mutating func change(_ change: Change) {
      change.apply(to: &seen)
      unsynced.append(change)
    }
  }

  /// Where a path leads: a name in a directory that exists.
  private struct Place {
    var directory: UInt64
    var name: String
  }

  private struct Names {
    /// By inode; 0 is the root.
    var directories: [UInt64: Directory] = [0: Directory()]
    var nextInode: UInt64 = 1
    /// Operations until the power fails.
    var remaining = Int.max
    /// The sync of this file that comes next fails, and leaves its pages clean in the cache.
    var failingSync: String?
    /// Bytes that may still be written; a write beyond takes effect in part. What a removed file had is given back.
    var room = Int.max

    func place(_ path: String) -> Place? {
      var parts = path.split(separator: "/").filter { $0 != "." }
      guard let name = parts.popLast() else { return nil }
      var directory: UInt64 = 0
      for part in parts {
        guard case .directory(let next) = directories[directory]?.seen[String(part)] else { return nil }
        directory = next
      }
      return Place(directory: directory, name: String(name))
    }

    func entry(_ path: String) -> Entry? {
      place(path).flatMap { directories[$0.directory]?.seen[$0.name] }
    }

    func directory(_ path: String) -> UInt64? {
      if path.allSatisfy({ $0 == "/" || $0 == "." }) { return 0 }
      if case .directory(let inode) = entry(path) { return inode }
      return nil
    }

    mutating func change(_ place: Place, _ change: Change) { directories[place.directory]?.change(change) }

    mutating func newInode() -> UInt64 {
      defer { nextInode += 1 }
      return nextInode
    }

    /// One name less for what stood there.
    mutating func drop(_ entry: Entry?) {
      guard let node = entry?.node else { return }
      let freed = node.state.withLock { state in
        state.linkCount -= 1
        return state.linkCount == 0 ? state.cached.count : 0
      }
      if room < .max { room += freed }
    }
  }

  private static let sectorByteCount = 512
  private let names = Locked(Names())
  private let directory: String

  /// A disk on which an empty directory stands, durably.
  package init(directory: String = TestLog.path) {
    self.directory = directory
    names.withLock { names in
      guard let place = names.place(directory) else { return }
      let inode = names.newInode()
      names.directories[inode] = Directory()
      names.change(place, .add(place.name, .directory(inode)))
      Self.settle(&names, place.directory)
    }
  }

  /// A disk that holds these files, durably.
  package convenience init(_ image: DiskImage, directory: String = TestLog.path) {
    self.init(directory: directory)
    names.withLock { names in
      for (name, bytes) in image.files {
        guard let place = names.place(directory + "/" + name) else { continue }
        let node = Node(inode: names.newInode(), bytes: bytes)
        node.state.withLock { $0.linkCount = 1 }
        names.change(place, .add(place.name, .file(node)))
        Self.settle(&names, place.directory)
      }
    }
  }

  private static func settle(_ names: inout Names, _ inode: UInt64) {
    guard var directory = names.directories[inode] else { return }
    directory.stored = directory.seen
    directory.unsynced = []
    names.directories[inode] = directory
  }

  /// Lets the power fail at the operation after `count` more that change something.
  package func failPower(after count: Int) { names.withLock { $0.remaining = count } }

  /// Lets the disk be full after so many more bytes, or have room again.
  package func setRoom(_ byteCount: Int = .max) { names.withLock { $0.room = byteCount } }

  /// Lets the next sync of a file fail the way Linux does: the error is told once, and the pages that did not reach the
  /// disk count as clean.
  package func failNextSync(of name: String) { failNextSync(at: directory + "/" + name) }

  package func failNextSync(at path: String) { names.withLock { $0.failingSync = path } }

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
    let fresh = PowerCutFileSystem(directory: directory)
    var copies: [UInt64: Node] = [:]
    var arrived = Names()
    arrived.directories = [:]
    arrived.nextInode = names.nextInode
    Self.arrive(0, names, &arrived, &copies, &generator)
    fresh.names.withLock { [arrived] in $0 = arrived }
    return fresh
  }

  /// Brings over a directory and all that is in it.
  private static func arrive(
    _ inode: UInt64, _ names: Names, _ arrived: inout Names, _ copies: inout [UInt64: Node],
    _ generator: inout SeededGenerator
  ) {
    guard let old = names.directories[inode] else { return }
    var entries = old.stored
    let changes = old.unsynced.isEmpty ? 0 : Int.random(in: 0...old.unsynced.count, using: &generator)
    for change in old.unsynced.prefix(changes) { change.apply(to: &entries) }
    for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
      switch entry {
      case .directory(let inode): arrive(inode, names, &arrived, &copies, &generator)
      case .file(let node):
        let copy =
          copies[node.inode] ?? Node(inode: node.inode, bytes: Self.arrived(node, &generator))
        copies[node.inode] = copy
        copy.state.withLock { $0.linkCount += 1 }
        entries[name] = .file(copy)
      }
    }
    arrived.directories[inode] = Directory(seen: entries, stored: entries)
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

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    if names.withLock({ $0.entry(path) != nil }) { return false }
    try step(.createDirectory, path)
    names.withLock { names in
      guard let place = names.place(path) else { return }
      let inode = names.newInode()
      names.directories[inode] = Directory()
      names.change(place, .add(place.name, .directory(inode)))
    }
    return true
  }

  package func entries(of directory: String) throws(FileSystemError) -> [String] {
    let found: [String]? = names.withLock { names in
      names.directory(directory).flatMap { names.directories[$0] }.map { Array($0.seen.keys) }
    }
    guard let found else { throw FileSystemError(.notFound, .list, path: directory) }
    return found
  }

  package func status(of path: String) throws(FileSystemError) -> FileStatus? {
    switch names.withLock({ $0.entry(path) }) {
    case .file(let node): PowerCutFile.status(node)
    case .directory(let inode):
      FileStatus(kind: .directory, length: 0, linkCount: 1, identity: .init(device: 0, inode: inode))
    case nil: nil
    }
  }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile {
    switch names.withLock({ $0.entry(path) }) {
    case .file(let node):
      if mode == .createNew { throw FileSystemError(.exists, .open, path: path) }
      return PowerCutFile(node, path, self)
    case .directory: throw FileSystemError(.notRegularFile, .open, path: path)
    case nil: break
    }
    guard mode == .createNew || mode == .createIfMissing, names.withLock({ $0.place(path) != nil }) else {
      throw FileSystemError(.notFound, .open, path: path)
    }
    try step(.open, path)
    let node = names.withLock { names in
      let node = Node(inode: names.newInode())
      node.state.withLock { $0.linkCount = 1 }
      if let place = names.place(path) { names.change(place, .add(place.name, .file(node))) }
      return node
    }
    return PowerCutFile(node, path, self)
  }

  package func link(_ path: String, as newPath: String) throws(FileSystemError) {
    try step(.link, newPath)
    let failure: FileSystemError? = names.withLock { names in
      guard let node = names.entry(path)?.node, let place = names.place(newPath) else {
        return FileSystemError(.notFound, .link, path: newPath)
      }
      guard names.entry(newPath) == nil else { return FileSystemError(.exists, .link, path: newPath) }
      node.state.withLock { $0.linkCount += 1 }
      names.change(place, .add(place.name, .file(node)))
      return nil
    }
    if let failure { throw failure }
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try move(path, newPath, replacing: true)
  }

  package func renameNew(_ path: String, to newPath: String) throws(FileSystemError) {
    try move(path, newPath, replacing: false)
  }

  /// Within one directory, as everything the engine renames is.
  private func move(_ path: String, _ newPath: String, replacing: Bool) throws(FileSystemError) {
    try step(.rename, path)
    let failure: FileSystemError? = names.withLock { names in
      guard names.entry(path) != nil, let place = names.place(path), let newPlace = names.place(newPath),
        place.directory == newPlace.directory
      else { return FileSystemError(.notFound, .rename, path: path) }
      if !replacing, names.entry(newPath) != nil {
        return FileSystemError(.exists, .rename, path: newPath)
      }
      names.drop(names.entry(newPath))
      names.change(place, .rename(place.name, newPlace.name))
      return nil
    }
    if let failure { throw failure }
  }

  package func exchange(_ path: String, with otherPath: String) throws(FileSystemError) {
    try step(.exchange, path)
    let failure: FileSystemError? = names.withLock { names in
      guard names.entry(path) != nil, names.entry(otherPath) != nil, let place = names.place(path),
        let otherPlace = names.place(otherPath), place.directory == otherPlace.directory
      else { return FileSystemError(.notFound, .exchange, path: path) }
      names.change(place, .exchange(place.name, otherPlace.name))
      return nil
    }
    if let failure { throw failure }
  }

  package func unlink(_ path: String) throws(FileSystemError) {
    guard names.withLock({ $0.entry(path)?.node != nil }) else {
      throw FileSystemError(.notFound, .unlink, path: path)
    }
    try step(.unlink, path)
    names.withLock { names in
      guard let place = names.place(path) else { return }
      names.drop(names.entry(path))
      names.change(place, .remove(place.name))
    }
  }

  package func removeDirectory(_ path: String) throws(FileSystemError) {
    guard let inode = names.withLock({ $0.directory(path) }) else {
      throw FileSystemError(.notFound, .removeDirectory, path: path)
    }
    guard names.withLock({ $0.directories[inode]?.seen.isEmpty ?? true }) else {
      throw FileSystemError(.notEmpty, .removeDirectory, path: path)
    }
    try step(.removeDirectory, path)
    names.withLock { names in
      if let place = names.place(path) { names.change(place, .remove(place.name)) }
    }
  }

  package func syncDirectory(_ path: String) throws(FileSystemError) {
    try step(.syncDirectory, path)
    names.withLock { names in
      if let inode = names.directory(path) { Self.settle(&names, inode) }
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

  /// A crude account: what is written into reserved space is counted a second time.
  fileprivate func preallocate(_ length: Int, of node: Node, _ path: String) throws(FileSystemError) {
    try step(.preallocate, path)
    let growth = length - node.state.withLock { $0.cached.count }
    guard growth > 0 else { return }
    let fits = names.withLock { names in
      guard growth <= names.room else { return false }
      if names.room < .max { names.room -= growth }
      return true
    }
    guard fits else { throw FileSystemError(.noSpace, .preallocate, path: path) }
    setLength(length, of: node)
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
    try disk.preallocate(Int(length), of: node, path)
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
