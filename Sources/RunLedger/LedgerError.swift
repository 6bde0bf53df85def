public import LogEngine
internal import PlatformIO

/// What the ledger refused or found, and what to do about it.
public struct LedgerError: Error, Sendable, CustomStringConvertible {
  /// The class of a failure: what a caller can decide on.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case log, invalidEvent, conflict, corruptEvent, foreignDatabase
      case foreignCursor, staleEpoch, cursorBeyondEnd, cursorRecordChanged, wrongKindRule
    }
    private let kind: Kind
    /// The code's name.
    public var description: String { kind.rawValue }

    /// The log refused; see ``LedgerError/log``.
    public static let log = Code(kind: .log)
    /// The event breaks a rule; see ``LedgerError/event``.
    public static let invalidEvent = Code(kind: .invalidEvent)
    /// The id is taken by an event with other content, at ``LedgerError/offset``.
    public static let conflict = Code(kind: .conflict)
    /// The record at ``LedgerError/offset`` holds no valid event.
    public static let corruptEvent = Code(kind: .corruptEvent)
    /// Another program's database is at the path.
    public static let foreignDatabase = Code(kind: .foreignDatabase)
    /// The cursor is of another ledger.
    public static let foreignCursor = Code(kind: .foreignCursor)
    /// The cursor is of another epoch: one that a reset, fork or restore ended, or one of another copy of the ledger.
    /// ``LedgerError/offset`` is the current one's first.
    public static let staleEpoch = Code(kind: .staleEpoch)
    /// The cursor is beyond the end of the ledger.
    public static let cursorBeyondEnd = Code(kind: .cursorBeyondEnd)
    /// The record the cursor stands on is not the one it stood on, because a power cut took that one back.
    public static let cursorRecordChanged = Code(kind: .cursorRecordChanged)
    /// The ledger was created with another rule for kinds.
    public static let wrongKindRule = Code(kind: .wrongKindRule)
  }

  private struct Facts: Sendable {
    var code: Code
    var detail: String
    var id: String?
    var offset: Offset?
    var index: Int?
    var log: LogError?
    var event: EventError?
  }
  private let facts: Boxed<Facts>

  /// The class of the failure.
  public var code: Code { facts.value.code }
  /// The id it is about.
  public var id: String? { facts.value.id }
  /// The offset it is about.
  public var offset: Offset? { facts.value.offset }
  /// The place in a batch of the event it is about.
  public var index: Int? { facts.value.index }
  /// What the log said, if it was the log.
  public var log: LogError? { facts.value.log }
  /// What is wrong with the event, if it was that.
  public var event: EventError? { facts.value.event }

  init(
    _ code: Code, _ detail: String, id: String? = nil, offset: Offset? = nil, index: Int? = nil,
    log: LogError? = nil, event: EventError? = nil
  ) {
    facts = Boxed(
      Facts(code: code, detail: detail, id: id, offset: offset, index: index, log: log, event: event))
  }

  init(_ error: LogError) {
    self.init(.log, "", offset: error.offsets?.lowerBound, log: error)
  }

  /// One sentence: what, where, and what to do.
  public var description: String {
    if let log, code == .log { return log.description }
    if let event, code == .invalidEvent { return event.description }
    return facts.value.detail
  }
}

/// Runs log operations and turns their errors into the ledger's.
@discardableResult
func onLog<T: ~Copyable>(_ body: () throws(LogError) -> T) throws(LedgerError) -> T {
  do throws(LogError) {
    return try body()
  } catch {
    throw LedgerError(error)
  }
}
