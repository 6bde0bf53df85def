package import PlatformIO

/// A disk whose power can fail, and which lies and breaks in the ways that real ones do.
///
/// **Fault model.** It keeps what every process sees (the cache) and what would be there after a power cut (the platter). What was
/// changed and not synced since consists of *atoms*, of which any combination may have arrived:
///
/// - A write is cut into sectors of 512 bytes. Of a sector arrives any of the states it had since the last sync, whole, or the last
///   one as far as a prefix of a multiple of eight bytes, with what was there before behind it. Sectors arrive in any order.
/// - A file's length is an atom of its own: data without length is lost, length without data reads as zeros, or, where nothing was
///   ever synced, as stale bytes of another file. It is any of those since the last sync; or any multiple of a sector on the
///   way from one to a greater one: ext4 and btrfs lengthen a file in several steps, be it for one write or reservation.
/// - What is cut off may stay, but for the rest of the page in which the cut is: that may be zeros already. So ext4 and btrfs do it.
/// - Each change of a directory's entries is one atom: a name made, removed, moved, or two exchanged. `sync` of a file says nothing
///   of its name.
/// - A sync that fails leaves its atoms as they are, arrived or not, and *clean*: the cache goes on showing them, and no later
///   sync writes them, unless they are written again. (Not so names: file systems that can lose those in this way stop altogether
///   when their journal fails. A directory's sync that fails leaves everything as it was.)
///
/// **Profiles.** `strict` is that, the least that POSIX promises. In an `orderedJournal` names and lengths arrive in the order in
/// which they were changed, all directories' together; any sync takes those before it along, and data reaches the disk before
/// the length that shows it. Under `lyingSync` a sync reports success and does what a failed one does: nothing can survive that
/// for certain, but what reads back must never be wrong.
///
/// **Faults on demand** (``observe(_:)``): any operation fails with any code, with nothing, half or all of it done; a sync fails as
/// above; the disk has room for so many bytes more; reads fail; sectors of a state at rest go stale or astray
/// (``DiskImage``).
///
/// Everything is deterministic: the same operations give the same atoms in the same order.
package final class SimulatedDisk: FileSystem {
  package enum Profile: String, Sendable, CaseIterable {
    case strict, orderedJournal, lyingSync
  }

  /// One call, before it happens.
  package struct Operation: Sendable, CustomStringConvertible {
    package var operation: FileSystemError.Operation
    package var path: String
    package var position: UInt64?
    package var count: Int?

    /// Does it change what is seen or what is stored?
    package var isMutation: Bool {
      switch operation {
      case .write, .preallocate, .truncate, .sync, .syncDirectory, .link, .rename, .unlink, .createDirectory,
        .removeDirectory, .exchange:
        true
      // Of a file that is missing, and then made.
      case .open: count == 0
      default: false
      }
    }

    package var description: String {
      let place = position.map { " @\($0)" } ?? ""
      let length = count.map { " +\($0)" } ?? ""
      return "\(operation.rawValue) \(path)\(place)\(length)"
    }
  }

  /// What an operation does instead of succeeding.
  package struct Fault: Sendable {
    package enum Effect: Sendable { case none, half, whole }
    package var code: FileSystemError.Code
    /// How much of it took place all the same. A sync's is always open.
    package var effect: Effect

    package init(_ code: FileSystemError.Code, effect: Effect = .none) {
      self.code = code
      self.effect = effect
    }
  }

  package typealias Observer = @Sendable (SimulatedDisk, Operation) -> Fault?

  /// A closure read through a generic lock and written back is wrapped anew each time; in a structure it is not.
  private struct Watch: Sendable { var observer: Observer? }

  private struct Limits: Sendable {
    /// Changes until the power fails.
    var remaining = Int.max
    /// The sync of this path that comes next fails.
    var failingSync: String?
    /// Bytes that may still be written; a write beyond takes effect in part. What a removed file had is given back.
    var room = Int.max
  }

  let state: Locked<DiskState>
  private let watch = Locked(Watch())
  private let limits = Locked(Limits())

  init(_ state: DiskState) { self.state = Locked(state) }

  /// A disk on which an empty directory stands, durably.
  package convenience init(profile: Profile = .strict, directory: String = TestLog.path) {
    var state = DiskState(profile: profile)
    if let place = state.place(directory) {
      state.change(place.directory, [(place.name, state.makeDirectory())])
    }
    state.settleAll()
    self.init(state)
  }

  /// A disk that holds these files, durably.
  package convenience init(
    _ image: DiskImage, profile: Profile = .strict, directory: String = TestLog.path
  ) {
    self.init(profile: profile, directory: directory)
    add(image, as: directory)
  }

  /// Puts a directory with these files on the disk, durably, unless it is there.
  package func add(_ image: DiskImage, as directory: String) {
    state.withLock { state in
      if state.directory(directory) == nil, let place = state.place(directory) {
        state.change(place.directory, [(place.name, state.makeDirectory())])
      }
      guard let inode = state.directory(directory) else { return }
      for (name, bytes) in image.files.sorted(by: { $0.key < $1.key }) {
        state.change(inode, [(name, state.makeFile(bytes))])
      }
      state.settleAll()
    }
  }

  // MARK: What goes wrong

  /// Asks before each operation; what the answer says is thrown in its place. The disk may be looked at meanwhile.
  package func observe(_ observer: Observer?) { watch.withLock { $0.observer = observer } }

  /// Lets the power fail at the operation after `count` more that change something.
  package func failPower(after count: Int) { limits.withLock { $0.remaining = count } }

  /// Lets the disk be full after so many more bytes, or have room again.
  package func setRoom(_ byteCount: Int = .max) { limits.withLock { $0.room = byteCount } }

  /// Lets the next sync of a file fail the way Linux does: the error is told once, and the pages that did not reach the
  /// disk count as clean.
  package func failNextSync(of name: String) { failNextSync(at: TestLog.path + "/" + name) }

  package func failNextSync(at path: String) { limits.withLock { $0.failingSync = path } }

  /// Lets go of all locks: the processes that held them are gone.
  package func dropLocks() { state.withLock { $0.locks = [:] } }

  /// Tells of an operation. Returns an error to be thrown when the rest of `effect` is done.
  func begin(
    _ operation: FileSystemError.Operation, _ path: String, _ position: UInt64? = nil, _ count: Int? = nil
  ) throws(FileSystemError) -> (error: FileSystemError, effect: Fault.Effect)? {
    let call = Operation(operation: operation, path: path, position: position, count: count)
    if let fault = watch.withLock({ $0.observer })?(self, call) {
      let error = FileSystemError(fault.code, operation, path: path, position: position)
      if fault.effect == .none, operation != .sync { throw error }
      return (error, fault.effect)
    }
    guard call.isMutation else { return nil }
    let isOff = limits.withLock { limits in
      guard limits.remaining > 0 else { return true }
      limits.remaining -= 1
      return false
    }
    if isOff { throw FileSystemError(.io, operation, path: path) }
    return nil
  }

  /// An operation on names, which takes place whole or not at all.
  private func change(
    _ operation: FileSystemError.Operation, _ path: String,
    _ body: (inout DiskState) -> FileSystemError.Code?
  ) throws(FileSystemError) {
    let failure = try begin(operation, path)
    let (code, freed) = state.withLock { state in
      let code = body(&state)
      defer { state.freed = 0 }
      return (code, state.freed)
    }
    limits.withLock { limits in if limits.room < .max { limits.room += freed } }
    if let code { throw FileSystemError(code, operation, path: path) }
    if let failure { throw failure.error }
  }

  // MARK: Names

  package func createDirectory(_ path: String) throws(FileSystemError) -> Bool {
    if state.withLock({ $0.inode(path) != nil }) { return false }
    try change(.createDirectory, path) { state in
      guard let place = state.place(path) else { return .notFound }
      state.change(place.directory, [(place.name, state.makeDirectory())])
      return nil
    }
    return true
  }

  package func entries(of directory: String) throws(FileSystemError) -> [String] {
    let failure = try begin(.list, directory)
    if let failure { throw failure.error }
    let found: [String]? = state.withLock { state in
      state.directory(directory).flatMap { state.directories[$0] }.map { Array($0.seen.keys) }
    }
    guard let found else { throw FileSystemError(.notFound, .list, path: directory) }
    return found
  }

  package func status(of path: String) throws(FileSystemError) -> FileStatus? {
    if let failure = try begin(.status, path) { throw failure.error }
    return state.withLock { state in state.inode(path).map { state.status($0) } }
  }

  package func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile {
    let (inode, isFile): (Inode?, Bool) = state.withLock { state in
      let inode = state.inode(path)
      return (inode, inode.map { state.files[$0] != nil } ?? false)
    }
    let makes = inode == nil && (mode == .createNew || mode == .createIfMissing)
    let failure = try begin(.open, path, nil, makes ? 0 : nil)
    if let inode {
      if let failure { throw failure.error }
      if !isFile { throw FileSystemError(.notRegularFile, .open, path: path) }
      if mode == .createNew { throw FileSystemError(.exists, .open, path: path) }
      return SimulatedFile(inode, path, self)
    }
    guard makes else { throw FileSystemError(.notFound, .open, path: path) }
    let made: Inode? = state.withLock { state in
      guard let place = state.place(path) else { return nil }
      let inode = state.makeFile([])
      state.change(place.directory, [(place.name, inode)])
      return inode
    }
    guard let made else { throw FileSystemError(.notFound, .open, path: path) }
    if let failure { throw failure.error }
    return SimulatedFile(made, path, self)
  }

  package func link(_ path: String, as newPath: String) throws(FileSystemError) {
    try change(.link, newPath) { state in
      guard let inode = state.inode(path), state.files[inode] != nil, let place = state.place(newPath) else {
        return .notFound
      }
      guard state.inode(newPath) == nil else { return .exists }
      state.change(place.directory, [(place.name, inode)])
      return nil
    }
  }

  package func rename(_ path: String, to newPath: String) throws(FileSystemError) {
    try move(path, newPath, replacing: true)
  }

  package func renameNew(_ path: String, to newPath: String) throws(FileSystemError) {
    try move(path, newPath, replacing: false)
  }

  /// Within one directory, as everything the engine renames is.
  private func move(_ path: String, _ newPath: String, replacing: Bool) throws(FileSystemError) {
    try change(.rename, path) { state in
      guard let inode = state.inode(path), let place = state.place(path),
        let newPlace = state.place(newPath), place.directory == newPlace.directory
      else { return .notFound }
      if !replacing, state.inode(newPath) != nil { return .exists }
      state.change(place.directory, [(place.name, nil), (newPlace.name, inode)])
      return nil
    }
  }

  package func exchange(_ path: String, with otherPath: String) throws(FileSystemError) {
    try change(.exchange, path) { state in
      guard let inode = state.inode(path), let other = state.inode(otherPath), let place = state.place(path),
        let otherPlace = state.place(otherPath), place.directory == otherPlace.directory
      else { return .notFound }
      state.change(place.directory, [(place.name, other), (otherPlace.name, inode)])
      return nil
    }
  }

  package func unlink(_ path: String) throws(FileSystemError) {
    guard state.withLock({ state in state.inode(path).map { state.files[$0] != nil } ?? false }) else {
      throw FileSystemError(.notFound, .unlink, path: path)
    }
    try change(.unlink, path) { state in
      guard let place = state.place(path) else { return .notFound }
      state.change(place.directory, [(place.name, nil)])
      return nil
    }
  }

  package func removeDirectory(_ path: String) throws(FileSystemError) {
    guard
      let isEmpty = state.withLock({ state in
        state.directory(path).map { state.directories[$0]?.seen.isEmpty ?? true }
      })
    else { throw FileSystemError(.notFound, .removeDirectory, path: path) }
    guard isEmpty else { throw FileSystemError(.notEmpty, .removeDirectory, path: path) }
    try change(.removeDirectory, path) { state in
      guard let place = state.place(path) else { return .notFound }
      state.change(place.directory, [(place.name, nil)])
      return nil
    }
  }

  package func syncDirectory(_ path: String) throws(FileSystemError) {
    if let failure = try begin(.syncDirectory, path) { throw failure.error }
    state.withLock { state in if let inode = state.directory(path) { state.syncDirectory(inode) } }
  }

  // MARK: Bytes, for the open files

  func write(_ bytes: [UInt8], to inode: Inode, _ path: String, at position: Int) throws(FileSystemError) {
    let failure = try begin(.write, path, UInt64(position), bytes.count)
    let wanted = failure?.effect == .half ? bytes.count / 2 : bytes.count
    let count = limits.withLock { limits in
      let count = min(wanted, limits.room)
      if limits.room < .max { limits.room -= count }
      return count
    }
    if count > 0 { state.withLock { $0.write(bytes[..<count], to: inode, at: position) } }
    if let failure { throw failure.error }
    if count < wanted {
      throw FileSystemError(.noSpace, .write, path: path, position: UInt64(position + count))
    }
  }

  /// A crude account: what is written into reserved space is counted a second time.
  func preallocate(_ length: Int, of inode: Inode, _ path: String) throws(FileSystemError) {
    let failure = try begin(.preallocate, path, UInt64(length))
    let growth = length - state.withLock { $0.files[inode]?.seen.count ?? 0 }
    guard growth > 0 else {
      if let failure { throw failure.error }
      return
    }
    let fits = limits.withLock { limits in
      guard growth <= limits.room else { return false }
      if limits.room < .max { limits.room -= growth }
      return true
    }
    guard fits else { throw FileSystemError(.noSpace, .preallocate, path: path) }
    let end = failure?.effect == .half ? length - growth / 2 : length
    state.withLock { $0.setLength(end, of: inode) }
    if let failure { throw failure.error }
  }

  func setLength(_ length: Int, of inode: Inode, _ path: String) throws(FileSystemError) {
    let failure = try begin(.truncate, path, UInt64(length))
    state.withLock { $0.setLength(length, of: inode) }
    if let failure { throw failure.error }
  }

  func sync(_ inode: Inode, _ path: String) throws(FileSystemError) {
    var error = try begin(.sync, path)?.error
    let fails = limits.withLock { limits in
      guard limits.failingSync == path else { return false }
      limits.failingSync = nil
      return true
    }
    if fails { error = FileSystemError(.io, .sync, path: path) }
    state.withLock { $0.sync(inode, fails: error != nil) }
    if let error { throw error }
  }
}
