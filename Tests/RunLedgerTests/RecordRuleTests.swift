import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// Rules of FORMAT.md on events that planted bugs (Fuzz/mutants.toml) showed to be held by no other test.
@Suite struct RecordRuleTests {
  private func isEvent(_ record: [UInt8]) -> Bool {
    guard let view = EventView(record.span.rawBytes, at: 1, kindRule: .anyText) else { return false }
    return view.offset == 1
  }

  @Test func `a record of another version, flag or length is no event`() throws {
    var buffer = ByteBuffer()
    EventRecord.encode(try .test("a"), into: &buffer)
    let sound = buffer.copy()
    #expect(isEvent(sound))
    #expect(!isEvent([2] + sound.dropFirst()))
    #expect(!isEvent([sound[0], sound[1] | 8] + sound.dropFirst(2)))
    #expect(!isEvent(sound + [0]))
    #expect(!isEvent(sound.dropLast()))
    #expect(!isEvent([]))
    // The lowest byte of each length.
    for place in [2, 4, 6, 8, 10, 12, 14, 36] {
      for change in [1, -1] {
        var changed = sound
        changed[place] = UInt8(truncatingIfNeeded: Int(changed[place]) + change)
        #expect(!isEvent(changed), "\(place) \(change)")
      }
    }
  }

  @Test func `a duplicate is acknowledged once what is stored is as durable as it asks`() throws {
    var options = LedgerOptions()
    options.syncPolicy = .never
    let ledger = try Ledger.inMemory(options: options)
    #expect(try ledger.append(.test("a")).durability == .buffered)
    #expect(try ledger.append(.test("a")).durability == .buffered)
    #expect(ledger.durableOffset == 0)
    let receipt = try ledger.append(.test("a"), durably: true)
    #expect(receipt.outcome == .duplicate)
    #expect(receipt.durability == .durable)
    #expect(ledger.durableOffset == 1)
  }

  @Test func `an index with more terms or records than its segment, or out of order, is not believed`() throws
  {
    var part = GrowingPart(first: 1, seed: 7)
    part.addID(1 << 32, 1)
    for field in PostingField.allCases { part.postings.add(field, "x".utf8Span.span.rawBytes, 1) }
    let encoded = part.encode()
    let sound = (0..<encoded.count).map { encoded.bytes.loadUInt8(at: $0) }
    func isBelieved(_ bytes: [UInt8]) -> Bool {
      do throws(UnsoundPart) {
        let stored = StoredBytes(copying: bytes.span.rawBytes)
        guard let part = SealedPart(stored, first: 1, count: 1, isInMemory: true) else { return false }
        for number in 0..<part.termCount { _ = try part.checkedTerm(number) }
        return true
      } catch {
        return false
      }
    }
    #expect(isBelieved(sound))
    let terms = SealedPart.headerByteCount + SealedPart.idByteCount
    // A term whose last record is behind the segment's.
    var farther = sound
    farther[terms + 28] = 1
    #expect(!isBelieved(farther))
    // In another order than that of their hashes.
    let first = terms..<terms + SealedPart.termByteCount
    var turned = sound
    turned.removeSubrange(first)
    turned.insert(contentsOf: sound[first], at: terms + SealedPart.termByteCount)
    #expect(!isBelieved(turned))
    // All terms by one name, which is there once.
    let name = terms + 5 * SealedPart.termByteCount
    var shared = sound
    shared.removeSubrange(name + 1..<name + 5)
    shared[40] = 1
    for term in 0..<5 { shared[terms + term * SealedPart.termByteCount + 8] = 0 }
    #expect(!isBelieved(shared))
    // A second run.
    part.postings.add(.run, "y".utf8Span.span.rawBytes, 1)
    let two = part.encode()
    let more = (0..<two.count).map { two.bytes.loadUInt8(at: $0) }
    #expect(!isBelieved(more))
  }
}
