package import PlatformIO

/// What a real process did to a real file system, as Fuzz/Writer traces it.
package struct TracedOperation: Sendable {
  package enum Call: Sendable {
    case createDirectory, unlink, removeDirectory, syncDirectory
    case open(FileOpenMode)
    case link(to: String), rename(to: String), renameNew(to: String), exchange(with: String)
    /// Of the file that the operation of that number has opened.
    case write(file: Int, position: Int, bytes: [UInt8])
    case preallocate(file: Int, length: Int), setLength(file: Int, length: Int), sync(file: Int)
  }

  package var number: Int
  package var call: Call
  package var path: String
  /// Nanoseconds; without an end it was under way when the process died.
  package var start: UInt64
  package var end: UInt64?
  package var hasFailed = false

  package init(_ number: Int, _ call: Call, _ path: String, start: UInt64, end: UInt64? = nil) {
    self.number = number
    self.call = call
    self.path = path
    self.start = start
    self.end = end
  }

  private var isSync: Bool {
    switch call {
    case .sync, .syncDirectory: true
    default: false
    }
  }

  /// When it counts as done: a sync covers only what ended before it began.
  fileprivate var place: UInt64 { isSync ? start : end ?? .max }

  fileprivate func mayHaveBegun(_ moment: UInt64) -> Bool { start < moment && !isSync }
}

/// Lives of real processes, one after the other, on a simulated disk, which says of what a real one holds at some moment whether
/// that can be.
///
/// What a process was about when it died has happened or has not, or in part, and its heirs see which; nobody else does. So
/// there are several worlds, as many as it takes, until what they cannot do or cannot explain tells them apart.
package struct DiskReplay {
  /// No world can do what was done.
  package struct Impossible: Error, CustomStringConvertible {
    package var description: String
  }

  /// What a real disk held.
  package enum Verdict: Equatable, Sendable {
    /// All that had been done, or nothing but what had been synced, or something between.
    case all, synced, between
    case impossible(String)

    package var isPossible: Bool { if case .impossible = self { false } else { true } }
  }

  fileprivate struct World {
    let disk: SimulatedDisk
    /// By the number of the operation that opened them.
    var files: [Int: Inode] = [:]

    var copy: World { World(disk: disk.copy(), files: files) }
  }

  /// The root of the real file system.
  package static let directory = "disk"

  private var worlds: [World]
  /// What is yet to be done of the life, by the time when it counts as done; and what it did not come to the end of.
  private var rest: ArraySlice<TracedOperation> = []
  private var unfinished: [TracedOperation] = []

  package init() {
    worlds = [World(disk: SimulatedDisk(directory: Self.directory))]
  }

  /// The process before is dead, and the next one begins.
  package mutating func begin(_ operations: [TracedOperation]) throws {
    try end()
    rest = operations.filter { $0.end != nil }.sorted { $0.place < $1.place }[...]
    unfinished = operations.filter { $0.end == nil }
    for place in worlds.indices { worlds[place].files = [:] }
  }

  private mutating func end() throws {
    while let operation = rest.popFirst() { try take(operation) }
    for operation in unfinished { try take(operation) }
    for world in worlds { world.disk.dropLocks() }
  }

  /// Whether a cut of the power at this moment, in nanoseconds and not before any other that was asked for, may leave the
  /// disk so.
  package mutating func judge(_ found: [String: DiskImage], at moment: UInt64) throws -> Verdict {
    while let operation = rest.first, operation.end ?? .max < moment {
      rest.removeFirst()
      try take(operation)
    }
    var verdicts: [Verdict] = []
    for world in worlds {
      var then = world.copy
      for operation in rest where operation.end ?? .max < moment { then.attempt(operation) }
      // Nobody knows how far these have come, so that all of it may have arrived, or nothing.
      for operation in rest + unfinished
      where operation.end ?? .max >= moment && operation.mayHaveBegun(moment) {
        then.attempt(operation)
      }
      verdicts.append(Self.judge(found, then.disk.crashStates()))
    }
    let explaining = zip(worlds, verdicts).filter(\.1.isPossible)
    if !explaining.isEmpty { worlds = explaining.map(\.0) }
    return explaining.first?.1 ?? verdicts[0]
  }

  private static func judge(_ found: [String: DiskImage], _ states: CrashStates) -> Verdict {
    if let why = states.mismatch(found, parent: directory) { return .impossible(why) }
    func isLeft(_ choice: CrashStates.Choice) -> Bool {
      states.disk(choice).crashStates().mismatch(found, parent: directory) == nil
    }
    return isLeft(states.everythingArrived) ? .all : isLeft(states.nothingArrived) ? .synced : .between
  }

  private mutating func take(_ operation: TracedOperation) throws {
    let before = worlds.count
    var after: [World] = []
    for world in worlds { after += world.outcomes(of: operation) }
    worlds = after
    guard !worlds.isEmpty else {
      throw Impossible(
        description: "\(before) worlds, in none of which operation \(operation.number) can be done: "
          + "\(operation.call) of \(operation.path)".prefix(300))
    }
    guard worlds.count < 10_000 else { throw Impossible(description: "there is no end of what may be") }
  }
}

