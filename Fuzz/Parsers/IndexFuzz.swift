internal import LogEngine
internal import RunLedger

/// Any bytes as the index of events in a sidecar. What is believed answers as the bytes say, read from front to end; and what is
/// not believed leaves no trace.
enum IndexFuzz {
  // `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var bytes = ByteBuffer()

  /// The first byte says whether the segment is sealed, and whether lengths and hashes are made right.
  static func run(_ input: RawSpan) {
    guard input.byteCount > SealedIndexModel.headerByteCount else { return }
    let mode = input.loadUInt8(at: 0)
    unsafe bytes.truncate(to: 0)
    unsafe bytes.append(input.extracting(droppingFirst: 1))
    if mode & 2 == 0, let repaired = unsafe repaired(bytes.bytes) { unsafe bytes = repaired }
    let stored = unsafe StoredBytes(copying: bytes.bytes)
    check(stored, isSealed: mode & 1 == 0)
  }

  /// The same with lengths that add up, and terms laid out by their names' hashes; nil if there is too little.
  private static func repaired(_ whole: RawSpan) -> ByteBuffer? {
    let count = whole.loadUInt64(at: 16) & 63
    let idCount = Int(min(whole.loadUInt64(at: 24), count))
    let termsStart = SealedIndexModel.headerByteCount + 8 * idCount
    guard whole.byteCount >= termsStart else { return nil }
    let termCount = min(
      Int(clamping: whole.loadUInt64(at: 32)), 5 * Int(count), (whole.byteCount - termsStart) / 32)
    let namesStart = termsStart + 32 * termCount
    let names = min(Int(clamping: whole.loadUInt64(at: 40)), whole.byteCount - namesStart)
    let seed = whole.loadUInt64(at: 8)
    var terms: [(hash: UInt32, place: Int, name: [UInt8], postings: [UInt8])] = []
    for place in stride(from: termsStart, to: namesStart, by: 32) {
      let name = array(
        whole, namesStart..<namesStart + names, whole.loadUInt32(at: place + 8),
        UInt32(whole.loadUInt16(at: place + 2)))
      let postings = array(
        whole, namesStart + names..<whole.byteCount, whole.loadUInt32(at: place + 12),
        whole.loadUInt32(at: place + 16))
      let hash = XXH3.hash64(name.span.rawBytes, seed: seed &+ UInt64(whole.loadUInt8(at: place)))
      terms.append((UInt32(truncatingIfNeeded: hash), place, name, postings))
    }
    terms.sort { $0.hash < $1.hash }
    var repaired = ByteBuffer()
    repaired.append(SealedIndexModel.version)
    repaired.append(UInt32(0))
    repaired.append(seed)
    repaired.append(count)
    repaired.append(UInt64(idCount))
    repaired.append(UInt64(termCount))
    repaired.append(UInt64(terms.reduce(0) { $0 + $1.name.count }))
    repaired.append(UInt64(terms.reduce(0) { $0 + $1.postings.count }))
    repaired.append(UInt64(0))
    repaired.append(whole.extracting(SealedIndexModel.headerByteCount..<termsStart))
    var (nameStart, postingsStart) = (0, 0)
    for term in terms {
      repaired.append(UInt16(whole.loadUInt8(at: term.place)))
      repaired.append(UInt16(term.name.count))
      repaired.append(term.hash)
      repaired.append(UInt32(nameStart))
      repaired.append(UInt32(postingsStart))
      repaired.append(UInt32(term.postings.count))
      repaired.append(whole.extracting(term.place + 20..<term.place + 32))
      nameStart += term.name.count
      postingsStart += term.postings.count
    }
    for term in terms { repaired.append(term.name.span.rawBytes) }
    for term in terms { repaired.append(term.postings.span.rawBytes) }
    return repaired
  }

