public import LogEngine
package import PlatformIO

extension Ledger {
  // MARK: Copies

  /// Makes a snapshot of the ledger at a new path: a directory that can be opened like a ledger, and restored.
  ///
  /// It holds every event that was appended before the call at the same offsets, is durable, and appears when it is
  /// complete. Files are linked, so that the cost is that of one file sync, for which appends wait, and of a link a segment,
  /// for which they do not; across devices, or where links are refused, the bytes are copied. Opened for writing, the
  /// snapshot becomes a ledger of its own with a new epoch, which refuses cursors of this one. A ledger in memory is
  /// copied to the disk.
  ///
  /// The ledger must be open for writing. A snapshot that is opened so becomes a ledger of its own by that, also if it is
  /// only to be copied. A reset, a trim and a close wait until the copy is done.
  ///
  /// What is at the path stays, and `log` with code `alreadyExists` is thrown, unless `replacing` says so and it is a ledger
  /// that nobody writes to. The ledger itself, its directory, and what holds it are never replaced (`badDestination`).
  /// Thread-safe.
  @discardableResult
  public func snapshot(to path: String, replacing: Bool = false) throws(LedgerError) -> LogCopy {
    try onLog { () throws(LogError) in
      try log.snapshot(to: path, replacing: replacing, in: copyFileSystem ?? log.fileSystem)
    }
  }

  /// Makes a ledger of its own at a new path that holds this one's events up to an offset, the last one unless given, and
  /// goes on from there in a new epoch.
  ///
  /// A fork ends where one call of `append` or `extend` did: within the events of an `extend`, `log` with code
  /// `notABatchEnd` is thrown, which names the nearest offsets; beyond the end `offsetBeyondEnd`, and more than one before the
  /// first event that is kept `offsetNotKept`. At most one segment is copied, and the rest linked. For the
  /// rest see ``snapshot(to:replacing:)``.
  @discardableResult
  public func fork(
    to path: String, through last: Offset? = nil, replacing: Bool = false
  ) throws(LedgerError) -> LogCopy {
    try onLog { () throws(LogError) in
      try log.fork(to: path, through: last, replacing: replacing, in: copyFileSystem ?? log.fileSystem)
    }
  }

  /// Makes a ledger at a new path out of a snapshot, which stays as it is. It starts a new epoch, which refuses cursors made
  /// before. With `replacing`, the ledger that is at the path makes room for it, in one step.
  ///
  /// Cost: a link a segment, and of each the header and the seal are read; events are not. Throws `log` with code `notASnapshot` for a
  /// directory that is a ledger and no snapshot, and as ``snapshot(to:replacing:)`` does.
  @discardableResult
  public static func restore(
    from path: String, to newPath: String, replacing: Bool = false
  ) throws(LedgerError) -> LogCopy {
    try restore(
      from: path, to: newPath, replacing: replacing, fileSystem: DiskFileSystem.shared,
      environment: SystemEnvironment())
  }

  @discardableResult
  package static func restore(
    from path: String, to newPath: String, replacing: Bool, fileSystem: any FileSystem,
    environment: any Environment
  ) throws(LedgerError) -> LogCopy {
    try onLog { () throws(LogError) in
      try SegmentedLog.restore(
        from: path, to: newPath, replacing: replacing,
        application: ApplicationTag(id: LedgerOptions.applicationID), fileSystem: fileSystem,
        environment: environment)
    }
  }
}
