internal import PlatformIO

/// Where a copy of a log is to be: a directory that is built under a temporary name beside it, and appears whole or not at
/// all. FORMAT.md, "Copies".
///
/// LOCK of the directory in the making is held until it is done, so that two copies to one destination cannot mix; and
/// that of a log that is replaced, so that nobody writes to it meanwhile.
final class Destination {
  private static let asideSuffix = ".replaced"

  private let fileSystem: any FileSystem
  private let path: String
  private let parent: String
  /// What is there and has to go.
  private let old: LogDirectory?
  private let oldLock: LogLock?
  /// The directory in the making.
  let directory: LogDirectory
  private var lock: LogLock?
  /// It has its name, or may have, and what has the temporary one now is not to be removed before that is durable.
  private var isInView = false

  /// Makes a directory at `path` with what `fill` puts into it, durably, or leaves what was there.
  static func make<R>(
    _ path: String, replacing: Bool, from source: LogDirectory, in fileSystem: any FileSystem,
    _ environment: any Environment, _ fill: (LogDirectory) throws(LogError) -> R
  ) throws(LogError) -> R {
    let destination = try Destination(path, replacing, source, fileSystem, environment)
    do throws(LogError) {
      try destination.prepare(environment)
      let result = try fill(destination.directory)
      try destination.bringIntoView()
      return result
    } catch {
      destination.abandon()
      throw error
    }
  }

  /// Looks at everything that is there and changes nothing, but for undoing an interrupted replacement.
  private init(
    _ path: String, _ replacing: Bool, _ source: LogDirectory, _ fileSystem: any FileSystem,
    _ environment: any Environment
  ) throws(LogError) {
    self.fileSystem = fileSystem
    self.path = try LogDirectory(path, in: fileSystem).path
    parent = LogLocation.parent(of: self.path)
    let name = self.path.split(separator: "/").last ?? ""
    guard !name.isEmpty, name != ".", name != ".." else {
      throw Self.bad(self.path, "it has no name of its own; give a new directory's")
    }
    directory = try LogDirectory(self.path + LogDirectory.temporarySuffix, in: fileSystem)
    if fileSystem === source.fileSystem { try Self.keepApart(self.path, source) }
    try Self.settleReplacement(self.path, replacing, fileSystem, environment)
    guard try Self.status(self.path, fileSystem) != nil else {
      old = nil
      oldLock = nil
      return
    }
    guard replacing else {
      throw LogError(
        .alreadyExists, path: self.path, "something is there already; choose another path, or replace it")
    }
    let old = try LogDirectory(self.path, in: fileSystem)
    let listing = try Self.ours(old)
    guard let listing, !listing.segments.isEmpty || listing.hasSnapshot else {
      throw Self.bad(self.path, "it is no log's directory, or holds other files too, so it is not replaced")
    }
    self.old = old
    oldLock = try LogLock(old, environment)
  }

  private static func bad(_ path: String, _ detail: String) -> LogError {
    LogError(.badDestination, path: path, detail)
  }

  private static func status(_ path: String, _ fileSystem: any FileSystem) throws(LogError) -> FileStatus? {
    try onFile { () throws(FileSystemError) in try fileSystem.status(of: path) }
  }

  // MARK: Looking

  /// Refuses a destination that is the source, lies in it, or holds it. By identity and not by name: one directory has many
  /// names.
  static func keepApart(_ path: String, _ source: LogDirectory) throws(LogError) {
    let fileSystem = source.fileSystem
    let from = try onFile { () throws(FileSystemError) in try fileSystem.resolvedPath(source.path) }
    let parent = try onFile { () throws(FileSystemError) in
      try fileSystem.resolvedPath(LogLocation.parent(of: path))
    }
    guard let identity = try status(from, fileSystem)?.identity else {
      throw SegmentedLog.noSuchLog(source)
    }
    let there = try status(path, fileSystem)?.identity
    if there == identity { throw bad(path, "it is the log itself; choose another path") }
    // Under these names the copy is made and the old one goes, so what stands there would be cleared away.
    for suffix in [LogDirectory.temporarySuffix, asideSuffix]
    where try status(path + suffix, fileSystem)?.identity == identity {
      throw bad(
        path, "the log itself is at \(path + suffix), where the copy would be made; choose another path")
    }
    if try isOrLiesIn(parent, identity, fileSystem) {
      throw bad(path, "it lies in the log's own directory; choose another path")
    }
    if let there, try isOrLiesIn(LogLocation.parent(of: from), there, fileSystem) {
      throw bad(path, "the log itself lies in it; choose another path")
    }
  }