  /// As much as there is of a stretch of a part.
  private static func array(_ bytes: RawSpan, _ part: Range<Int>, _ start: UInt32, _ count: UInt32) -> [UInt8]
  {
    let start = min(part.lowerBound + Int(start), part.upperBound)
    return (start..<min(start + Int(count), part.upperBound)).map { bytes.loadUInt8(at: $0) }
  }

  private static func check(_ stored: StoredBytes, isSealed: Bool) {
    let bytes = stored.bytes
    let count = Int(clamping: bytes.loadUInt64(at: 16))
    guard count > 0, count < 1 << 20 else { return }
    var index = LedgerIndex(seed: 5)
    do throws(UnsoundPart) {
      guard index.prepare(toRestore: stored),
        index.restoreSegment(stored, count: count, isSealed: isSealed)
      else {
        let (count, runCount) = (index.count, try index.runCount)
        return promise(count == 0 && runCount == 0, "what is not believed leaves nothing")
      }
      let model = SealedIndexModel(bytes, count: count)
      promise(model.isWhole, "what is believed lies within its bytes")
      promise(index.count == model.idCount, "all ids are counted")
      guard isDictionarySound(&index, model, bytes) else {
        return promise(isSealed, "what is written to is made of sound terms only")
      }
      try check(&index, model, bytes, isSealed: isSealed)
    } catch {
      promise(false, "what is sound is found to be")
    }
  }

  /// Do all terms say what they have to? Where they do not, the first look at all of them finds it.
  private static func isDictionarySound(
    _ index: inout LedgerIndex, _ model: SealedIndexModel, _ bytes: RawSpan
  ) -> Bool {
    var isSound = true
    do throws(UnsoundPart) { _ = try index.names(of: .run) } catch { isSound = false }
    promise(
      isSound == model.areTermsSound(bytes), "terms are sound, or a look at all finds that they are not")
    return isSound
  }

  private static func check(
    _ index: inout LedgerIndex, _ model: SealedIndexModel, _ bytes: RawSpan, isSealed: Bool
  ) throws(UnsoundPart) {
    for number in 0..<model.termCount {
      let term = model.term(number, bytes)
      guard let field = PostingField(rawValue: term.field) else { return promise(false, "a field") }
      let name = bytes.extracting(term.name)
      try checkOffsets(field, name, &index, term: term, model: model, bytes, isSealed: isSealed)
    }
    // A handful of names stand for all that may be asked for.
    for letter in UInt8(ascii: "a")...UInt8(ascii: "h") {
      let name = [letter]
      let hash = UInt32(truncatingIfNeeded: XXH3.hash64(name.span.rawBytes, seed: model.seed) >> 32)
      let found = try index.candidates(id: name.span.rawBytes)
      if model.idsRise(bytes) {
        promise(found == model.offsets(ofID: hash, bytes), "an id is where the index says: \(found)")
      }
    }
    guard !isSealed else { return }
    checkEncoded(index.bytes(ofSegmentAt: 1), count: model.count)
  }

  private static func checkEncoded(_ bytes: StoredBytes?, count: Int) {
    guard let bytes else { return promise(false, "what has records is encoded") }
    var index = LedgerIndex(seed: 5)
    let isBelieved =
      index.prepare(toRestore: bytes) && index.restoreSegment(bytes, count: count, isSealed: false)
    promise(isBelieved, "what is encoded is believed")
    guard let again = index.bytes(ofSegmentAt: 1) else { return promise(false, "and encoded again") }
    promise(again.bytes.isEqual(to: bytes.bytes), "and is the same then")
  }

