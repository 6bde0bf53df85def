/// The one seam between the engine and a disk.
///
/// Everything durable goes through these two protocols, so the same engine runs on the real disk
/// (``DiskFileSystem``), in memory (``MemoryFileSystem``) and on the simulated disks of the tests. They are dispatched
/// once a system call, never once a record. All methods may be called from any thread.
///
/// What the names promise, and what an implementation must therefore keep:
/// - `write` makes bytes visible to every reader of the file; it makes nothing durable.
/// - `sync` returns only when the file's bytes and length are durable. After it has failed once, what the disk holds is
///   unknown: the caller must not try again and take a success for an answer.
/// - `syncDirectory` returns only when every entry made or removed before it is durable.
/// - `link` never replaces: of two links to one name exactly one succeeds. Nor does `renameNew`, as long as nobody else
///   makes that name at the same moment; some file systems cannot promise more.
package protocol FileSystem: AnyObject, Sendable {
  /// The path from the root to what `path` names now, whatever the working directory is later.
  func absolutePath(_ path: String) throws(FileSystemError) -> String

  /// The path of what stands at `path`, from the root and without symbolic links; `.notFound` if nothing does.
  func resolvedPath(_ path: String) throws(FileSystemError) -> String

  /// Does a directory live on another machine? False where that cannot be told.
  func isRemote(_ path: String) throws(FileSystemError) -> Bool

  /// Makes one directory, for its owner alone (0700). `false`: something of that name is there already.
  func createDirectory(_ path: String) throws(FileSystemError) -> Bool

  /// The names in a directory, in no order, without `.` and `..`.
  func entries(of directory: String) throws(FileSystemError) -> [String]

  /// What stands at a path, links not followed; nil if nothing does.
  func status(of path: String) throws(FileSystemError) -> FileStatus?

  /// Opens a regular file, and refuses anything else: a symbolic link, a FIFO, a device, a directory. New files are for
  /// their owner alone (0600).
  func open(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> any LogFile

  /// Gives a file a second name; `.exists` if the name is taken.
  func link(_ path: String, as newPath: String) throws(FileSystemError)

  /// Moves a name, replacing what had the new one.
  func rename(_ path: String, to newPath: String) throws(FileSystemError)

  /// Moves a file's or a directory's name; `.exists` if the new one is taken.
  func renameNew(_ path: String, to newPath: String) throws(FileSystemError)

  /// Lets two names change places, both in one step; `.notSupported` where that cannot be had.
  func exchange(_ path: String, with otherPath: String) throws(FileSystemError)

  /// Removes a name; `.notFound` if there is none.
  func unlink(_ path: String) throws(FileSystemError)

  /// Removes an empty directory; `.notEmpty` if something is in it.
  func removeDirectory(_ path: String) throws(FileSystemError)

  /// Makes the directory's entries durable.
  func syncDirectory(_ path: String) throws(FileSystemError)
}

extension FileSystem {
  /// A file system without a working directory takes paths as they are.
  package func absolutePath(_ path: String) throws(FileSystemError) -> String { path }

  /// Nor has one without symbolic links anything to resolve.
  package func resolvedPath(_ path: String) throws(FileSystemError) -> String { path }

  package func isRemote(_ path: String) throws(FileSystemError) -> Bool { false }
}

/// An open file. It is closed when the last reference goes; what matters is durable by `sync`, so a close has nothing
/// left to report.
package protocol LogFile: AnyObject, Sendable {
  var path: String { get }

  func status() throws(FileSystemError) -> FileStatus

  /// Fills `buffer` from `position` on; fewer bytes only at the end of the file. Returns how many.
  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int

  /// Writes all of `bytes` at `position`.
  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError)

  /// Reserves space up to `length` and makes the file that long, with zeros.
  func preallocate(_ length: UInt64) throws(FileSystemError)

  /// Cuts or extends the file; an extension reads as zeros.
  func setLength(_ length: UInt64) throws(FileSystemError)

  /// Makes bytes and length durable (fdatasync; F_FULLFSYNC on Apple systems).
  func sync() throws(FileSystemError)

  /// Lets the system begin to write bytes to the disk that a later `sync` would have to wait for. Promises nothing, and
  /// keeps errors for that `sync`.
  func startWriteback(from start: UInt64, to end: UInt64)

  /// The first position at or after `position` that may hold anything but zeros; nil if all the rest are zeros. A file
  /// system that cannot tell answers `position`.
  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64?

  /// The first `length` bytes, readable for as long as the region lives; `.unexpectedEnd` if the file is shorter. Later writes
  /// show as long as none makes the file longer. Who cuts the file must see to it that nobody looks at what was behind.
  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion

  /// Takes the exclusive lock of this open file without waiting; `false` if another open file has it. It is released when
  /// this file is closed, at the latest by the death of the process.
  func tryLock() throws(FileSystemError) -> Bool

  /// Releases the lock. Closing does so only when no forked child holds the same open file any more, and one that is about
  /// to run another program still does.
  func unlock()
}

extension LogFile {
  package func startWriteback(from start: UInt64, to end: UInt64) {}
}

package enum FileOpenMode: Sendable {
  case readOnly
  case readWrite
  /// Reads and writes, making the file if it is missing.
  case createIfMissing
  /// Reads and writes a file that must not exist yet.
  case createNew
}

package struct FileStatus: Sendable, Hashable {
  package enum Kind: Sendable { case regular, directory, other }
  package var kind: Kind
  package var length: UInt64
  package var linkCount: UInt64
  /// Device and inode: two names with one identity are one file.
  package var identity: Identity

  package struct Identity: Sendable, Hashable {
    package var device: UInt64
    package var inode: UInt64

    package init(device: UInt64, inode: UInt64) {
      self.device = device
      self.inode = inode
    }
  }

  package init(kind: Kind, length: UInt64, linkCount: UInt64, identity: Identity) {
    self.kind = kind
    self.length = length
    self.linkCount = linkCount
    self.identity = identity
  }
}
