internal import LogEngine
internal import PlatformIO
internal import RunLedger

/// Ledgers and their copies live random lives on a disk whose power fails and whose operations do; after each opening they hold
/// what they must, hold nothing that was not written, and find by their indexes what they hold.
///
/// What happens is a matter of chance, or of a script's bytes, so that a fuzzer can look for a life that goes wrong.
package final class LedgerLives {
  let seed: UInt64
  var numbers: Chance
  var disk = SimulatedDisk()
  var environment = SeededEnvironment(seed: 0)
  var ledger: Ledger?
  var path = TestLog.path
  /// What each directory may be; nil for one that need not be there.
  var known: [String: [Knowledge?]] = [TestLog.path: [Knowledge()]]
  var attempts: Int64 = 0
  var sizes: [Int64: Int] = [:]
  /// What the open ledger holds.
  var live: [Offset: Stored] = [:]
  var byID: [String: Offset] = [:]
  var openings: UInt64 = 0
  var hasFailed = false
  /// A fault that was asked for has come to pass.
  let hasFaulted = Locked(false)
  var story: [String] = []

  package convenience init(seed: UInt64) { self.init(Chance(seed: seed), seed: seed) }

  package convenience init(script: [UInt8]) { self.init(Chance(script: script), seed: 1) }

  private init(_ numbers: Chance, seed: UInt64) {
    self.seed = seed
    self.numbers = numbers
  }

  func draw(_ range: Range<Int>) -> Int { Int.random(in: range, using: &numbers) }
  func oneIn(_ count: Int) -> Bool { draw(0..<count) == 0 }

  func require(_ holds: Bool, _ what: @autoclosure () -> String) throws {
    if !holds {
      throw BrokenPromise(
        description: "seed \(seed): \(what()) after\n\(story.suffix(40).joined(separator: "\n"))")
    }
  }

  /// So many steps, or as many as the script has.
  package func run(steps: Int) throws {
    for _ in 0..<steps where !numbers.isSpent {
      do {
        try step()
      } catch let error as LedgerError {
        try take(error)
      } catch is FileSystemError where hasFaulted.withLock({ $0 }) {
        // It was this test's own doing on the disk that failed.
      }
    }
    disk.failPower(after: .max)
    try fall()
  }

  /// What a step may throw: the power went, a sync failed, or the disk is full.
  func take(_ error: LedgerError) throws {
    story.append("  -> \(error.log?.code.description ?? "") \(error)")
    let cause = error.log?.cause?.code
    if hasFaulted.withLock({ $0 }), error.log?.code == .fileSystem {
      hasFailed = true
      return
    }
    if cause == .noSpace, error.log?.code != .outcomeUnknown {
      hasFailed = true
      if oneIn(2) { disk.setRoom() }
      return
    }
    try require(cause == .io || cause == .noSpace || error.log?.code == .outcomeUnknown, "\(error)")
    if cause == .noSpace, oneIn(2) {
      // Taken back once there is room.
      hasFailed = true
      disk.setRoom()
      return
    }
    try fall()
  }

  // MARK: Steps

  func step() throws {
    guard let ledger else { return try open() }
    switch draw(0..<60) {
    case 0: try close(ledger)
    case 1, 2: try fall()
    case 3:
      let count = draw(1..<60)
      story.append("fail power after \(count)")
      disk.failPower(after: count)
    case 4:
      let room = draw(0..<40_000)
      story.append("room \(room)")
      disk.setRoom(room)
    case 5: disk.setRoom()
    case 6:
      let newest = try disk.entries(of: path).filter { $0.hasSuffix(".seg") }.max()
      story.append("fail sync of \(newest ?? "")")
      if let newest { disk.failNextSync(at: path + "/" + newest) }
    case 7...11:
      story.append("advance")
      environment.advance(by: oneIn(3) ? .seconds(1) : .zero)
    case 12: try sync(ledger)
    case 13: try reset(ledger)
    case 14, 15: try trim(ledger)
    case 16, 17: try copy(ledger)
    case 18: try switchOver(ledger)
    case 19: try readBeside(ledger)
    case 20: try check(ledger, try events(of: ledger), "at work")
    case 21: armFault()
    default: try store(ledger)
    }
    if let ledger = self.ledger { noteDurable(ledger) }
  }

  /// One of the operations that come next fails.
  func armFault() {
    let codes: [FileSystemError.Code] = [
      .io, .noSpace, .quotaExceeded, .tooManyOpenFiles, .permissionDenied, .outOfMemory, .tooManyLinks,
    ]
    let fault = SimulatedDisk.Fault(
      codes[draw(0..<codes.count)], effect: [.none, .half, .whole][draw(0..<3)])
    let left = Locked(draw(0..<40))
    story.append("fault \(fault) after \(left.withLock { $0 })")
    let hasFaulted = hasFaulted
    disk.observe { _, _ in
      let isIt = left.withLock { left in
        left -= 1
        return left == -1
      }
      if isIt { hasFaulted.withLock { $0 = true } }
      return isIt ? fault : nil
    }
  }

  func options(_ access: LogOptions.Access = .readWrite) -> LedgerOptions {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.access = access
    options.segmentSize = 16 << 10
    options.syncPolicy = oneIn(2) ? .always : .never
    return options
  }

  func open() throws {
    openings += 1
    if oneIn(3) { try meddle() }
    story.append("open \(path)")
    environment = SeededEnvironment(seed: seed &* 1000 &+ openings)
    let ledger = try Ledger.open(at: path, options: options(), fileSystem: disk, environment: environment)
    let found = try events(of: ledger)
    try settle(path, ledger, found)
    let next = Knowledge(exactly: found, start: ledger.firstOffset, latest: ledger.latestOffset)
    known[path] = [next]
    try check(ledger, found, "opened")
    live = found
    byID = [:]
    for (offset, event) in found { byID[event.id] = offset }
    hasFailed = false
    self.ledger = ledger
  }

  func close(_ ledger: Ledger) throws {
    story.append("close")
    // Also if it fails.
    self.ledger = nil
    try ledger.close()
    change { $0.setDurable(live) }
  }

  /// The process is gone, or the power.
  func fall() throws {
    ledger = nil
    environment = SeededEnvironment(seed: 0)
    disk.failPower(after: .max)
    disk.setRoom()
    disk.observe(nil)
    hasFaulted.withLock { $0 = false }
    let isCut = oneIn(2)
    story.append(isCut ? "power cut" : "killed")
    if isCut {
      var cut = SeededGenerator(seed: numbers.next())
      disk = disk.afterPowerCut(&cut)
    }
    for path in known.keys.sorted() {
      guard try disk.status(of: path) != nil else {
        try require(known[path]?.contains { $0 == nil } == true, "\(path) is gone")
        if isCut { known[path] = nil }
        continue
      }
      guard try disk.entries(of: path).contains(where: { $0.hasSuffix(".seg") }) else {
        try require(
          known[path]?.contains { $0?.durable.isEmpty ?? true && $0?.latest == .zero } == true,
          "\(path) is no ledger")
        continue
      }
      let reader: Ledger
      do {
        reader = try Ledger.open(
          at: path, options: options(.readOnly), fileSystem: disk, environment: SeededEnvironment(seed: 9))
      } catch {
        throw BrokenPromise(
          description: "seed \(seed): \(path): \(error) after\n\(story.suffix(40).joined(separator: "\n"))")
      }
      try require(reader.recovery.damage.isEmpty, "\(path): \(reader.recovery.damage)")
      let found = try events(of: reader)
      let matching = try settle(path, reader, found)
      if isCut { known[path] = matching }
      try check(reader, found, "\(path) read after the fall")
      try reader.close()
    }
  }

  func change(_ body: (inout Knowledge) -> Void) {
    known[path] = (known[path] ?? []).map { knowledge in
      guard var knowledge else { return nil }
      body(&knowledge)
      return knowledge
    }
  }

  func noteDurable(_ ledger: Ledger) {
    let durable = ledger.durableOffset
    let events = live.filter { $0.key <= durable }
    change { knowledge in
      for (offset, event) in events { knowledge.durable[offset] = event }
      knowledge.latest = max(knowledge.latest, durable)
    }
  }

  func sync(_ ledger: Ledger) throws {
    story.append("sync")
    try ledger.sync()
    change { $0.setDurable(live) }
  }

  func reset(_ ledger: Ledger) throws {
    story.append("reset")
    let next = Offset(ledger.latestOffset.rawValue + 1)
    change { $0.starts.insert(next) }
    try ledger.reset()
    live = [:]
    byID = [:]
    change { $0.drop(below: next) }
  }

  func trim(_ ledger: Ledger) throws {
    let first = ledger.firstOffset.rawValue
    let offset = Offset(UInt64(draw(Int(first)..<Int(ledger.latestOffset.rawValue) + 2)))
    story.append("trim before \(offset) of \(first)...\(ledger.latestOffset)")
    // Where segments begin is the ledger's business; it is told by `firstOffset` if the trim succeeds.
    change { $0.starts.formUnion((first...max(first, offset.rawValue)).map { Offset($0) }) }
    try ledger.trim(before: offset)
    let start = ledger.firstOffset
    try require(start <= offset || start.rawValue == first, "trimmed too much: \(start)")
    live = live.filter { $0.key >= start }
    byID = byID.filter { $0.value >= start }
    change { $0.drop(below: start) }
  }

  // MARK: Copies

  func copy(_ ledger: Ledger) throws {
    let to = "copy\(draw(0..<3))"
    guard to != path else { return }
    let old = known[to] ?? [nil]
    let isFork = oneIn(2)
    var last = ledger.latestOffset
    if isFork, oneIn(2) {
      last = Offset(UInt64(draw(Int(ledger.firstOffset.rawValue) - 1..<Int(last.rawValue) + 1)))
    }
    story.append("\(isFork ? "fork through \(last)" : "snapshot") to \(to)")
    let contents = live.filter { $0.key <= last }
    known[to] = old + [Knowledge(exactly: contents, start: ledger.firstOffset, latest: last)]
    do throws(LedgerError) {
      if isFork {
        try ledger.fork(to: to, through: last, replacing: true)
      } else {
        try ledger.snapshot(to: to, replacing: true)
      }
    } catch {
      if error.log?.code == .notABatchEnd {
        known[to] = old
        return
      }
      throw error
    }
    known[to] = [known[to]?.last ?? nil]
    change { $0.setDurable(contents) }
    // From a snapshot a ledger can be made elsewhere.
    let restored = "copy3"
    guard !isFork, oneIn(2), restored != path else { return }
    story.append("restore to \(restored)")
    known[restored] =
      (known[restored] ?? [nil]) + [Knowledge(exactly: contents, start: ledger.firstOffset, latest: last)]
    try Ledger.restore(
      from: to, to: restored, replacing: true, fileSystem: disk, environment: environment)
    known[restored] = [known[restored]?.last ?? nil]
  }

  func switchOver(_ ledger: Ledger) throws {
    guard let other = known.keys.sorted().randomElement(using: &numbers), other != path,
      known[other]?.count == 1, known[other]?[0] != nil
    else { return }
    if oneIn(2) { try close(ledger) }
    story.append("switch to \(other)")
    self.ledger = nil
    environment = SeededEnvironment(seed: 0)
    path = other
  }

  /// Sidecars get lost, or another directory's, or another segment's, or rot.
  func meddle() throws {
    guard try disk.status(of: path) != nil else { return }
    let ours = try disk.entries(of: path).filter { $0.hasSuffix(".idx") }.sorted()
    guard let name = ours.randomElement(using: &numbers) else { return }
    var bytes: [UInt8]?
    let kind = draw(0..<4)
    switch kind {
    case 0: bytes = nil
    case 1:
      let other = known.keys.sorted().randomElement(using: &numbers) ?? path
      if try disk.status(of: other + "/" + name) != nil {
        bytes = try disk.open(other + "/" + name, .readOnly).allBytes()
      }
    case 2:
      bytes = try disk.open(path + "/" + (ours.randomElement(using: &numbers) ?? name), .readOnly).allBytes()
    default:
      bytes = try disk.open(path + "/" + name, .readOnly).allBytes()
      if let count = bytes?.count, count > 0 { bytes?[draw(0..<count)] ^= 1 << UInt8(draw(0..<8)) }
    }
    story.append("meddle \(kind) with \(path)/\(name)")
    do throws(FileSystemError) {
      try disk.unlink(path + "/" + name)
      guard let bytes else { return }
      let file = try disk.open(path + "/" + name, .createNew)
      try file.write(bytes.span.rawBytes, at: 0)
    } catch {}
  }

  // MARK: Storing

  func store(_ ledger: Ledger) throws {
    attempts += 1
    let attempt = attempts
    var events: [Stored] = []
    for _ in 0..<(oneIn(3) ? draw(2..<6) : 1) {
      let id =
        oneIn(6) ? (byID.keys.sorted().randomElement(using: &numbers) ?? "x") : "id-\(draw(0..<2000))"
      events.append(Stored(id: id, version: oneIn(12) ? 1 : 0, attempt: attempt))
    }
    let ignores = oneIn(2)
    // What has to come of it.
    var offsets: [Offset?] = []
    var new: [Offset: Stored] = [:]
    var newByID: [String: Offset] = [:]
    var conflicts = false
    for event in events {
      if let stored = byID[event.id] ?? newByID[event.id] {
        if (live[stored] ?? new[stored])?.version != event.version, !ignores { conflicts = true }
        offsets.append(stored)
        continue
      }
      let offset = Offset(ledger.latestOffset.rawValue + 1 + UInt64(new.count))
      new[offset] = event
      newByID[event.id] = offset
      offsets.append(nil)
    }
    story.append(
      "store \(events.map { "\($0.id).\($0.version)" }) as \(attempt) at \(new.keys.min()?.rawValue ?? 0)")
    let before = known[path]
    if !conflicts {
      sizes[attempt] = new.count
      change { for (offset, event) in new { $0.possible[offset, default: []].insert(event) } }
    }
    let receipts: [Receipt]
    do throws(LedgerError) {
      receipts = try ledger.extend(
        try events.map { (event) throws(LedgerError) in try self.event(event, ledger) },
        onConflict: ignores ? .ignore : .error, durably: oneIn(8) ? true : nil)
    } catch {
      if error.log?.code == .fileSystem { known[path] = before }
      try require((error.code == .conflict) == conflicts || error.code == .log, "\(error)")
      if error.code == .conflict { return }
      throw error
    }
    try require(!conflicts, "no conflict was seen")
    hasFailed = false
    var next = new.keys.min() ?? .zero
    for (receipt, offset) in zip(receipts, offsets) {
      if let offset {
        try require(
          receipt.outcome == .duplicate && receipt.offset == offset, "\(receipt) instead of \(offset)")
      } else {
        try require(receipt.outcome == .appended && receipt.offset == next, "\(receipt) instead of \(next)")
        next = Offset(next.rawValue + 1)
      }
      if receipt.durability == .durable {
        let event = live[receipt.offset] ?? new[receipt.offset]
        change { $0.durable[receipt.offset] = event }
      }
    }
    live.merge(new) { old, _ in old }
    byID.merge(newByID) { old, _ in old }
    change { knowledge in for (offset, event) in new { knowledge.possible[offset] = [event] } }
  }

  func event(_ stored: Stored, _ ledger: Ledger) throws(LedgerError) -> Event {
    let number = stored.id.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF }
    return try ledger.makeEvent(
      id: stored.id, run: "run-\(number % 17)", turn: Int64(stored.version),
      kind: ["a.b", "c.d", "e.f"][number % 3], actor: "actor-\(number % 5)",
      payload: #"{"v":"\#(String(repeating: "x", count: number % 7 == 0 ? number % 3000 : number % 300))"}"#,
      createdAt: Timestamp(seconds: stored.attempt, nanoseconds: 0),
      session: number % 2 == 0 ? "session-\(number % 11)" : nil, model: number % 4 == 0 ? "model" : nil)
  }
}