  /// All at once, and a few at a time.
  private static func checkOffsets(
    _ field: PostingField, _ name: RawSpan, _ index: inout LedgerIndex, term: SealedIndexModel.Term,
    model: SealedIndexModel, _ bytes: RawSpan, isSealed: Bool
  ) throws(UnsoundPart) {
    var place = PostingPlace()
    let all = try index.offsets(field, name, after: 0, limit: 1 << 16, &place)
    promise(
      all.allSatisfy { $0.rawValue >= 1 && $0.rawValue <= UInt64(model.count) }, "offsets of the segment")
    if model.isOnly(term, bytes), let expected = model.offsets(of: term, bytes) {
      promise(all == expected, "a value has the offsets that its postings say: \(all) \(expected)")
      var paged: [Offset] = []
      var page = PostingPlace()
      repeat {
        let found = try index.offsets(field, name, after: paged.last ?? 0, limit: 3, &page)
        if found.isEmpty { break }
        paged += found
      } while paged.count <= expected.count
      promise(paged == expected, "and the same a few at a time")
    } else {
      promise(isSealed, "what is written to is made of sound postings only")
    }
  }

  static let seeds: [[UInt8]] = [0, 1].map { mode in
    var index = LedgerIndex(seed: 5)
    index.beginSegment(at: 1)
    for number in 0..<6 {
      index.enter(CatalogFuzz.event(number, number % 3, number % 2), at: Offset(UInt64(number + 1)))
    }
    let stored = index.bytes(ofSegmentAt: 1)
    return [UInt8(mode)] + (stored.map { $0.bytes.array(0..<$0.count) } ?? [])
  }
}

/// FORMAT.md's words on the index of events, read from front to end each time.
struct SealedIndexModel {
  static let headerByteCount = 64
  static let version: UInt32 = 2

  struct Term {
    var number: Int
    var field: UInt8
    var name: Range<Int>
    var postings: Range<Int>
    var count: Int
    var first: UInt64
    var last: UInt64
  }

  let count: Int
  let seed: UInt64
  let idCount: Int
  let termCount: Int
  private let byteCount: Int
  private let names: Int
  private let postings: Int
  private var termsStart: Int { 64 + 8 * idCount }
  private var namesStart: Int { termsStart + 32 * termCount }

  init(_ bytes: RawSpan, count: Int) {
    self.count = count
    byteCount = bytes.byteCount
    seed = bytes.loadUInt64(at: 8)
    idCount = Int(bytes.loadUInt64(at: 24))
    termCount = Int(bytes.loadUInt64(at: 32))
    names = Int(bytes.loadUInt64(at: 40))
    postings = Int(bytes.loadUInt64(at: 48))
  }

  var isWhole: Bool {
    namesStart + names + postings == byteCount && idCount <= count && termCount <= 5 * count
  }

  /// Each says what it may, and has bytes of its own behind those of the one before.
  func areTermsSound(_ bytes: RawSpan) -> Bool {
    var (nameStart, postingsStart) = (namesStart, namesStart + names)
    var lastHash: UInt32 = 0
    for number in 0..<termCount {
      let term = term(number, bytes)
      let hash = bytes.loadUInt32(at: termsStart + 32 * number + 4)
      guard term.field < 5, term.count >= 1, term.first <= term.last, term.last < UInt64(count),
        term.name.lowerBound == nameStart, term.name.upperBound <= namesStart + names,
        term.postings.lowerBound == postingsStart, term.postings.upperBound <= byteCount, hash >= lastHash,
        XXH3.hash64(bytes.extracting(term.name), seed: seed &+ UInt64(term.field)) & UInt64(UInt32.max)
          == hash
      else { return false }
      (nameStart, postingsStart, lastHash) = (term.name.upperBound, term.postings.upperBound, hash)
    }
    return true
  }

  func term(_ number: Int, _ bytes: RawSpan) -> Term {
    let place = termsStart + 32 * number
    let name = namesStart + Int(bytes.loadUInt32(at: place + 8))
    let posting = namesStart + names + Int(bytes.loadUInt32(at: place + 12))
    return Term(
      number: number, field: bytes.loadUInt8(at: place),
      name: name..<name + Int(bytes.loadUInt16(at: place + 2)),
      postings: posting..<posting + Int(bytes.loadUInt32(at: place + 16)),
      count: Int(bytes.loadUInt32(at: place + 20)), first: UInt64(bytes.loadUInt32(at: place + 24)),
      last: UInt64(bytes.loadUInt32(at: place + 28)))
  }

