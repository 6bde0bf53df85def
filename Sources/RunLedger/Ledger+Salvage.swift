public import LogEngine
package import PlatformIO

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
  /// only when it is complete and durable; until then it is beside it, under that name and `.partial`, and is removed if the
  /// salvage fails. Throws ``LedgerError`` with code `log` if something is at either path, if the new one lies in the old
  /// ledger's directory (`badDestination`), if a file of the old ledger cannot be opened, or if a writer drops segments of it
  /// meanwhile; and with code `foreignDatabase`. Where the disk does not give its bytes the pages concerned count as damage, of
  /// kind `unreadable`. Cost: every byte of the old ledger is read once.
  public static func salvage(from path: String, into newPath: String) throws(LedgerError) -> Salvage {
    do throws(LedgerError) {
      return try salvage(from: path, into: newPath, fileSystem: DiskFileSystem.shared)
    } catch {
      throw namingForeignDatabase(error, path)
    }
  }

  /// Reads the old ledger from `fileSystem`; the new one is on the disk.
  package static func salvage(
    from path: String, into newPath: String, fileSystem: any FileSystem
  ) throws(LedgerError) -> Salvage {
    let rescue = ReadRescue()
    let kindRule = try kindRule(ofDamaged: path, fileSystem, rescue)
    var sink = try SalvageSink(newPath, from: path, kindRule: kindRule)
    do throws(LedgerError) {
      let found = try onLog { () throws(LogError) in
        // One attempt: the sink has what it was given, and cannot begin again.
        try SegmentedLog.verify(
          at: path, application: ApplicationTag(id: LedgerOptions.applicationID), fileSystem: fileSystem,
          attempts: 1, rescue: rescue
        ) { offset, record in sink.take(offset, record) }
      }
      try sink.finish()
      var salvage = Salvage(
        events: sink.appended, repeats: sink.repeats, damage: found.damage + rescue.damage, torn: found.torn)
      if let torn = found.torn,
        rescue.damage.contains(where: { $0.file == torn.file && $0.bytes.overlaps(torn.bytes) })
      {
        // What cannot be read may have been durable, so nobody can call it interrupted.
        salvage.torn = nil
        salvage.damage.append(Damage(kind: .frame, file: torn.file, bytes: torn.bytes, offsets: 0..<0))
      }
      salvage.damage.sort { ($0.file, $0.bytes.lowerBound) < ($1.file, $1.bytes.lowerBound) }
      return salvage
    } catch {
      sink.discard()
      throw error
    }
  }

  /// As the headers say of the log that has most segments here, or of as many the first ones: a segment of another log may
  /// have got among them.
  private static func kindRule(
    ofDamaged path: String, _ fileSystem: any FileSystem, _ rescue: ReadRescue
  ) throws(LedgerError) -> KindRule {
    var logs: [(id: UniqueID, segmentCount: Int, rule: KindRule)] = []
    try onLog { () throws(LogError) in
      try SegmentedLog.inspect(
        at: path, segment: nil, headersOnly: true, fileSystem: fileSystem, rescue: rescue
      ) { part in
        guard case .segment(let segment) = part, segment.application.id == LedgerOptions.applicationID else {
          return true
        }
        if let place = logs.firstIndex(where: { $0.id == segment.log }) {
          logs[place].segmentCount += 1
        } else {
          logs.append((segment.log, 1, LedgerOptions.kindRule(of: segment.application)))
        }
        return true
      }
    }
    return logs.max { $0.segmentCount < $1.segmentCount }?.rule ?? .anyText
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

  init(_ path: String, from oldPath: String, kindRule: KindRule) throws(LedgerError) {
    do throws(LogError) {
      self.path = try LogLocation.absolute(path)
      guard try !LogLocation.exists(self.path) else {
        throw LogError(
          .alreadyExists, path: self.path, "something is there already; choose another path, or move it away")
      }
      try LogLocation.keepApart(self.path, from: oldPath)
      partialPath = self.path + ".partial"
      guard try LogLocation.make(partialPath) else {
        throw LogError(
          .alreadyExists, path: partialPath,
          "a salvage that was interrupted left this, or it is something else; remove it, or choose another path"
        )
      }
    } catch {
      throw LedgerError(error)
    }
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = .never
    options.kindRule = kindRule
    options.maximumPayload = EventLimits.payloadBytes
    do throws(LedgerError) {
      ledger = try Ledger.open(at: partialPath, options: options)
    } catch {
      LogLocation.discard(partialPath)
      throw error
    }
  }

  /// False if the record holds no event, or one that a ledger of this rule cannot hold.
  mutating func take(_ offset: Offset, _ record: RawSpan) -> Bool {
    guard let view = EventView(record, at: offset, kindRule: ledger.kindRule), view.flaw == nil else {
      return false
    }
    guard failure == nil else { return true }
    do throws(LedgerError) {
      // Before it is added: an event near the largest is a batch by itself.
      if events.count == Self.batchCount || byteCount + record.byteCount > Self.batchByteCount { try flush() }
      events.append(try view.event())
      byteCount += record.byteCount
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

  /// Removes what there is of the ledger, after a failure.
  func discard() {
    do throws(LedgerError) { try ledger.close() } catch {}
    LogLocation.discard(partialPath)
  }
}
