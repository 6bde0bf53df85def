public import LogEngine
internal import PlatformIO

extension Ledger {
  /// What a salvage copied, and what it could not.
  public struct Salvage: Sendable {
    /// How many events the new ledger holds.
    public var events: UInt64
    /// Records that hold an event that was copied already, under the same id.
    public var repeats: UInt64
    /// What is not as it was written, in the order of the files; events are missing where its offsets say so.
    public var damage: [Damage]
    /// The unsynced end of an interrupted write, which was never acknowledged as durable and is not copied.
    public var torn: (file: String, bytes: Range<UInt64>)?
  }

  /// Copies every event that can be read from a ledger, damaged or not, into a new one, in order, and changes nothing in the
  /// old one.
  ///
  /// The new ledger has an identity of its own and numbers its events anew, from 1, without gaps. It appears under its name
  /// only when it is complete and durable. Throws ``LedgerError`` with code `log` if something is at the new path, or if the
  /// old ledger cannot be read at all. Cost: every byte of the old ledger is read once.
  public static func salvage(from path: String, into newPath: String) throws(LedgerError) -> Salvage {
    var sink = try SalvageSink(newPath, kindRule: try kindRule(ofDamaged: path))
    let found: SegmentedLog.Verification
    do throws(LogError) {
      found = try SegmentedLog.verify(at: path, application: ApplicationTag(id: LedgerOptions.applicationID))
      {
        offset, record in sink.take(offset, record)
      }
    } catch {
      throw LedgerError(error)
    }
    try sink.finish()
    return Salvage(
      events: sink.appended, repeats: sink.repeats, damage: found.damage, torn: found.torn)
  }

  /// As the newest header that can be read says.
  private static func kindRule(ofDamaged path: String) throws(LedgerError) -> KindRule {
    var rule = KindRule.anyText
    try onLog { () throws(LogError) in
      try SegmentedLog.inspect(at: path, headersOnly: true) { part in
        if case .segment(let segment) = part {
          rule = segment.application.options & LedgerOptions.anyKind != 0 ? .anyText : .dotted
        }
        return true
      }
    }
    return rule
  }
}

/// A ledger under a name that says that it is not complete.
private struct SalvageSink {
  private static let batchCount = 1000
  private static let batchByteCount = 8 << 20

  private let path: String
  private let partialPath: String
  private let ledger: Ledger
  private var events: [Event] = []
  private var byteCount = 0
  private var failure: LedgerError?
  private(set) var appended: UInt64 = 0
  private(set) var repeats: UInt64 = 0

  init(_ path: String, kindRule: KindRule) throws(LedgerError) {
    do throws(LogError) {
      self.path = try LogLocation.absolute(path)
      guard try !LogLocation.exists(self.path) else {
        throw LogError(
          .alreadyExists, path: self.path, "something is there already; choose another path, or move it away")
      }
    } catch {
      throw LedgerError(error)
    }
    partialPath = self.path + ".partial"
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = .never
    options.kindRule = kindRule
    options.maximumPayload = EventLimits.payloadBytes
    ledger = try Ledger.open(at: partialPath, options: options)
  }

  /// False if the record holds no event.
  mutating func take(_ offset: Offset, _ record: RawSpan) -> Bool {
    guard let view = EventView(record, at: offset, kindRule: .anyText), view.flaw == nil else { return false }
    guard failure == nil else { return true }
    do throws(LedgerError) {
      events.append(try view.event())
      byteCount += record.byteCount
      if events.count == Self.batchCount || byteCount >= Self.batchByteCount { try flush() }
    } catch {
      failure = error
    }
    return true
  }

  private mutating func flush() throws(LedgerError) {
    guard !events.isEmpty else { return }
    let receipts = try ledger.extend(events, onConflict: .ignore)
    let new = receipts.count { $0.outcome == .appended }
    appended += UInt64(new)
    repeats += UInt64(receipts.count - new)
    events.removeAll(keepingCapacity: true)
    byteCount = 0
  }

  /// Makes the ledger durable and gives it its name.
  mutating func finish() throws(LedgerError) {
    if let failure { throw failure }
    try flush()
    try ledger.close()
    let (path, partialPath) = (path, partialPath)
    try onLog { () throws(LogError) in try LogLocation.rename(partialPath, to: path) }
  }
}