  /// No other term has the field and the name.
  func isOnly(_ term: Term, _ bytes: RawSpan) -> Bool {
    for number in 0..<termCount where number != term.number {
      let other = self.term(number, bytes)
      if other.field == term.field, bytes.extracting(other.name).isEqual(to: bytes.extracting(term.name)) {
        return false
      }
    }
    return true
  }

  /// nil if the postings are not what the term says of them.
  func offsets(of term: Term, _ bytes: RawSpan) -> [Offset]? {
    var index = term.first
    var found = [Offset(1 + index)]
    var delta: UInt64 = 0
    var shift: UInt64 = 0
    for place in term.postings {
      let byte = bytes.loadUInt8(at: place)
      guard shift < 35 else { return nil }
      delta |= UInt64(byte & 0x7F) << shift
      shift += 7
      guard byte & 0x80 == 0 else { continue }
      index += delta
      guard delta > 0, index <= term.last else { return nil }
      found.append(Offset(1 + index))
      (delta, shift) = (0, 0)
    }
    return shift == 0 && index == term.last && found.count == term.count ? found : nil
  }

  func idsRise(_ bytes: RawSpan) -> Bool {
    for number in 0..<idCount {
      let id = bytes.loadUInt64(at: 64 + 8 * number)
      guard id & UInt64(UInt32.max) < UInt64(count) else { return false }
      if number > 0, bytes.loadUInt64(at: 64 + 8 * number - 8) >= id { return false }
    }
    return true
  }

  /// Enough of one hash are enough: different ids do not meet that often.
  func offsets(ofID hash: UInt32, _ bytes: RawSpan) -> [Offset] {
    var found: [Offset] = []
    for number in 0..<idCount {
      let id = bytes.loadUInt64(at: 64 + 8 * number)
      if UInt32(id >> 32) == hash, found.count < 32 { found.append(Offset(1 + id & UInt64(UInt32.max))) }
    }
    return found
  }
}

/// The bytes as a program: events to index, segments to end, to restore from their own bytes and to drop. The index answers as a
/// list of all events does.
enum CatalogFuzz {
  static func event(_ id: Int, _ run: Int, _ kind: Int) -> Event {
    Event(
      uncheckedID: "i\(id)", runID: "r\(run)", turn: 0, kind: "k.\(kind)", actor: "a", payload: [],
      createdAt: Timestamp(uncheckedSeconds: 0, nanoseconds: 0), schemaVersion: 1,
      sessionID: kind == 0 ? "s" : nil,
      modelProfile: nil, modelID: run == 0 ? "m" : nil, kindRule: .dotted)
  }

  /// Made once: an event costs more than indexing it.
  private static let events: [(event: Event, id: UInt8, run: UInt8, kind: UInt8)] = (0..<128).map { code in
    (event(code & 15, code >> 4 & 3, code >> 6), UInt8(code & 15), UInt8(code >> 4 & 3), UInt8(code >> 6))
  }
  private static let names: [[UInt8]] = (0..<16).map { Array("i\($0)".utf8) }
  private static let runs: [[UInt8]] = (0..<4).map { Array("r\($0)".utf8) }

