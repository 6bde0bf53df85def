import LogEngine
import RunLedger
import Testing

/// The acceptance cases of contracts/ledger.md, section 7, by their numbers; those of values alone are with the values.
@Suite struct LedgerContractTests {
  @Test func `Case 1: events built without ids have different ids, and an explicit id is kept`() throws {
    let ledger = try Ledger.inMemory()
    let first = try ledger.makeEvent(run: "r", turn: 0, kind: "a.b", actor: "x", payload: "{}")
    let second = try ledger.makeEvent(run: "r", turn: 0, kind: "a.b", actor: "x", payload: "{}")
    #expect(first.id != second.id)
    #expect(UniqueID(first.id) != nil)
    #expect(
      try ledger.makeEvent(id: "mine", run: "r", turn: 0, kind: "a.b", actor: "x", payload: "{}").id == "mine"
    )
  }

  @Test(arguments: Backend.allCases)
  func `Case 4: an empty ledger has one event at offset 1 after one append`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    #expect(ledger.latestOffset == 0)
    let receipt = try ledger.append(.test("a"))
    #expect(receipt.outcome == .appended)
    #expect(receipt.offset == 1)
    #expect(try ledger.events().map(\.event) == [.test("a")])
  }

  @Test(arguments: Backend.allCases)
  func `Case 5: a stored event appended again unchanged is a duplicate`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    try ledger.append(.test("a"))
    let receipt = try ledger.append(.test("a"))
    #expect(receipt.outcome == .duplicate)
    #expect(receipt.offset == 1)
    #expect(try ledger.events().count == 1)
  }

  @Test(arguments: Backend.allCases)
  func `Case 6: a stored id with another payload is a conflict, and ignored on request`(backend: Backend)
    throws
  {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    try ledger.append(.test("a", payload: #"{"n":1}"#))
    let error = try #require(throws: LedgerError.self) { try ledger.append(.test("a", payload: #"{"n":2}"#)) }
    #expect(error.code == .conflict)
    #expect(error.id == "a")
    #expect(error.offset == 1)
    let receipt = try ledger.append(.test("a", payload: #"{"n":2}"#), onConflict: .ignore)
    #expect(receipt.outcome == .duplicate)
    #expect(try ledger.event(id: "a")?.event.payload == Array(#"{"n":1}"#.utf8))
    #expect(ledger.latestOffset == 1)
  }

  @Test(arguments: Backend.allCases)
  func `Case 7: extend drops repeats within a call and keeps order`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    let receipts = try ledger.extend([.test("e"), .test("e")])
    #expect(receipts.map(\.outcome) == [.appended, .duplicate])
    #expect(receipts.map(\.offset) == [1, 1])
    try ledger.extend([.test("x"), .test("y"), .test("z")])
    #expect(try ledger.events().map(\.event.id) == ["e", "x", "y", "z"])
  }

  @Test(arguments: Backend.allCases)
  func `Case 8: an extend whose last item conflicts stores nothing`(backend: Backend) throws {
    let place = backend.place()
    let ledger = try place.open()
    try ledger.append(.test("a"))
    let error = try #require(throws: LedgerError.self) {
      try ledger.extend([.test("b"), .test("c"), .test("a", payload: "[]")])
    }
    #expect(error.code == .conflict)
    #expect(error.index == 2)
    #expect(try ledger.events().count == 1)
    #expect(try ledger.event(id: "b") == nil)
    #expect(throws: LedgerError.self) { try ledger.extend([.test("d"), .test("e"), .test("d", turn: 5)]) }
    #expect(try ledger.event(id: "d") == nil)
    try ledger.append(.test("b"))
    try ledger.close()
    #expect(try place.open().events().map(\.event.id) == ["a", "b"])
  }

  @Test(arguments: Backend.allCases)
  func `Case 9: events are listed in append order whatever their turns`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    for turn in [3, 0, 4, 1, 2] { try ledger.append(.test("\(turn)", turn: Int64(turn))) }
    #expect(try ledger.events(run: "run").map(\.event.turn) == [3, 0, 4, 1, 2])
  }

  @Test(arguments: Backend.allCases)
  func `Case 10: a payload is the same bytes after reopening`(backend: Backend) throws {
    let place = backend.place()
    let payload = #"{"n":7, "tags":["x"],  "big":12345678901234567890, "f":1.50}"#
    let ledger = try place.open()
    try ledger.append(.test("a", payload: payload))
    try ledger.close()
    #expect(try place.open().event(id: "a")?.event.payload == Array(payload.utf8))
  }

  @Test(arguments: Backend.allCases)
  func `Case 11: tail gives what follows, with offsets`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    for number in 1...6 { try ledger.append(.test("\(number)")) }
    #expect(try ledger.tail(after: 3).map(\.offset) == [4, 5, 6])
    #expect(try ledger.tail(after: 3).map(\.event.id) == ["4", "5", "6"])
    #expect(try ledger.tail(after: 6).isEmpty)
    #expect(try ledger.tail(after: 99).isEmpty)
    #expect(try ledger.tail(after: .max).isEmpty)
    #expect(try ledger.tail(after: 0).count == 6)
    #expect(try ledger.tail(after: 2, limit: 2).map(\.offset) == [3, 4])
    #expect(try ledger.tail(after: 2, limit: 0).isEmpty)
  }

  @Test(arguments: Backend.allCases)
  func `Case 12: four appends and one duplicate make a latest offset of 4`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    for id in ["a", "b", "c", "d", "b"] { try ledger.append(.test(id)) }
    #expect(ledger.latestOffset == 4)
  }

  @Test(arguments: Backend.allCases)
  func `Case 13: after a reset offsets go on and ids are free`(backend: Backend) throws {
    let place = backend.place()
    let ledger = try place.open()
    for id in ["a", "b", "c"] { try ledger.append(.test(id)) }
    try ledger.reset()
    #expect(ledger.latestOffset == 3)
    #expect(try ledger.events().isEmpty)
    #expect(try ledger.runs().isEmpty)
    #expect(try ledger.append(.test("a")).offset == 4)
    #expect(try ledger.events().map(\.event.id) == ["a"])
    try ledger.close()
    let again = try place.open()
    #expect(try again.events().map(\.offset) == [4])
    #expect(again.firstOffset == 4)
  }

  @Test(arguments: Backend.allCases)
  func `Case 14: a cursor from before a reset is stale, and another ledger's is foreign`(backend: Backend)
    throws
  {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    for id in ["a", "b", "c"] { try ledger.append(.test(id)) }
    let cursor = try ledger.cursor(at: 2)
    #expect(try ledger.tail(after: cursor).map(\.offset) == [3])
    #expect(try #require(Cursor(cursor.description)) == cursor)
    try ledger.reset()
    let stale = try #require(throws: LedgerError.self) { try ledger.tail(after: cursor) }
    #expect(stale.code == .staleEpoch)
    #expect(stale.offset == 4)
    let elsewhere = backend.place()
    defer { elsewhere.stay() }
    let other = try elsewhere.open()
    #expect(try #require(throws: LedgerError.self) { try other.tail(after: cursor) }.code == .foreignCursor)
  }

  @Test(arguments: Backend.allCases)
  func `Case 15: interleaved runs are listed by first appearance and keep their order`(backend: Backend)
    throws
  {
    let place = backend.place()
    var ledger = try place.open()
    for number in 0..<10 { try ledger.append(.test("\(number)", run: number % 2 == 0 ? "A" : "B")) }
    for reopened in [false, true] {
      if reopened {
        try ledger.close()
        ledger = try place.open()
      }
      #expect(try ledger.runs() == ["A", "B"])
      #expect(try ledger.events(run: "A").map(\.event.id) == ["0", "2", "4", "6", "8"])
      #expect(try ledger.events(run: "B").map(\.event.id) == ["1", "3", "5", "7", "9"])
      #expect(try ledger.events(run: "C").isEmpty)
    }
  }

  @Test(arguments: Backend.allCases)
  func `Case 20: a run resumes after its last turn, and an empty ledger has nothing to resume`(
    backend: Backend
  ) throws {
    let place = backend.place()
    let ledger = try place.open()
    #expect(try ledger.lastEvent() == nil)
    try ledger.append(.test("a", turn: 41))
    try ledger.append(.test("b", turn: 42))
    try ledger.close()
    let last = try #require(try place.open().lastEvent())
    #expect(last.event.turn == 42)
    #expect(last.event.runID == "run")
  }

  @Test(arguments: Backend.allCases)
  func `Case 21: a missing path opened as existing is an error and leaves no file`(backend: Backend) throws {
    let place = backend.place()
    for access in [LogOptions.Access.readOnly, .readWrite] {
      let error = try #require(throws: LedgerError.self) {
        try place.open {
          $0.creation = .mustExist
          $0.access = access
        }
      }
      #expect(error.log?.code == .noSuchLog)
    }
    #expect(throws: LedgerError.self) { try place.open { $0.creation = .mustExist } }
    let ledger = try place.open { $0.creation = .mustNotExist }
    try ledger.close()
    #expect(throws: LedgerError.self) { try place.open { $0.creation = .mustNotExist } }
  }

  @Test(arguments: Backend.allCases)
  func `Case 22: a stored timestamp that is none is an error with its offset`(backend: Backend) throws {
    let place = backend.place()
    let ledger = try place.open()
    try ledger.append(.test("a"))
    try ledger.close()
    let log = try place.openLog()
    var bad: [UInt8] = []
    try log.withRecord(at: 1) { record in
      for index in 0..<record.byteCount { bad.append(record.loadUInt8(at: index)) }
    }
    bad[35] = 0xFF  // nanoseconds far above a second
    bad[48] = UInt8(ascii: "b")
    var batch = RecordBatch()
    try batch.append(bad.span.rawBytes)
    try log.append(&batch)
    try log.close()
    let again = try place.open()
    #expect(try again.event(at: 1).id == "a")
    for read in [
      { _ = try again.event(at: 2) }, { _ = try again.event(id: "b") }, { _ = try again.events() },
      { _ = try again.events(run: "run") },
    ] {
      let error = try #require(throws: LedgerError.self) { try read() }
      #expect(error.code == .corruptEvent)
      #expect(error.offset == 2)
    }
  }

  @Test(arguments: Backend.allCases)
  func `Case 23: a time with an offset is the same instant after reopening`(backend: Backend) throws {
    let place = backend.place()
    let ledger = try place.open()
    try ledger.append(.test("a", createdAt: Timestamp(rfc3339: "2026-01-02T03:04:05.678901+02:00")))
    try ledger.close()
    let stored = try #require(try place.open().event(id: "a")).event.createdAt
    #expect(stored.description == "2026-01-02T01:04:05.678901Z")
  }

  @Test(arguments: Backend.allCases)
  func `Case 31: model profile and id survive, and absent ones stay absent`(backend: Backend) throws {
    let place = backend.place()
    let ledger = try place.open()
    let full = try Event.test("a", session: "s", profile: "fast", model: "m-1")
    let empty = try Event.test("b", session: "", profile: nil, model: nil)
    try ledger.extend([full, empty])
    try ledger.close()
    #expect(try place.open().events().map(\.event) == [full, empty])
  }

  // MARK: Rules beside the cases

  @Test(arguments: Backend.allCases)
  func `A2, A4: a retry with another time or another spelling of the JSON is a duplicate`(backend: Backend)
    throws
  {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    try ledger.append(.test("a", payload: #"{"x":1,"y":[1.0]}"#))
    let later = try Event.test("a", payload: #"{ "y":[1], "x":1e0 }"#, createdAt: Timestamp(seconds: 5)!)
    #expect(try ledger.append(later).outcome == .duplicate)
    for changed in try [
      Event.test("a", run: "other", payload: #"{"x":1,"y":[1.0]}"#),
      .test("a", turn: 1, payload: #"{"x":1,"y":[1.0]}"#),
      .test("a", payload: #"{"x":1,"y":[1.0]}"#, session: "s"),
      .test("a", actor: "bob", payload: #"{"x":1,"y":[1.0]}"#),
      .test("a", kind: "clue.lost", payload: #"{"x":1,"y":[1.0]}"#),
      .test("a", payload: #"{"x":1,"y":[1.0]}"#, model: "m"),
      .test("a", payload: #"{"x":1,"y":[1.0]}"#, profile: "p"),
    ] {
      #expect(try #require(throws: LedgerError.self) { try ledger.append(changed) }.code == .conflict)
    }
  }

  @Test func `ids that are equal only as Swift strings are different ids`() throws {
    let ledger = try Ledger.inMemory()
    try ledger.extend([.test("caf\u{E9}"), .test("cafe\u{301}")])
    #expect(ledger.latestOffset == 2)
    #expect(try ledger.event(id: "caf\u{E9}")?.offset == 1)
    #expect(try ledger.event(id: "cafe\u{301}")?.offset == 2)
  }

  @Test(arguments: Backend.allCases)
  func `E1: the rule for kinds is the ledger's, fixed when it is created`(backend: Backend) throws {
    let place = backend.place()
    let ledger = try place.open { $0.kindRule = .anyText }
    let event = try Event(
      id: "a", runID: "r", turn: 0, kind: "tool_call", actor: "x", payload: [],
      createdAt: Timestamp(seconds: 0)!,
      kindRule: .anyText)
    try ledger.append(event)
    try ledger.close()
    let again = try place.open()
    #expect(again.kindRule == .anyText)
    #expect(try again.events().map(\.event) == [event])
    try again.close()
    #expect(
      try #require(throws: LedgerError.self) { try place.open { $0.kindRule = .dotted } }.code
        == .wrongKindRule)
    let elsewhere = backend.place()
    defer { elsewhere.stay() }
    let dotted = try elsewhere.open()
    let error = try #require(throws: LedgerError.self) { try dotted.append(event) }
    #expect(error.code == .invalidEvent)
    #expect(error.event?.code == .invalidKind)
    #expect(dotted.latestOffset == 0)
  }

  @Test(arguments: Backend.allCases)
  func `S7: closing twice is fine, and use after close is an error`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open()
    try ledger.append(.test("a"))
    try ledger.close()
    try ledger.close()
    for use in [
      { _ = try ledger.append(.test("b")) }, { _ = try ledger.events() }, { _ = try ledger.event(id: "a") },
      { _ = try ledger.runs() }, { _ = try ledger.events(run: "run") }, { try ledger.reset() },
      { _ = try ledger.event(at: 1) }, { _ = try ledger.tail() }, { try ledger.sync() },
      { _ = try ledger.lastEvent() }, { _ = try ledger.cursor() },
    ] {
      #expect(try #require(throws: LedgerError.self) { try use() }.log?.code == .closed)
    }
  }

  @Test(arguments: Backend.allCases)
  func `a second writer is told at once, and a reader is let in`(backend: Backend) throws {
    let place = backend.place()
    let ledger = try place.open()
    try ledger.append(.test("a"))
    let error = try #require(throws: LedgerError.self) { try place.open() }
    #expect(error.log?.code == .locked)
    #expect(error.description.contains("process "))
    let reader = try place.open { $0.access = .readOnly }
    #expect(try reader.events().count == 1)
    #expect(try #require(throws: LedgerError.self) { try reader.append(.test("b")) }.log?.code == .readOnly)
    try ledger.close()
    try place.open().close()
  }

  @Test func `receipts say durable under always and buffered under never`() throws {
    let place = Backend.memory.place()
    let always = try place.open()
    #expect(try always.append(.test("a")).durability == .durable)
    try always.close()
    let never = try place.open { $0.syncPolicy = .never }
    #expect(try never.append(.test("b")).durability == .buffered)
    #expect(never.durableOffset == 1)
    try never.sync()
    #expect(never.durableOffset == 2)
    #expect(try never.append(.test("b")).durability == .durable)
  }
}
