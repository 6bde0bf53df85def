public import LogEngine

/// How to open a ledger.
public struct LedgerOptions: Sendable {
  /// `readWrite` unless set. Reading takes no lock and changes nothing.
  public var access: LogOptions.Access = .readWrite
  /// `mustExist` unless set, so that a mistyped path is an error and not an empty ledger.
  public var creation: LogOptions.Creation = .mustExist
  /// When an append counts as done: `always`, once it is on the disk, unless set.
  public var syncPolicy: SyncPolicy = .always
  /// The size at which a new ledger starts another segment, in bytes, from 16 KiB to 16 GiB; fixed when the ledger is created.
  /// 64 MiB unless set.
  public var segmentSize: UInt64 = 64 << 20
  /// The rule for kinds of a new ledger, fixed when it is created. For a ledger that exists: nil takes the ledger's own,
  /// anything else must agree with it.
  public var kindRule: KindRule?
  /// The largest payload that an append accepts, in bytes; at most ``EventLimits/payloadBytes``.
  public var maximumPayload = EventLimits.defaultPayloadBytes
  /// The most bytes that the ledger's segments may use together; see `LogOptions.byteQuota`.
  public var byteQuota: UInt64?
  /// See `LogOptions.allowsNetworkFileSystem`.
  public var allowsNetworkFileSystem = false
  /// See `LogOptions.acceptSuspectTail`.
  public var acceptSuspectTail = false

  /// The options described above, each at its default.
  public init() {}

  /// "RLEVENTS" as the engine's application tag, and the rule for kinds as its option.
  static let applicationID: UInt64 = 0x5354_4E45_5645_4C52
  static let anyKind: UInt64 = 1

  static func kindRule(of tag: ApplicationTag) -> KindRule { tag.options & anyKind != 0 ? .anyText : .dotted }

  var logOptions: LogOptions {
    var options = LogOptions()
    options.access = access
    options.creation = creation
    options.syncPolicy = syncPolicy
    options.segmentSize = segmentSize
    options.application = ApplicationTag(
      id: Self.applicationID, options: kindRule == .anyText ? Self.anyKind : 0)
    options.acceptSuspectTail = acceptSuspectTail
    options.byteQuota = byteQuota
    options.allowsNetworkFileSystem = allowsNetworkFileSystem
    return options
  }
}

/// What to do with an event whose id is stored with other content.
public enum ConflictPolicy: Sendable, Hashable {
  /// Throw `.conflict`; nothing of the call is stored.
  case error
  /// Keep the stored one and report a duplicate.
  case ignore
}

/// What became of an appended event.
public struct Receipt: Sendable, Hashable {
  /// Whether the event was stored now or before.
  public enum Outcome: Sendable, Hashable {
    /// It was stored now.
    case appended
    /// An event of its id was stored before; of the same content, unless conflicts are ignored.
    case duplicate
  }

  /// How far the event has come.
  public enum Durability: Sendable, Hashable {
    /// On the disk: it survives a power cut.
    case durable
    /// With the operating system: it survives the end of the process.
    case buffered
  }

  /// Whether the event was stored now or before.
  public let outcome: Outcome
  /// Where the event is stored.
  public let offset: Offset
  /// How far the event has come.
  public let durability: Durability
}

/// An event and its place.
public struct StoredEvent: Sendable, Equatable {
  /// Where the event is stored.
  public let offset: Offset
  /// The event.
  public let event: Event
}

/// A place in a ledger's history that knows which ledger, which epoch and which record it belongs to, so that it is
/// refused, and never misread, where it does not fit.
public struct Cursor: Sendable, Hashable, CustomStringConvertible {
  /// The ledger it belongs to.
  public let ledger: UniqueID
  /// The epoch it belongs to.
  public let epoch: UniqueID
  /// Everything up to here has been seen.
  public let offset: Offset
  /// The checksum of the record at `offset`; 0 before the first.
  public let checksum: UInt64

  init(ledger: UniqueID, epoch: UniqueID, offset: Offset, checksum: UInt64) {
    self.ledger = ledger
    self.epoch = epoch
    self.offset = offset
    self.checksum = checksum
  }

  /// Reads what `description` makes; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 4, let ledger = UniqueID(String(parts[0])), let epoch = UniqueID(String(parts[1])),
      let offset = UInt64(parts[2]), let checksum = UInt64(parts[3], radix: 16)
    else { return nil }
    self.init(ledger: ledger, epoch: epoch, offset: Offset(offset), checksum: checksum)
  }

  /// A text to keep the cursor in.
  public var description: String { "\(ledger)/\(epoch)/\(offset)/\(String(checksum, radix: 16))" }
}