  static func run(_ input: RawSpan) {
    guard input.byteCount <= 512 else { return }
    var index = LedgerIndex(seed: 5)
    index.beginSegment(at: 1)
    var listed: [(offset: UInt64, id: UInt8, run: UInt8)] = []
    /// Ids that were there more often than different ids of one tag could be, and of which some are not entered any more. No
    /// ledger stores one twice.
    var crowded: Set<UInt8> = []
    var next: UInt64 = 1
    var begun: UInt64 = 1
    /// Where segments begin that are there.
    var firsts: [UInt64] = [1]
    for place in 0..<input.byteCount {
      let byte = input.loadUInt8(at: place)
      switch byte {
      case 0..<128:
        let (event, id, run, _) = events[Int(byte)]
        index.enter(event, at: Offset(next))
        listed.append((next, id, run))
        if listed.count(where: { $0.id == id }) >= 32 { crowded.insert(id) }
        next += 1
      case 128..<160:
        index.endSegment()
        // As the housekeeper does, sooner or later.
        if byte & 1 == 1 { index.sealEnded() }
        begun = next
        firsts.append(begun)
        index.beginSegment(at: Offset(next))
      case 160..<192:
        // As at an opening: a new index from the bytes of the last segment, and what was before is not there.
        guard let bytes = index.bytes(ofSegmentAt: Offset(begun)) else { continue }
        let count = bytes.bytes.loadUInt64(at: 16)
        index = LedgerIndex(seed: 6)
        promise(index.prepare(toRestore: bytes), "what was encoded is an index")
        index.beginSegment(at: Offset(begun))
        promise(
          index.restoreSegment(bytes, count: Int(count), isSealed: byte & 1 == 1),
          "what was encoded is believed")
        listed.removeAll { $0.offset < begun }
        next = begun + count
        firsts = [begun]
        if byte & 1 == 1 {
          begun = next
          firsts.append(begun)
        }
      case 192..<224:
        // As a trim: behind a segment that was begun for it.
        index.endSegment()
        begun = next
        firsts.append(begun)
        index.beginSegment(at: Offset(next))
        let start = firsts[Int(byte & 31) % firsts.count]
        index.removeAll(below: Offset(start))
        listed.removeAll { $0.offset < start }
        firsts.removeAll { $0 < start }
      default:
        next += UInt64(byte & 3)
      }
    }
    do throws(UnsoundPart) {
      try check(&index, listed, crowded)
    } catch {
      promise(false, "what was encoded is sound")
    }
  }

  private static func check(
    _ index: inout LedgerIndex, _ listed: [(offset: UInt64, id: UInt8, run: UInt8)], _ crowded: Set<UInt8>
  ) throws(UnsoundPart) {
    promise(index.count == listed.count, "all events are counted")
    let (runCount, listedRuns) = (try index.runCount, try index.names(of: .run))
    promise(runCount == Set(listed.map(\.run)).count, "all runs are counted")
    var appeared: [String] = []
    for event in listed where !appeared.contains("r\(event.run)") { appeared.append("r\(event.run)") }
    promise(listedRuns == appeared, "runs are in the order of their first events")
    for run in 0..<4 {
      let expected = listed.filter { $0.run == run }.map { Offset($0.offset) }
      let name = runs[run]
      var place = PostingPlace()
      var found: [Offset] = []
      while true {
        let page = try index.offsets(.run, name.span.rawBytes, after: found.last ?? 0, limit: 3, &place)
        if page.isEmpty { break }
        found += page
      }
      promise(found == expected, "a run has its events: \(found) \(expected)")
    }
    for id in UInt8(0)..<16 where !crowded.contains(id) {
      let expected = listed.filter { $0.id == id }.map { Offset($0.offset) }
      let name = names[Int(id)]
      let found = try index.candidates(id: name.span.rawBytes)
      promise(found == expected, "an id has its events")
    }
  }

  static let seeds: [[UInt8]] = [[1, 2, 3, 17, 128, 1, 66, 160, 5], [1, 18, 161, 35, 128, 52, 192, 1]]
}

extension LedgerIndex {
  /// Enters an event by way of its record, as whoever stores or reads one does.
  fileprivate mutating func enter(_ event: Event, at offset: Offset) {
    var record = ByteBuffer()
    EventRecord.encode(event, into: &record)
    guard let view = EventView(record.bytes, at: offset, kindRule: .anyText) else {
      return promise(false, "an event was encoded")
    }
    add(view)
  }

  fileprivate mutating func candidates(id: RawSpan) throws(UnsoundPart) -> [Offset] {
    var found: [Offset] = []
    while let next = try candidate(id: id, after: found.last ?? .zero) { found.append(next) }
    return found
  }
}