  /// Is the directory at a resolved path this one, or anywhere in it?
  private static func isOrLiesIn(
    _ path: String, _ identity: FileStatus.Identity, _ fileSystem: any FileSystem
  ) throws(LogError) -> Bool {
    var place: String? = path
    while let here = place {
      if try status(here, fileSystem)?.identity == identity { return true }
      let above = LogLocation.parent(of: here)
      place = above == here || above == "." ? nil : above
    }
    return false
  }

  /// What a directory holds, if that is nothing but a log's files.
  private static func ours(_ directory: LogDirectory) throws(LogError) -> LogDirectory.Listing? {
    guard try status(directory.path, directory.fileSystem)?.kind == .directory else { return nil }
    let listing = try directory.list()
    guard listing.others.isEmpty else { return nil }
    let names = try onFile { () throws(FileSystemError) in
      try directory.fileSystem.entries(of: directory.path)
    }
    for name in names {
      // One that has gone since was a writer's, who is at work there.
      guard let status = try status(directory.path(of: name), directory.fileSystem) else { continue }
      guard status.kind == .regular else { return nil }
    }
    return listing
  }

  // MARK: Making

  private func prepare(_ environment: any Environment) throws(LogError) {
    let directory = directory
    let isNew = try onFile { () throws(FileSystemError) in
      try fileSystem.createDirectory(directory.path)
    }
    if !isNew, try Self.ours(directory) == nil {
      throw Self.bad(
        directory.path, "the copy is made here first, but other files are here; move them out of the way")
    }
    do throws(LogError) {
      lock = try LogLock(directory, environment)
    } catch {
      guard error.code == .locked else { throw error }
      throw LogError(.locked, path: path, "another copy is being made to there; wait for it to end")
    }
    // What an interrupted copy left. Or what it replaced, whose old name may still be the one that the disk knows it by: that
    // it is not must be durable before its files go.
    try onFile { () throws(FileSystemError) in
      if !isNew { try fileSystem.syncDirectory(parent) }
      try Self.clear(directory, keepingLock: true)
    }
  }

  private static func clear(_ directory: LogDirectory, keepingLock: Bool) throws(FileSystemError) {
    let names = try directory.fileSystem.entries(of: directory.path)
    for name in names.sorted() where name != LogDirectory.lockName {
      try directory.removeIfPresent(directory.path(of: name))
    }
    // Last: from here on the directory is whoever's makes LOCK anew, with files of the same names.
    if !keepingLock { try directory.removeIfPresent(directory.path(of: LogDirectory.lockName)) }
  }

  private static func remove(_ directory: LogDirectory) throws(FileSystemError) {
    try clear(directory, keepingLock: false)
    try directory.fileSystem.removeDirectory(directory.path)
  }

  /// Everything in the directory is durable before it gets its name, and the name is before anything else goes.
  private func bringIntoView() throws(LogError) {
    let directory = directory
    try onFile { () throws(FileSystemError) in try fileSystem.syncDirectory(directory.path) }
    var left: LogDirectory?
    if old != nil {
      left = try replaceOld()
    } else {
      do throws(FileSystemError) {
        try fileSystem.renameNew(directory.path, to: path)
      } catch {
        guard error.code == .exists else { throw LogError(error) }
        throw LogError(
          .alreadyExists, path: path, "something has come there meanwhile; choose another path", cause: error)
      }
    }
    isInView = true
    try onFile { () throws(FileSystemError) in try fileSystem.syncDirectory(parent) }
    guard let left else { return }
    // The copy is done. What fails from here on is only space, and the next copy to here removes it.
    do throws(FileSystemError) { try Self.remove(left) } catch {}
  }

  /// Puts the new directory in the old one's place: both names change in one step. Where that cannot be had the old one
  /// moves aside first, and a crash right then leaves nothing under the name; the next copy to here moves it back.
  /// Returns where the old one is now.
  private func replaceOld() throws(LogError) -> LogDirectory {
    do throws(FileSystemError) {
      try fileSystem.exchange(directory.path, with: path)
      return directory
    } catch {
      guard error.code == .notSupported else {
        // It may have been done all the same; then the temporary name is the old one's.
        isInView = true
        throw LogError(error)
      }
    }
    let aside = path + Self.asideSuffix
    try onFile { () throws(FileSystemError) in
      try fileSystem.renameNew(path, to: aside)
      do throws(FileSystemError) {
        try fileSystem.renameNew(directory.path, to: path)
      } catch {
        do throws(FileSystemError) { try fileSystem.renameNew(aside, to: path) } catch {}
        throw error
      }
    }
    return try LogDirectory(aside, in: fileSystem)
  }

