import Foundation
import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// Queries, compared with a filter over all events.
@Suite struct QueryTests {
  private static let kinds = ["tool.call", "tool.result", "tool.result.late", "toolbox.open", "run.started"]

  private static func filled(_ seed: UInt64) throws -> (ledger: Ledger, disk: MemoryFileSystem) {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: seed)
    var ledger = try SidecarAttackTests.open(disk, environment)
    var dice = SeededGenerator(seed: seed)
    let count = Int.random(in: 0...600, using: &dice)
    for number in 0..<count {
      let second = 1_700_000_000 + Int64(number) + Int64.random(in: -3...3, using: &dice)
      try ledger.append(
        .test(
          "id-\(number)", run: "run-\(number / 40 + Int.random(in: 0...2, using: &dice))",
          turn: Int64.random(in: -3...12, using: &dice), kind: kinds.randomElement(using: &dice)!,
          actor: Bool.random(using: &dice) ? "alice" : "bob-\(number % 50)",
          payload: String(repeating: "p", count: Int.random(in: 0...80, using: &dice)),
          createdAt: Timestamp(seconds: second)!,
          session: ["s", "t", nil].randomElement(using: &dice)!, model: number % 7 == 0 ? "m" : nil))
      // The housekeeper makes bytes of what has ended.
      if Int.random(in: 0..<100, using: &dice) == 0 { environment.advance(by: .zero) }
    }
    if count > 200, Bool.random(using: &dice) { try ledger.trim(before: Offset(100)) }
    if Bool.random(using: &dice) {
      try ledger.close()
      ledger = try SidecarAttackTests.open(disk, SeededEnvironment(seed: seed + 1))
    }
    return (ledger, disk)
  }

  private static func filter(_ dice: inout SeededGenerator, _ latest: UInt64) -> EventFilter {
    func sometimes<T>(_ make: (inout SeededGenerator) -> T) -> T? {
      Int.random(in: 0..<3, using: &dice) == 0 ? make(&dice) : nil
    }
    func range<T: Comparable>(_ one: T, _ other: T) -> ClosedRange<T> { min(one, other)...max(one, other) }
    return EventFilter(
      run: sometimes { "run-\(Int.random(in: 0...16, using: &$0))" },
      kind: sometimes {
        KindFilter((kinds + ["tool.*", "tool.result.*", "*", ".*", "none.here"]).randomElement(using: &$0)!)
      },
      actor: sometimes { Bool.random(using: &$0) ? "alice" : "bob-\(Int.random(in: 0...55, using: &$0))" },
      session: sometimes { ["s", "t", "u"].randomElement(using: &$0)! },
      model: sometimes { ["m", "n"].randomElement(using: &$0)! },
      turns: sometimes {
        range(Int64.random(in: -4...13, using: &$0), Int64.random(in: -4...13, using: &$0))
      },
      since: sometimes { Timestamp(seconds: 1_700_000_000 + Int64.random(in: -5...600, using: &$0))! },
      until: sometimes { Timestamp(seconds: 1_700_000_000 + Int64.random(in: -5...600, using: &$0))! },
      offsets: sometimes {
        range(
          Offset(UInt64.random(in: 0...latest + 2, using: &$0)),
          Offset(UInt64.random(in: 0...latest + 2, using: &$0)))
      })
  }

  private static func allows(_ filter: EventFilter, _ stored: StoredEvent) -> Bool {
    let event = stored.event
    let isOfKind =
      switch filter.kind {
      case .exactly(let kind)?: event.kind == kind
      case .below(let name)?: event.kind.hasPrefix(name + ".")
      case nil: true
      }
    return isOfKind && event.runID == filter.run ?? event.runID && event.actor == filter.actor ?? event.actor
      && (filter.session == nil || event.sessionID == filter.session)
      && (filter.model == nil || event.modelID == filter.model)
      && filter.turns?.contains(event.turn) ?? true && event.createdAt >= filter.since ?? .minimum
      && (filter.until.map { event.createdAt < $0 } ?? true)
      && filter.offsets?.contains(stored.offset) ?? true
  }

  @Test(arguments: 0..<50) func `a query finds what a filter over all events lets through`(seed: Int) throws {
    let (ledger, _) = try Self.filled(UInt64(seed))
    var dice = SeededGenerator(seed: UInt64(seed) + 1000)
    let all = try ledger.events()
    for round in 0..<200 {
      let filter = Self.filter(&dice, ledger.latestOffset.rawValue)
      let expected = all.filter { Self.allows(filter, $0) }
      let limit = Bool.random(using: &dice) ? Int.max : Int.random(in: 0...5, using: &dice)
      let forward = try ledger.events(where: filter, limit: limit)
      let backward = try ledger.events(where: filter, order: .backward, limit: limit)
      guard forward == Array(expected.prefix(limit)), backward == Array(expected.reversed().prefix(limit)),
        try ledger.countEvents(where: filter).matches == expected.count
      else {
        return #expect(Bool(false), "seed \(seed), round \(round): \(filter)")
      }
    }
  }

  @Test func `a rare value among many events costs what its own records do`() throws {
    let environment = SeededEnvironment(seed: 1)
    let ledger = try SidecarAttackTests.open(MemoryFileSystem(), environment)
    for number in 0..<3000 {
      try ledger.append(
        .test("id-\(number)", run: number % 600 == 0 ? "rare" : "run-\(number % 3)", actor: "alice"))
    }
    // What is not sealed yet is looked at first, and whole.
    environment.advance(by: .zero)
    let segments = ledger.size.segments
    #expect(segments > 10)
    var found: [Offset] = []
    let filter = EventFilter(run: "rare", kind: .exactly("clue.found"), actor: "alice")
    let report = try ledger.forEachEvent(where: filter, order: .backward) { view in
      found.append(view.offset)
      return true
    }
    #expect(found == [2401, 1801, 1201, 601, 1])
    #expect(report.segments == 5 && report.records == 5 && report.matches == 5)
    #expect(report.postings < 5 * 100, "only what its segments have of the others")
    // The first one is enough.
    let first = try ledger.forEachEvent(where: filter) { _ in false }
    #expect(first.segments == 1 && first.records == 1 && first.postings < 100)
    // Counted without a record.
    let counted = try ledger.countEvents(where: EventFilter(run: "run-1", actor: "alice"))
    #expect(counted.records == 0 && counted.matches == 1000)
    let all = try ledger.countEvents(where: EventFilter())
    #expect(all.matches == 3000 && all.records == 0)
  }

  @Test func `a segment that ends while a query reads it loses none of its events`() throws {
    let ledger = try SidecarAttackTests.open(MemoryFileSystem(), SeededEnvironment(seed: 1))
    for number in 0..<40 { try ledger.append(.test("id-\(number)")) }
    var offsets: [Offset] = []
    try ledger.forEachEvent(where: EventFilter(run: "run")) { (view) throws(LedgerError) in
      if offsets.isEmpty {
        let segments = ledger.size.segments
        while ledger.size.segments < segments + 2 {
          do {
            try ledger.append(.test("later-\(ledger.latestOffset)"))
          } catch {
            Issue.record("\(error)")
            return false
          }
        }
      }
      offsets.append(view.offset)
      return true
    }
    #expect(offsets == (1...40).map { Offset($0) })
  }

  @Test(arguments: [1, 2]) func `whoever sees an offset finds every event up to it`(writers: Int) throws {
    let ledger = try Ledger.inMemory()
    let isOver = Locked(0)
    DispatchQueue.concurrentPerform(iterations: writers + 1) { role in
      do {
        if role < writers {
          for batch in 0..<60 { try ledger.extend((0..<300).map { try .test("\(role)-\(batch)-\($0)") }) }
          return isOver.withLock { $0 += 1 }
        }
        var seen = Offset.zero
        while isOver.withLock({ $0 }) < writers {
          let latest = ledger.latestOffset
          guard latest > seen else { continue }
          seen = latest
          let count = try ledger.countEvents(where: EventFilter(run: "run", offsets: 1...latest)).matches
          var last = Offset.zero
          try ledger.forEachEvent(run: "run") { view in
            last = view.offset
            return last < latest
          }
          guard count == Int(latest.rawValue), last >= latest else {
            Issue.record("of \(latest) events \(count) are counted, and the last found is at \(last)")
            return
          }
        }
      } catch {
        Issue.record("\(error)")
        isOver.withLock { $0 = writers }
      }
    }
  }

  @Test func `a closed ledger answers no query`() throws {
    let ledger = try SidecarAttackTests.open(MemoryFileSystem(), SeededEnvironment(seed: 1))
    try ledger.append(.test("one"))
    try ledger.close()
    for filter in [EventFilter(), EventFilter(run: "run"), EventFilter(offsets: 5...9)] {
      #expect(
        try #require(throws: LedgerError.self) { try ledger.events(where: filter) }.log?.code == .closed)
      #expect(
        try #require(throws: LedgerError.self) { try ledger.events(where: filter, limit: 0) }.log?.code
          == .closed)
      #expect(
        try #require(throws: LedgerError.self) { try ledger.countEvents(where: filter) }.log?.code == .closed)
    }
  }
}