extension DiskReplay.World {
  /// What may be seen once an operation has ended, or its process has.
  fileprivate func outcomes(of operation: TracedOperation) -> [Self] {
    guard operation.end == nil || operation.hasFailed else {
      var world = self
      return world.attempt(operation) ? [world] : []
    }
    var outcomes = [copy]
    func offer(_ operation: TracedOperation) {
      var world = copy
      if world.attempt(operation) { outcomes.append(world) }
    }
    switch operation.call {
    case .sync(let file):
      // Whether it was all or nothing is open, and stays so after one that failed.
      if operation.hasFailed, let inode = files[file] { outcomes[0].disk.failSync(inode) }
    case .syncDirectory: break
    case .write(let file, let position, let bytes):
      // A kill in the middle leaves whole pages.
      let page = DiskState.pageByteCount
      for end in stride(from: (position / page + 1) * page, to: position + bytes.count, by: page) {
        var part = operation
        part.call = .write(file: file, position: position, bytes: Array(bytes[..<(end - position)]))
        offer(part)
      }
      offer(operation)
    case .preallocate: offer(operation)
    default: if !operation.hasFailed { offer(operation) }
    }
    return outcomes
  }

  @discardableResult fileprivate mutating func attempt(_ operation: TracedOperation) -> Bool {
    do {
      try perform(operation)
      return true
    } catch {
      return false
    }
  }

  private mutating func perform(_ operation: TracedOperation) throws(FileSystemError) {
    let path = operation.path
    func inode(_ file: Int) throws(FileSystemError) -> Inode {
      guard let inode = files[file] else { throw FileSystemError(.notFound, .open, path: path) }
      return inode
    }
    switch operation.call {
    case .createDirectory: _ = try disk.createDirectory(path)
    case .unlink: try disk.unlink(path)
    case .removeDirectory: try disk.removeDirectory(path)
    case .syncDirectory: try disk.syncDirectory(path)
    case .open(let mode):
      _ = try disk.open(path, mode)
      files[operation.number] = disk.inode(path)
    case .link(let name): try disk.link(path, as: name)
    case .rename(let name): try disk.rename(path, to: name)
    case .renameNew(let name): try disk.renameNew(path, to: name)
    case .exchange(let name): try disk.exchange(path, with: name)
    case .write(let file, let position, let bytes):
      try disk.write(bytes, to: inode(file), path, at: position)
    case .preallocate(let file, let length): try disk.preallocate(length, of: inode(file), path)
    case .setLength(let file, let length): try disk.setLength(length, of: inode(file), path)
    case .sync(let file): try disk.sync(inode(file), path)
    }
  }
}

extension SimulatedDisk {
  fileprivate func copy() -> SimulatedDisk { SimulatedDisk(state.withLock { $0 }) }

  fileprivate func inode(_ path: String) -> Inode? { state.withLock { $0.inode(path) } }

  fileprivate func failSync(_ inode: Inode) { state.withLock { $0.sync(inode, fails: true) } }
}