  /// What a crash between a replacement's two renames left goes back to its place; what one behind them left goes.
  private static func settleReplacement(
    _ path: String, _ replacing: Bool, _ fileSystem: any FileSystem, _ environment: any Environment
  ) throws(LogError) {
    let aside = try LogDirectory(path + asideSuffix, in: fileSystem)
    guard let listing = try ours(aside) else { return }
    let isReplaced = try status(path, fileSystem) != nil
    guard isReplaced ? replacing : !listing.segments.isEmpty else { return }
    // It may be somebody's who chose that name, and is at work there.
    let lock = try LogLock(aside, environment)
    try onFile { () throws(FileSystemError) in
      let parent = LogLocation.parent(of: path)
      if isReplaced {
        // Nothing of it goes before it is durable that the new one has its place.
        try fileSystem.syncDirectory(parent)
        try remove(aside)
      } else {
        try fileSystem.renameNew(aside.path, to: path)
      }
      try fileSystem.syncDirectory(parent)
    }
    withExtendedLifetime(lock) {}
  }

  /// Removes what was made so far, as far as that goes: the next copy to here removes the rest.
  private func abandon() {
    // Without the lock it is another copy's.
    guard !isInView, lock != nil else { return }
    do throws(FileSystemError) { try Self.remove(directory) } catch {}
  }
}

extension LogDirectory {
  /// Takes over a sealed segment of another directory, by a link. Where none can be had its bytes are copied, durably but
  /// for the name. Returns how many were.
  ///
  /// A log's own segments were synced with their seals. Where that is not known `isSynced` is false.
  func takeOver(
    _ number: SegmentNumber, length: UInt64, from source: LogDirectory, isSynced: Bool = true
  ) throws(LogError) -> UInt64 {
    let name = Self.name(of: number)
    let (old, new) = (source.path(of: name), path(of: name))
    let isLinked = try onFile { () throws(FileSystemError) in
      guard fileSystem === source.fileSystem else { return false }
      do throws(FileSystemError) {
        try fileSystem.link(old, as: new)
        return true
      } catch {
        guard Self.needCopy.contains(error.code) else { throw error }
        return false
      }
    }
    if isLinked {
      let found = try onFile { () throws(FileSystemError) in try fileSystem.status(of: new) }
      guard let found, found.length >= length else { throw Self.short(old) }
      if !isSynced {
        let file = try openFile(number, .readOnly)
        try onFile { () throws(FileSystemError) in try file.sync() }
      }
      linkSidecar(of: number, from: source)
      return 0
    }
    let file = try source.openFile(number, .readOnly)
    guard try onFile({ () throws(FileSystemError) in try file.status().length }) >= length else {
      throw Self.short(old)
    }
    try onFile { () throws(FileSystemError) in
      let copy = try fileSystem.open(new, .createNew)
      try file.forEachChunk(from: FilePosition(0), to: FilePosition(length)) {
        (bytes, place) throws(FileSystemError) in try copy.write(bytes, at: place.rawValue)
      }
      try copy.sync()
    }
    return length
  }

  /// Other devices, too many links, file systems without links, and links to others' files, which Linux can forbid.
  private static let needCopy: [FileSystemError.Code] = [
    .crossDevice, .tooManyLinks, .notSupported, .permissionDenied,
  ]

  /// A sidecar saves time and holds nothing of its own: without one it is made anew.
  private func linkSidecar(of number: SegmentNumber, from source: LogDirectory) {
    let name = Self.sidecarName(of: number)
    do throws(FileSystemError) {
      guard try fileSystem.status(of: source.path(of: name))?.kind == .regular else { return }
      try fileSystem.link(source.path(of: name), as: path(of: name))
    } catch {}
  }

  private static func short(_ path: String) -> LogError {
    LogError(
      .damaged, path: path, "the segment is shorter than its seal says; restore it from a copy, or salvage")
  }
}
