public import PlatformIO

/// What the log refused or found, where, and what to do about it.
public struct LogError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The class of a failure: what a caller can decide on.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case fileSystem, noSuchLog, notALog, alreadyExists, locked, newerFormat, wrongApplication
      case damaged, missingSegment, foreignSegment, suspectTail, linkedSegment
      case recordTooLarge, batchTooLarge, invalidOption, offsetNotKept, offsetBeyondEnd, outOfOffsets
      case readOnly, closed, forked, outcomeUnknown, changedMeanwhile, quotaExceeded, networkFileSystem
      case badDestination, notASnapshot, notABatchEnd
    }
    private let kind: Kind
    /// The code's name.
    public var description: String { kind.rawValue }

    /// The operating system refused; see ``LogError/cause``.
    public static let fileSystem = Code(kind: .fileSystem)
    /// There is no log at the path.
    public static let noSuchLog = Code(kind: .noSuchLog)
    /// Something else is at the path.
    public static let notALog = Code(kind: .notALog)
    /// A log is at the path already.
    public static let alreadyExists = Code(kind: .alreadyExists)
    /// Another handle has the log open for writing.
    public static let locked = Code(kind: .locked)
    /// The files were written by a newer version of the format.
    public static let newerFormat = Code(kind: .newerFormat)
    /// The log belongs to another application of the engine.
    public static let wrongApplication = Code(kind: .wrongApplication)
    /// Bytes on the disk are not what was written.
    public static let damaged = Code(kind: .damaged)
    /// A segment of the log is gone.
    public static let missingSegment = Code(kind: .missingSegment)
    /// A segment belongs to another log, or its name is wrong.
    public static let foreignSegment = Code(kind: .foreignSegment)
    /// The unsynced end looks more like damage than like an interrupted write.
    public static let suspectTail = Code(kind: .suspectTail)
    /// The last segment has other hard links, whose owners must not see it change.
    public static let linkedSegment = Code(kind: .linkedSegment)
    /// A record passes the limit.
    public static let recordTooLarge = Code(kind: .recordTooLarge)
    /// A batch passes the limit.
    public static let batchTooLarge = Code(kind: .batchTooLarge)
    /// An option is out of its range.
    public static let invalidOption = Code(kind: .invalidOption)
    /// The record was dropped by retention or a reset.
    public static let offsetNotKept = Code(kind: .offsetNotKept)
    /// No record has this offset yet.
    public static let offsetBeyondEnd = Code(kind: .offsetBeyondEnd)
    /// The log has given out its last offset.
    public static let outOfOffsets = Code(kind: .outOfOffsets)
    /// The handle was opened for reading.
    public static let readOnly = Code(kind: .readOnly)
    /// The handle was closed.
    public static let closed = Code(kind: .closed)
    /// The append would pass the byte quota.
    public static let quotaExceeded = Code(kind: .quotaExceeded)
    /// The log is on a network file system.
    public static let networkFileSystem = Code(kind: .networkFileSystem)
    /// The handle is another process's: it was opened before a fork(2).
    public static let forked = Code(kind: .forked)
    /// A writer reset or trimmed the log while it was being opened for reading. Open it again.
    public static let changedMeanwhile = Code(kind: .changedMeanwhile)
    /// A copy cannot be made there: the log itself is there, or around it, or other files are.
    public static let badDestination = Code(kind: .badDestination)
    /// What is to be restored is no snapshot.
    public static let notASnapshot = Code(kind: .notASnapshot)
    /// A fork can end only at the end of a batch. ``LogError/offsets`` is the batch that the offset lies in: the nearest
    /// ends are the offset before its first and its last one.
    public static let notABatchEnd = Code(kind: .notABatchEnd)
    /// An earlier write or sync failed, so what the disk holds is not known until the log is opened again.
    public static let outcomeUnknown = Code(kind: .outcomeUnknown)
  }

  private struct Facts: Sendable, Hashable {
    var code: Code
    var path: String
    var bytes: Range<UInt64>?
    var offsets: Range<Offset>?
    var detail: String
    var cause: FileSystemError?
  }
  private let facts: Boxed<Facts>

  /// The class of the failure.
  public var code: Code { facts.value.code }
  /// The file or directory it is about.
  public var path: String { facts.value.path }
  /// Where in the file, in bytes.
  public var bytes: Range<UInt64>? { facts.value.bytes }
  /// Which records, as far as that is known.
  public var offsets: Range<Offset>? { facts.value.offsets }
  /// What is the matter and what to do, as half a sentence.
  public var detail: String { facts.value.detail }
  /// The operating system's refusal behind this, if there is one.
  public var cause: FileSystemError? { facts.value.cause }

  package init(
    _ code: Code, path: String, bytes: Range<UInt64>? = nil, offsets: Range<Offset>? = nil, _ detail: String,
    cause: FileSystemError? = nil
  ) {
    facts = Boxed(
      Facts(code: code, path: path, bytes: bytes, offsets: offsets, detail: detail, cause: cause))
  }

  package init(_ cause: FileSystemError) {
    self.init(.fileSystem, path: cause.path, "", cause: cause)
  }

  /// One sentence: where, what, and what to do.
  public var description: String {
    if code == .fileSystem, let cause { return cause.description }
    var text = path
    if let bytes { text += ", bytes \(bytes.lowerBound)–\(bytes.upperBound)" }
    if let offsets, !offsets.isEmpty {
      text += ", offsets \(offsets.lowerBound)–\(Offset(offsets.upperBound.rawValue - 1))"
    }
    text += ": \(detail)"
    if let cause { text += " (\(cause))" }
    return text
  }
}

/// A stretch of a log that does not hold what was written there.
public struct Damage: Sendable, Hashable {
  /// What kind of thing is damaged.
  public enum Kind: String, Sendable {
    /// Both copies of a segment header, or one that contradicts its neighbours.
    case header
    /// One or more frames.
    case frame
    /// A segment is shorter than it was.
    case cut
    /// A sealed segment has no seal, or one that does not fit what it seals.
    case seal
    /// A segment is gone.
    case missing
    /// A segment belongs to another log or another place in this one.
    case foreign
    /// The unsynced end shows no sign of an interrupted write.
    case tail
    /// A record holds no valid event, though its checksum is right.
    case record
    /// The disk does not give these bytes; only a salvage goes on then. What they held is told by other damage.
    case unreadable
    /// A snapshot's list, or something that is not as the list says.
    case snapshot
  }

  /// What kind of thing is damaged.
  public let kind: Kind
  /// The file's name within the log's directory.
  public let file: String
  /// The bytes that are not to be trusted.
  public let bytes: Range<UInt64>
  /// The records that cannot be read; empty if none is known to be lost.
  public let offsets: Range<Offset>

  package init(kind: Kind, file: String, bytes: Range<UInt64>, offsets: Range<Offset>) {
    self.kind = kind
    self.file = file
    self.bytes = bytes
    self.offsets = offsets
  }
}
