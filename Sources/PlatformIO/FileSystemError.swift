/// What the operating system refused, where, and what to do about it.
///
/// One error type for every file operation in the project. It carries facts as fields; the sentence is made from them.
public struct FileSystemError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The class of a failure: what a caller can decide on.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case notFound, exists, permissionDenied, readOnlyFileSystem, noSpace, quotaExceeded, fileTooLarge
      case tooManyOpenFiles, notRegularFile, notADirectory, notEmpty, invalidPath, crossDevice, tooManyLinks
      case noLocks, notSupported, outOfMemory, io, brokenPipe, interrupted, unexpectedEnd, other
    }
    private let kind: Kind
    /// The code's name.
    public var description: String { kind.rawValue }

    /// Nothing has this name.
    public static let notFound = Code(kind: .notFound)
    /// Something already has this name.
    public static let exists = Code(kind: .exists)
    /// The process may not do this (EACCES, EPERM).
    public static let permissionDenied = Code(kind: .permissionDenied)
    /// The file system is mounted read-only.
    public static let readOnlyFileSystem = Code(kind: .readOnlyFileSystem)
    /// The device is full.
    public static let noSpace = Code(kind: .noSpace)
    /// The user's or project's disk quota is used up.
    public static let quotaExceeded = Code(kind: .quotaExceeded)
    /// The file would pass the file system's or the process's size limit.
    public static let fileTooLarge = Code(kind: .fileTooLarge)
    /// The process or the system has no file descriptor left.
    public static let tooManyOpenFiles = Code(kind: .tooManyOpenFiles)
    /// A symbolic link, FIFO, socket, device or directory stands where a regular file should.
    public static let notRegularFile = Code(kind: .notRegularFile)
    /// A component of the path is not a directory.
    public static let notADirectory = Code(kind: .notADirectory)
    /// The directory has entries.
    public static let notEmpty = Code(kind: .notEmpty)
    /// The path is empty, too long, or holds a NUL byte.
    public static let invalidPath = Code(kind: .invalidPath)
    /// The two paths are on different file systems.
    public static let crossDevice = Code(kind: .crossDevice)
    /// The file has as many hard links as its file system allows.
    public static let tooManyLinks = Code(kind: .tooManyLinks)
    /// The system has no file locks left, or the file system has none at all.
    public static let noLocks = Code(kind: .noLocks)
    /// The file system does not offer this operation.
    public static let notSupported = Code(kind: .notSupported)
    /// The system could not give the memory.
    public static let outOfMemory = Code(kind: .outOfMemory)
    /// The device reported a failure.
    public static let io = Code(kind: .io)
    /// The reader of a pipe is gone.
    public static let brokenPipe = Code(kind: .brokenPipe)
    /// A signal interrupted the call.
    public static let interrupted = Code(kind: .interrupted)
    /// A file ended before the bytes that were asked for.
    public static let unexpectedEnd = Code(kind: .unexpectedEnd)
    /// Any other error number.
    public static let other = Code(kind: .other)
  }

  /// What was tried.
  public enum Operation: String, Sendable {
    case open, read, write, preallocate, truncate, sync, syncDirectory, link, rename, unlink, list
    case createDirectory, removeDirectory, exchange, status, lock, map, close
  }

  /// The class of the failure.
  public let code: Code
  /// What was tried.
  public let operation: Operation
  /// The path the operation was given.
  public let path: String
  /// The byte position in the file, where the operation has one.
  public let position: UInt64?
  /// The system's error number; 0 where the project itself refused.
  public let errorNumber: Int32

  package init(
    _ code: Code, _ operation: Operation, path: String, position: UInt64? = nil, errorNumber: Int32 = 0
  ) {
    self.code = code
    self.operation = operation
    self.path = path
    self.position = position
    self.errorNumber = errorNumber
  }

  /// One sentence: what, where, and what to do.
  public var description: String {
    let place = position.map { " at byte \($0)" } ?? ""
    let number = errorNumber == 0 ? "" : " (errno \(errorNumber))"
    return "cannot \(phrase) \(path)\(place): \(reason)\(number)"
  }

  private var phrase: String {
    switch operation {
    case .open: "open"
    case .read: "read"
    case .write: "write to"
    case .preallocate: "reserve space for"
    case .truncate: "set the length of"
    case .sync: "sync"
    case .syncDirectory: "sync the directory"
    case .link: "link"
    case .rename: "rename"
    case .unlink: "remove"
    case .list: "list"
    case .createDirectory: "create the directory"
    case .removeDirectory: "remove the directory"
    case .exchange: "replace"
    case .status: "inspect"
    case .lock: "lock"
    case .map: "map"
    case .close: "close"
    }
  }

  private var reason: String {
    switch code {
    case .permissionDenied where operation == .link:
      "permission denied, or no hard links here; run as its owner, or use a file system that has them"
    case .notFound: "it does not exist; check the path"
    case .exists: "it already exists; choose another name"
    case .permissionDenied: "permission denied; run as its owner or change its mode"
    case .readOnlyFileSystem: "the file system is read-only; remount it for writing or open read-only"
    case .noSpace: "the disk is full; free some space and try again"
    case .quotaExceeded: "the disk quota is used up; raise it or free some space"
    case .fileTooLarge: "the file would pass the size limit; raise the limit or use smaller segments"
    case .tooManyOpenFiles: "no file descriptors are left; close some or raise the limit"
    case .notRegularFile: "it is not a regular file; a ledger holds regular files only"
    case .notADirectory: "it is not a directory; give a directory"
    case .notEmpty: "it is not empty; choose another directory"
    case .invalidPath: "the path is empty, too long or holds a NUL byte; give another"
    case .crossDevice: "the two names are on different file systems; use one file system"
    case .tooManyLinks: "the file has too many links; remove some copies"
    case .noLocks: "no file locks are to be had; use a local file system"
    case .notSupported: "the file system does not support it; use a local file system"
    case .outOfMemory: "the system is out of memory; free some"
    case .io: "the device failed; check the disk and the system log"
    case .brokenPipe: "the reader has gone away"
    case .interrupted: "a signal interrupted it; try again"
    case .unexpectedEnd: "the file ends before the bytes asked for; something cut it"
    default: "the system refused"
    }
  }
}
