import LogEngine
import StorageTesting
import Testing

@testable import RunLedger

@Suite struct IndexTests {
  @Test(arguments: [UInt64](1...4)) func `the id index finds every offset of a hash and few others`(
    seed: UInt64
  ) throws {
    var numbers = SeededGenerator(seed: seed)
    var index = IDIndex()
    var hashes: [UInt64] = []
    for offset in 1...20_000 {
      // Some hashes repeat, and some differ only below the tag.
      let hash =
        switch numbers.next() % 10 {
        case 0 where !hashes.isEmpty: hashes[Int.random(in: 0..<hashes.count, using: &numbers)]
        case 1 where !hashes.isEmpty: hashes[Int.random(in: 0..<hashes.count, using: &numbers)] ^ 1
        default: numbers.next()
        }
      hashes.append(hash)
      index.insert(hash, Offset(UInt64(offset)))
    }
    var ofTag: [UInt64: [Offset]] = [:]
    for (place, hash) in hashes.enumerated() {
      ofTag[hash >> 32, default: []].append(Offset(UInt64(place + 1)))
    }
    for hash in hashes {
      let found = try index.candidates(hash)
      #expect(found == Array(ofTag[hash >> 32, default: []].prefix(IDIndex.tagLimit)))
    }
    var strangers = 0
    for _ in 0..<20_000 { strangers += try index.candidates(numbers.next()).count }
    #expect(strangers < 20)
  }

  @Test func `the id index keeps slots near their homes and within its memory, at every size`() {
    var numbers = SeededGenerator(seed: 5)
    var index = IDIndex()
    for offset in 1...200_000 {
      index.insert(numbers.next(), Offset(UInt64(offset)))
      guard offset % 20_000 == 0 else { continue }
      #expect(index.longestDisplacement() < 200)
      #expect((9.0..<13.0).contains(Double(index.byteCount) / Double(offset)))
    }
  }

  @Test func `the id index keeps the first of many hashes of one tag, at either end of a shard`() throws {
    for hash in [UInt64(0), .max, 1 << 63] {
      var index = IDIndex()
      // So many that entering each behind all others would take minutes.
      for offset in 1...200_000 { index.insert(hash, Offset(UInt64(offset))) }
      let found = try index.candidates(hash)
      #expect(found == (1...UInt64(IDIndex.tagLimit)).map { Offset($0) })
      let others = try index.candidates(hash ^ (1 << 40))
      #expect(others.isEmpty)
    }
  }

  @Test func `the id index holds a shard full of neighbours, at either end of it`() throws {
    for first in [UInt64(0), UInt64.max - 499 << 32] {
      var index = IDIndex()
      for step in 0..<500 { index.insert(first + UInt64(step) << 32, Offset(UInt64(step + 1))) }
      for step in 0..<500 {
        let found = try index.candidates(first + UInt64(step) << 32)
        #expect(found == [Offset(UInt64(step + 1))])
      }
    }
  }

  @Test func `the id index keeps the highest offset apart from its tag`() throws {
    var index = IDIndex()
    index.insert(.max, .max)
    index.insert(0, .max)
    let (last, first) = (try index.candidates(.max), try index.candidates(0))
    #expect(last == [.max])
    #expect(first == [.max])
  }

  @Test(arguments: [UInt64](1...4)) func `postings give back every offset of every term in order`(
    seed: UInt64
  ) {
    var numbers = SeededGenerator(seed: seed)
    var index = PostingIndex(seed: seed)
    var expected: [String: [Offset]] = [:]
    var order: [String] = []
    var offset: UInt64 = 0
    for _ in 0..<30_000 {
      // Gaps of every width, as resets and other fields leave them.
      offset += numbers.next() % 50 == 0 ? numbers.next() % (1 << 33) : 1
      let rank = Int(numbers.next() % 100)
      let name = "term-\(rank < 50 ? rank / 25 : rank * Int(numbers.next() % 40))"
      if expected[name] == nil { order.append(name) }
      expected[name, default: []].append(Offset(offset))
      index.add(.run, name.utf8Span.span.rawBytes, Offset(offset))
      index.add(.kind, "kind".utf8Span.span.rawBytes, Offset(offset))
    }
    var names: [String] = []
    index.forEachName(of: .run) { names.append($0.text) }
    #expect(names == order)
    for (name, offsets) in expected {
      var cursor = index.cursor(.run, name.utf8Span.span.rawBytes)!
      #expect(index.count(cursor) == offsets.count)
      var found: [Offset] = []
      while let next = index.next(&cursor) { found.append(next) }
      #expect(found == offsets)
    }
    #expect(index.cursor(.actor, "kind".utf8Span.span.rawBytes) == nil)
    #expect(index.cursor(.run, "nobody".utf8Span.span.rawBytes) == nil)
  }

  @Test func `a posting cursor goes on behind what was added after it stopped`() {
    var index = PostingIndex(seed: 1)
    let name = "x".utf8Span.span.rawBytes
    index.add(.run, name, 1)
    var cursor = index.cursor(.run, name)!
    #expect(index.next(&cursor) == 1)
    #expect(index.next(&cursor) == nil)
    for offset in 2...400 {
      index.add(.run, name, Offset(UInt64(offset * 1000)))
      #expect(index.next(&cursor) == Offset(UInt64(offset * 1000)))
      #expect(index.next(&cursor) == nil)
    }
  }

  @Test func `every index field of a ledger leads to its events`() throws {
    let ledger = try Ledger.inMemory()
    for number in 0..<600 {
      try ledger.append(
        .test(
          "\(number)", run: "run-\(number % 7)", kind: "kind.n\(number % 5)", actor: "actor-\(number % 3)",
          session: number % 2 == 0 ? "s-\(number % 4)" : nil, model: number % 3 == 0 ? "m" : nil))
    }
    func ids(_ field: PostingField, _ value: String) throws -> [String] {
      var ids: [String] = []
      try ledger.forEachEvent(field, value) { (view) throws(LedgerError) in
        ids.append(try view.event().id)
        return true
      }
      return ids
    }
    let found = try (
      run: ids(.run, "run-3"), kind: ids(.kind, "kind.n1"), actor: ids(.actor, "actor-2"),
      session: ids(.session, "s-2"), model: ids(.model, "m"), none: ids(.model, "run-3")
    )
    #expect(found.run == (0..<600).filter { $0 % 7 == 3 }.map(String.init))
    #expect(found.kind == (0..<600).filter { $0 % 5 == 1 }.map(String.init))
    #expect(found.actor == (0..<600).filter { $0 % 3 == 2 }.map(String.init))
    #expect(found.session == (0..<600).filter { $0 % 4 == 2 }.map(String.init))
    #expect(found.model == (0..<600).filter { $0 % 3 == 0 }.map(String.init))
    #expect(found.none.isEmpty)
  }
}

extension PostingIndex {
  fileprivate func cursor(_ field: Field, _ name: RawSpan) -> Cursor? {
    cursor(field, name, hash(field, name))
  }
}

extension IDIndex {
  mutating func candidates(_ hash: UInt64) throws(UnsoundPart) -> [Offset] {
    var found: [Offset] = []
    while let next = try candidate(hash, after: found.last ?? .zero) { found.append(next) }
    return found
  }
}
