import Foundation
import LogEngine
import RunLedger
import StorageTesting
import Testing

@Suite struct ConcurrencyTests {
  @Test(arguments: Backend.allCases)
  func `threads append and read at once, and every event is stored once`(backend: Backend) throws {
    let place = backend.place()
    defer { place.stay() }
    let ledger = try place.open { $0.syncPolicy = .never }
    let threads = 8
    let each = 300
    let outcomes = Locked<[String: Int]>([:])
    DispatchQueue.concurrentPerform(iterations: threads) { thread in
      do {
        for number in 0..<each {
          // Half of the ids are appended by two threads.
          let id = number % 2 == 0 ? "shared-\(number)-\(thread / 2)" : "own-\(number)-\(thread)"
          let receipt = try ledger.append(.test(id, run: "run-\(thread / 2)", payload: "{\"n\":\(number)}"))
          #expect(try ledger.event(at: receipt.offset).id == id)
          #expect(try ledger.event(id: id)?.offset == receipt.offset)
          if receipt.outcome == .appended { outcomes.withLock { $0[id, default: 0] += 1 } }
          if number % 50 == 0 {
            let offsets = try ledger.tail(after: 0).map(\.offset.rawValue)
            #expect(offsets == Array(1...UInt64(offsets.count)))
          }
        }
      } catch {
        Issue.record("\(error)")
      }
    }
    let expected = threads * each / 2 + threads * each / 4
    #expect(outcomes.withLock { $0.count } == expected)
    #expect(outcomes.withLock { $0.values.allSatisfy { $0 == 1 } })
    #expect(ledger.latestOffset == Offset(UInt64(expected)))
    try ledger.close()
    #expect(try place.open().events().count == expected)
  }

  @Test func `a reader beside a living writer never sees damage and never misses what was acknowledged`()
    throws
  {
    let place = Backend.disk.place()
    defer { place.stay() }
    let ledger = try place.open { $0.segmentSize = 16 << 10 }
    let acknowledged = Locked(0)
    let done = Locked(false)
    DispatchQueue.concurrentPerform(iterations: 2) { role in
      do {
        if role == 0 {
          defer { done.withLock { $0 = true } }
          for number in 0..<600 {
            try ledger.extend(
              (0...number % 3).map { try .test("\(number)-\($0)", payload: "{\"n\":\(number)}") })
            acknowledged.withLock { $0 += number % 3 + 1 }
          }
        } else {
          while !done.withLock({ $0 }) {
            let before = acknowledged.withLock { $0 }
            let reader = try place.open { $0.access = .readOnly }
            #expect(reader.recovery.damage.isEmpty)
            #expect(try reader.events().count >= before)
          }
        }
      } catch {
        Issue.record("\(error)")
      }
    }
  }

  @Test func `a reader beside a writer that resets sees the ledger before or after, never damage`() throws {
    let place = Backend.disk.place()
    defer { place.stay() }
    let ledger = try place.open {
      $0.segmentSize = 16 << 10
      $0.syncPolicy = .never
    }
    let done = Locked(false)
    DispatchQueue.concurrentPerform(iterations: 2) { role in
      do {
        if role == 0 {
          defer { done.withLock { $0 = true } }
          for number in 0..<1200 {
            try ledger.append(.test("\(number)", payload: "{\"n\":\(number)}"))
            if number % 100 == 99 { try ledger.reset() }
          }
        } else {
          while !done.withLock({ $0 }) {
            let reader = try place.open { $0.access = .readOnly }
            #expect(reader.recovery.damage.isEmpty)
            let ids = try reader.events().compactMap { Int($0.event.id) }
            #expect(ids == Array((ids.first ?? 0)..<(ids.first ?? 0) + ids.count))
            #expect((ids.first ?? 0) % 100 == 0)
          }
        }
      } catch {
        Issue.record("\(error)")
      }
    }
  }

  @Test func `what a reader borrows stays readable through a roll, a reset and a close`() throws {
    let place = Backend.disk.place()
    defer { place.stay() }
    let ledger = try place.open { $0.segmentSize = 16 << 10 }
    for number in 0..<60 {
      try ledger.append(.test("\(number)", payload: String(repeating: "p", count: 300)))
    }
    let fill = String(repeating: "q", count: 300)
    // Offset 1 is in a sealed, mapped segment, the last one in the segment being written.
    for offset in [Offset(1), Offset(90)] {
      let size = try ledger.withEvent(at: offset) { (view) throws(LedgerError) in
        if offset == ledger.latestOffset {
          try ledger.reset()
          try ledger.close()
        } else {
          for number in 0..<30 {
            try ledger.append(
              ledger.makeEvent(run: "r", turn: Int64(number), kind: "a.b", actor: "x", payload: fill))
          }
        }
        var sum = 0
        for index in 0..<view.payload.byteCount { sum += Int(view.payload.loadUInt8(at: index)) }
        return sum
      }
      #expect(size == 300 * Int(UInt8(ascii: offset == 1 ? "p" : "q")))
    }
  }
}
