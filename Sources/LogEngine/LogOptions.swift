/// How to open a log.
public struct LogOptions: Sendable {
  /// Reading beside a writer, or being the one writer.
  public enum Access: Sendable {
    /// Beside a writer, or without one; sees the log as it is when it is opened, and changes nothing.
    case readOnly
    /// As the one writer.
    case readWrite
  }

  /// What to do about a log that is, or is not, there.
  public enum Creation: Sendable {
    /// One that is missing is an error.
    case mustExist
    /// One that is missing is made.
    case createIfMissing
    /// One that is there is an error.
    case mustNotExist
  }

  /// `readWrite` unless set. Reading takes no lock and changes nothing.
  public var access: Access = .readWrite
  /// `mustExist` unless set.
  public var creation: Creation = .mustExist
  /// When an append counts as done; see ``SyncPolicy``.
  public var syncPolicy: SyncPolicy = .always
  /// The size at which a new log starts another segment, in bytes, from 16 KiB to 16 GiB; fixed when the log is created. 64 MiB
  /// unless set.
  public var segmentSize: UInt64 = 64 << 20
  /// Whose records these are; another's log is refused.
  public var application = ApplicationTag(id: 0)
  /// The most bytes that the segments may use together: an append beyond throws `.quotaExceeded`, before the disk is full. No
  /// limit unless set. Preallocated space that is not used yet does not count.
  public var byteQuota: UInt64?
  /// Open a log on a network file system, whose locks and syncs may not keep their promises. Refused unless set.
  public var allowsNetworkFileSystem = false
  /// Treat an unsynced end that looks damaged as one that was interrupted: its bytes are kept aside and the log goes on.
  public var acceptSuspectTail = false

  /// The options described above, each at its default.
  public init() {}
}

/// When an append counts as done.
public enum SyncPolicy: Sendable, Hashable {
  /// Once it is on the disk: it survives a power cut.
  case always
  /// Once the operating system has it, and it is on the disk so much later, plus the time of one sync: a power cut takes at
  /// most what was appended within that time. A millisecond at least. Appends do not wait for the syncs. It is the handle
  /// that sees to them: what one leaves unsynced that is dropped without `close`, or whose process ends, is the operating
  /// system's to write.
  case interval(Duration)
  /// Once the operating system has it: it survives the end of the process, and a power cut only after `sync` or `close`.
  case never
}

/// What opening found and did.
public struct RecoveryReport: Sendable, Hashable {
  /// How the log ended.
  public enum Outcome: Sendable, Hashable {
    /// The log was created.
    case created
    /// Nothing follows the last complete batch.
    case clean
    /// The last segment was sealed and had no successor.
    case sealed
    /// An interrupted write was cut off; or, for a log opened for reading, is passed over. If only zeros were left of it, there
    /// is nothing to keep.
    case torn
    /// Durable records are damaged; only for a log opened for reading.
    case damaged
  }

  /// How the log ended.
  public var outcome: Outcome
  /// How many records were read through.
  public var records: UInt64 = 0
  /// The torn bytes: the segment file's name and the range in it.
  public var tornFile: String?
  /// The torn bytes' range in `tornFile`.
  public var tornBytes: Range<UInt64>?
  /// The file, beside the segments, that keeps the torn bytes; nil if the log was opened for reading, or they were only zeros.
  public var keptAs: String?
  /// What is damaged; not empty only for a log opened for reading.
  public var damage: [Damage] = []
}
