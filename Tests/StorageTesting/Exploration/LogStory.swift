package import LogEngine
internal import PlatformIO

/// Something that a program does with a log.
package enum LogStep: UInt8, CaseIterable, Sendable, CustomStringConvertible {
  case append, batch, sync, roll, snapshot, fork, trim, reset, idle, reopen
  /// The process dies, and another opens the log.
  case kill
  case restore
  /// Opens the snapshot for writing and writes to it.
  case takeUp
  /// Another handle reads and verifies.
  case read

  package var description: String {
    switch self {
    case .append: "append"
    case .batch: "batch"
    case .sync: "sync"
    case .roll: "roll"
    case .snapshot: "snapshot"
    case .fork: "fork"
    case .trim: "trim"
    case .reset: "reset"
    case .idle: "idle"
    case .reopen: "reopen"
    case .kill: "kill"
    case .restore: "restore"
    case .takeUp: "takeUp"
    case .read: "read"
    }
  }

  /// Those of which all short sequences are tried.
  package static let basic: [LogStep] = [
    .append, .batch, .sync, .roll, .snapshot, .fork, .trim, .reset, .idle, .reopen,
  ]
}

/// A log, its copies and the disk they are on, and what is known of them while they live through steps.
package final class LogStory {
  package let disk: SimulatedDisk
  package let policy: SyncPolicy
  private let environment: SeededEnvironment
  private var log: SegmentedLog?
  package var isOpen: Bool { log != nil }
  private var index = TextIndex()
  private var counter = 0

  /// What each directory may be; nil for one that need not be there.
  package private(set) var known: [String: [LogModel?]] = [TestLog.path: [nil, LogModel()]]

  static let copyPath = "copy"
  static let forkPath = "fork"
  static let restoredPath = "restored"

  package init(on disk: SimulatedDisk, policy: SyncPolicy, seed: UInt64) {
    self.disk = disk
    self.policy = policy
    environment = SeededEnvironment(seed: seed)
  }

  /// Tells what is known apart from what else may be.
  package var digest: UInt64 {
    var hash: UInt64 = 0
    for (path, models) in known.sorted(by: { $0.key < $1.key }) {
      hash = XXH3.hash64(path.utf8Span.span.rawBytes, seed: hash)
      for model in models { hash = hash &* 31 &+ (model?.digest ?? 7) }
    }
    return hash
  }

  /// The log's model; there is one as long as it is open.
  private var model: LogModel {
    get { known[TestLog.path]?.last.flatMap { $0 } ?? LogModel() }
    set { known[TestLog.path] = [newValue] }
  }

  package func open() throws {
    index = TextIndex()
    let policy = policy
    let opened = try TestLog.open(disk, index: index, environment: environment) { $0.syncPolicy = policy }
    let found = try FoundLog(opened)
    let reasons = (known[TestLog.path] ?? []).compactMap { $0 }.map { $0.mismatch(found) }
    guard reasons.contains(nil) else {
      throw BrokenPromise(description: "opened again: \(reasons.compactMap { $0 })")
    }
    log = opened
    // Opening for writing has vouched for what it found.
    model = LogModel(exactly: found, formerly: model)
  }

  /// The process is gone.
  package func die() {
    log = nil
    disk.dropLocks()
  }

  package func perform(_ step: LogStep) throws {
    guard let log else { return try open() }
    switch step {
    case .append: try append(log, [text(180)])
    case .batch: try append(log, [text(300), text(420), text(250)])
    // More than fits beside anything else.
    case .roll: try append(log, [text(3900)])
    case .sync:
      try log.sync()
      model.setDurable(below: model.next)
    case .idle: environment.advance(by: .seconds(1))
    case .reopen:
      self.log = nil
      try log.close()
      model.setDurable(below: model.next)
      try open()
    case .kill:
      die()
      try open()
    case .snapshot:
      try copy(to: Self.copyPath, below: model.next) { (path) throws(LogError) in
        _ = try log.snapshot(to: path, replacing: true)
      }
    case .fork:
      let ends = model.batchEnds
      let end = ends[max(0, ends.count - 2)]
      try copy(to: Self.forkPath, below: end) { (path) throws(LogError) in
        _ = try log.fork(to: path, through: Offset(end.rawValue - 1), replacing: true)
      }
    case .trim: try trim(log)
    case .reset:
      let next = model.next
      model.mayStart(at: next)
      try log.reset()
      model.starts(at: next)
    case .restore: try restore()
    case .takeUp: try takeUp()
    case .read: try read()
    }
    noteDurable()
  }

  /// Another reads beside the writer, and verifies.
  private func read() throws {
    let index = TextIndex()
    let reader = try TestLog.open(disk, index: index, environment: SeededEnvironment(seed: 8)) {
      $0.access = .readOnly
    }
    let found = try FoundLog(reader)
    guard reader.recovery.damage.isEmpty, found == model.contents, index.holds(found) else {
      throw BrokenPromise(description: "a reader beside the writer saw \(found), \(reader.recovery.damage)")
    }
    var count = 0
    let verified = try SegmentedLog.verify(
      at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk
    ) { _, _ in
      count += 1
      return true
    }
    guard verified.isSound, verified.records == UInt64(found.records.count) else {
      throw BrokenPromise(description: "verified beside the writer: \(verified)")
    }
  }

  /// What the open log shows is what was acknowledged to it, whatever failed meanwhile.
  package func checkLive() throws {
    guard let log else { return }
    let found = try FoundLog(log)
    if let reason = model.mismatch(found) { throw BrokenPromise(description: "while open: \(reason)") }
    guard found.next == model.next, index.holds(found) else {
      throw BrokenPromise(description: "while open it shows \(found.next), its index does not: \(model.next)")
    }
  }

  private func noteDurable() {
    if let log { model.setDurable(below: log.durableOffset.next) }
  }

  private func text(_ count: Int) -> String {
    counter += 1
    return "\(counter) "
      + String(decoding: repeatElement(UInt8(97 + counter % 26), count: count), as: UTF8.self)
  }

  private func append(_ log: SegmentedLog, _ records: [String]) throws(LogError) {
    model.begin(records)
    do throws(LogError) {
      try TestLog.append(log, index, records)
    } catch {
      if error.code == .fileSystem { model.takeBack() }
      throw error
    }
    model.store(records)
    if policy == .always { model.setDurable(below: model.next) }
  }

  private func trim(_ log: SegmentedLog) throws(LogError) {
    let spans = try log.segmentSpans()
    let start = max(spans[0].offsets.upperBound, model.start)
    model.mayStart(at: start)
    try log.trim(before: start)
    model.starts(at: log.firstOffset)
  }

  private func copy(
    to path: String, below end: Offset, _ body: (String) throws(LogError) -> Void
  ) throws(LogError) {
    let old = known[path] ?? [nil]
    let new = LogModel(exactly: model.contents(below: end))
    known[path] = old + [new]
    try body(path)
    known[path] = [new]
    // What a copy holds was made durable for it.
    model.setDurable(below: end)
  }

  private func restore() throws(LogError) {
    guard let snapshot = known[Self.copyPath]?.last.flatMap({ $0 }), known[Self.copyPath]?.count == 1,
      try exists(Self.copyPath + "/SNAPSHOT")
    else { return }
    let old = known[Self.restoredPath] ?? [nil]
    let new = LogModel(exactly: snapshot.contents)
    known[Self.restoredPath] = old + [new]
    try SegmentedLog.restore(
      from: Self.copyPath, to: Self.restoredPath, replacing: true, fileSystem: disk, environment: environment)
    known[Self.restoredPath] = [new]
  }

  private func exists(_ path: String) throws(LogError) -> Bool {
    do throws(FileSystemError) {
      return try disk.status(of: path) != nil
    } catch {
      throw LogError(error)
    }
  }

  private func takeUp() throws(LogError) {
    guard var copy = known[Self.copyPath]?.last.flatMap({ $0 }), known[Self.copyPath]?.count == 1 else {
      return
    }
    let taken = try TestLog.open(disk, environment: environment, at: Self.copyPath)
    let records = [text(200), text(500)]
    copy.begin(records)
    known[Self.copyPath] = [copy]
    try TestLog.append(taken, records)
    copy.store(records)
    copy.setDurable(below: copy.next)
    known[Self.copyPath] = [copy]
    try taken.close()
  }
}
