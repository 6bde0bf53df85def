import Foundation
import LogEngine
import PlatformIO
import StorageTesting
import Testing

@testable import RunLedger

/// Sidecars of sealed segments are compared with their digests when they are used. Whatever is found then, look-ups give what the
/// events say.
@Suite struct UnsoundSidecarTests {
  private static let segmentSize: UInt64 = 512 << 10

  private static func open(
    _ disk: any FileSystem, at path: String = TestLog.path, access: LogOptions.Access = .readWrite,
    _ environment: SeededEnvironment = SeededEnvironment(seed: 2)
  ) throws -> Ledger {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.segmentSize = segmentSize
    options.access = access
    return try Ledger.open(
      at: path, options: options, fileSystem: disk, environment: environment)
  }

  /// A closed ledger of two sealed segments and one that is not, with many small events, so that sidecars have several blocks.
  private static func closed() throws -> (image: DiskImage, events: [Event]) {
    let disk = MemoryFileSystem()
    let environment = SeededEnvironment(seed: 1)
    let ledger = try open(disk, environment)
    var events: [Event] = []
    while ledger.size.segments < 3 || events.count % 500 != 0 {
      let number = events.count
      events.append(
        try .test(
          "id-\(number)", run: "run-\(number / 5)", kind: number % 3 == 0 ? "turn.started" : "tool.called",
          actor: "actor-\(number % 7)", payload: "{}", session: "s-\(number / 50)"))
      if events.count % 50 == 0 { try ledger.extend(events[(number - 49)...]) }
      environment.advance(by: .zero)
    }
    try ledger.close()
    return (try DiskImage(of: disk), events)
  }

  private static func recordCount(_ image: DiskImage, _ name: String) throws -> Int {
    let bytes = try #require(image.files[name])
    return Int(bytes.span.rawBytes.loadUInt64(at: 88))
  }

  @Test func `a flipped bit in any block of a sidecar costs reading its segment once, and nothing else`()
    throws
  {
    let (image, _) = try Self.closed()
    let name = Self.name
    let index = try Self.indexStart(image)
    let records = UInt64(try Self.recordCount(image, name))
    let blocks = SidecarBytes(try #require(image.files[name])).blocks
    // One has positions only.
    #expect(blocks.count >= 4 && blocks[0].upperBound <= index)
    for block in blocks {
      let readByOpening = block.contains(index) ? records : 0
      var spoiled = image
      spoiled.flip(name, byte: block.lowerBound + block.count / 2, bit: 5)
      let reader = try Self.open(spoiled.disk(), access: .readOnly)
      #expect(reader.recovery.records == readByOpening)
      #expect(try reader.wrongLookup() == nil)

      let disk = try spoiled.disk()
      let writer = try Self.open(disk)
      #expect(writer.recovery.records == readByOpening)
      #expect(try writer.wrongLookup() == nil)
      try writer.close()
      if readByOpening > 0 {
        #expect(try DiskImage(of: disk).files[name] == image.files[name])
        continue
      }
      #expect(try DiskImage(of: disk).files[name] == nil)
      let environment = SeededEnvironment(seed: 4)
      let next = try Self.open(disk, environment)
      #expect(next.recovery.records == records)
      environment.advance(by: .zero)
      try next.close()
      #expect(try DiskImage(of: disk).files[name] == image.files[name])
    }
  }

  @Test func `opening reads no more of a sealed segment's sidecar than its digests`() throws {
    let (image, _) = try Self.closed()
    let read = Locked([String: Int]())
    let disk = ObservedFileSystem(try image.disk()) { call in
      if call.operation == .read { read.withLock { $0[call.name, default: 0] += call.count ?? 0 } }
      return nil
    }
    _ = try Self.open(disk)
    for name in ["00000001.idx", "00000002.idx"] {
      #expect(try #require(image.files[name]).count > 40_000)
      #expect(read.withLock { $0[name]! } <= 4096)
    }
  }

  @Test func `an id in a damaged block is a duplicate, and a new one is not`() throws {
    let (image, events) = try Self.closed()
    let name = "00000001.idx"
    let records = try Self.recordCount(image, name)
    var spoiled = image
    // All of the ids.
    let sidecar = SidecarBytes(try #require(image.files[name]))
    let ids = sidecar.indexStart(records: records) + 64
    for place in stride(from: ids, to: ids + 8 * records, by: 8 << 10) {
      spoiled.flip(name, byte: place, bit: 0)
    }
    for number in [0, records / 2, records - 1] {
      let ledger = try Self.open(try spoiled.disk())
      let receipts = try ledger.extend([.test("new"), events[number]])
      #expect(receipts.map(\.outcome) == [.appended, .duplicate])
      #expect(receipts[1].offset == Offset(UInt64(number + 1)))
      let receipt = try ledger.append(events[number])
      #expect(receipt.outcome == .duplicate)
      #expect(try ledger.append(.test("newer")).outcome == .appended)
      try ledger.close()
    }
  }

  @Test(arguments: [EventOrder.forward, .backward])
  func `a query over damaged postings finds what the events say`(order: EventOrder) throws {
    let (image, _) = try Self.closed()
    let name = "00000001.idx"
    let blocks = SidecarBytes(try #require(image.files[name])).blocks
    let filters = [
      EventFilter(kind: .exactly("turn.started"), actor: "actor-3"), EventFilter(kind: .below("tool")),
      EventFilter(run: "run-77"),
    ]
    let sound = try Self.open(image.disk(), access: .readOnly)
    for block in blocks {
      var spoiled = image
      spoiled.flip(name, byte: block.upperBound - 1, bit: 1)
      for filter in filters {
        let reader = try Self.open(spoiled.disk(), access: .readOnly)
        #expect(try reader.events(where: filter, order: order) == sound.events(where: filter, order: order))
        let counter = try Self.open(spoiled.disk(), access: .readOnly)
        #expect(try counter.countEvents(where: filter).matches == sound.countEvents(where: filter).matches)
      }
    }
  }

  /// What is wrong with the terms of a sealed segment's sidecar whose digests are right.
  enum Forgery: CaseIterable {
    case otherOrder, otherHash, sharedName, sharedPostings, lastBehindTheSegment, noField, oneTermTwice,
      noCount
  }

  @Test(arguments: Forgery.allCases)
  func `a forged term under right digests costs reading its segment, and nothing else`(
    forgery: Forgery
  ) throws {
    let (image, _) = try Self.closed()
    let name = "00000001.idx"
    let records = try Self.recordCount(image, name)
    var sidecar = SidecarBytes(try #require(image.files[name]))
    let index = sidecar.indexStart(records: records)
    let terms = index + 64 + 8 * Int(sidecar.bytes.span.rawBytes.loadUInt64(at: index + 24))
    let (one, next) = (terms + 32 * 70, terms + 32 * 71)
    let (first, second) = (Array(sidecar.bytes[one..<next]), Array(sidecar.bytes[next..<next + 32]))
    switch forgery {
    case .otherOrder:
      sidecar.bytes.replaceSubrange(one..<next, with: second)
      sidecar.bytes.replaceSubrange(next..<next + 32, with: first)
    case .otherHash: sidecar.bytes[next + 4] ^= 1
    case .sharedName:
      sidecar.bytes.replaceSubrange(next + 8..<next + 12, with: first[8..<12])
    case .sharedPostings:
      sidecar.bytes.replaceSubrange(next + 12..<next + 16, with: first[12..<16])
    case .lastBehindTheSegment: sidecar.store(UInt64(records), 4, at: next + 28)
    case .noField: sidecar.bytes[next] = 5
    case .oneTermTwice: sidecar.bytes.replaceSubrange(next..<next + 32, with: first)
    case .noCount: sidecar.store(0, 4, at: next + 20)
    }
    var forged = image
    forged.files[name] = sidecar.resealed()
    for access in [LogOptions.Access.readOnly, .readWrite] {
      let disk = try forged.disk()
      let ledger = try Self.open(disk, access: access)
      #expect(ledger.recovery.records == 0)
      #expect(try ledger.wrongLookup() == nil)
      let left = try DiskImage(of: disk).files[name]
      #expect(left == (access == .readOnly ? forged.files[name] : nil))
    }
  }

  private static let name = "00000001.idx"

  /// Where the index starts in the first sidecar. Its header is looked at when the ledger is opened, which reads the segment if
  /// it is damaged.
  private static func indexStart(_ image: DiskImage) throws -> Int {
    SidecarBytes(try #require(image.files[name])).indexStart(records: try recordCount(image, name))
  }

  private static func contentStart(_ image: DiskImage) throws -> Int {
    SidecarBytes(try #require(image.files[name])).contentStart
  }

  /// Every block of the first sidecar but the one that is looked at when the ledger is opened.
  private static func spoiled(_ image: DiskImage) throws -> DiskImage {
    let index = try indexStart(image)
    var spoiled = image
    for block in SidecarBytes(try #require(image.files[name])).blocks where !block.contains(index) {
      spoiled.flip(name, byte: block.lowerBound, bit: 2)
    }
    return spoiled
  }

  @Test func `where neither sidecar nor segment can be read, nothing is taken for absent`() throws {
    let (image, events) = try Self.closed()
    let records = try Self.recordCount(image, Self.name)
    var spoiled = try Self.spoiled(image)
    spoiled.flip("00000001.seg", byte: 8192 + 200, bit: 1)
    let ledger = try Self.open(spoiled.disk())
    let latest = ledger.latestOffset
    func isRefused(_ body: () throws -> Void) throws -> Bool {
      do {
        try body()
        return false
      } catch let error as LedgerError {
        #expect(error.log?.code == .damaged)
        #expect(error.log?.path.hasSuffix("00000001.seg") == true)
        return true
      }
    }
    // What is in the sound block is found.
    var refused = 0
    for event in events[..<records].enumerated().filter({ $0.offset % 16 == 5 }).map(\.element) {
      let isLost = try isRefused {
        let found = try ledger.event(id: event.id)?.event
        #expect(found == event)
      }
      // Who fails leaves nobody waiting.
      let isLostAlone = try isRefused {
        let outcome = try ledger.append(event).outcome
        #expect(outcome == .duplicate)
      }
      let isLostBeside = try isRefused {
        let outcomes = try ledger.extend([event, event]).map(\.outcome)
        #expect(outcomes == [.duplicate, .duplicate])
      }
      #expect(isLost == isLostAlone && isLost == isLostBeside)
      refused += isLost ? 1 : 0
    }
    #expect(refused > 50)
    #expect(try isRefused { _ = try ledger.runs() })
    #expect(try isRefused { _ = try ledger.runCount })
    #expect(try isRefused { for run in 0..<100 { _ = try ledger.events(run: "run-\(run)") } })
    #expect(try isRefused { _ = try ledger.events(where: EventFilter(kind: .below("turn"))) })
    #expect(ledger.latestOffset == latest)
    #expect(try ledger.event(at: latest).id == events.last?.id)
  }

  @Test func `what is trimmed needs no sidecar`() throws {
    let (image, _) = try Self.closed()
    let disk = try Self.spoiled(image).disk()
    let ledger = try Self.open(disk)
    try ledger.trim(before: Offset(UInt64(try Self.recordCount(image, "00000001.idx") + 1)))
    #expect(try ledger.wrongLookup() == nil)
    try ledger.close()
    let reader = try Self.open(disk, access: .readOnly)
    #expect(reader.recovery.records == 0)
    #expect(try reader.wrongLookup() == nil)
  }

  /// A ledger that is trimmed to its second segment once something is done to the first one's file.
  private static func open(
    _ image: DiskImage, trimmedAtNext operation: FileSystemError.Operation
  ) throws -> (ledger: Ledger, start: Offset) {
    let trims = Locked<Ledger?>(nil)
    let start = Offset(UInt64(try recordCount(image, name) + 1))
    let disk = ObservedFileSystem(try image.disk()) { call in
      guard call.operation == operation, call.name == "00000001.seg" else { return nil }
      let ledger = trims.withLock { ledger in
        defer { ledger = nil }
        return ledger
      }
      do { try ledger?.trim(before: start) } catch { Issue.record("\(error)") }
      return nil
    }
    let ledger = try open(disk)
    trims.withLock { $0 = ledger }
    return (ledger, start)
  }

  @Test func `a segment that is trimmed while it is read for its index is not looked up any more`() throws {
    let (image, events) = try Self.closed()
    let (ledger, start) = try Self.open(try Self.spoiled(image), trimmedAtNext: .read)
    var found = 0
    for event in events[..<200] where try ledger.event(id: event.id) != nil { found += 1 }
    // Until the first one in a damaged block.
    #expect(found < 200)
    #expect(ledger.firstOffset == start)
    #expect(try ledger.wrongLookup() == nil)
  }

  @Test func `a trim while positions are made anew is said to be one`() throws {
    let (image, events) = try Self.closed()
    var spoiled = image
    spoiled.flip(Self.name, byte: try Self.contentStart(image), bit: 2)
    let (ledger, start) = try Self.open(spoiled, trimmedAtNext: .open)
    #expect(try ledger.event(id: events[3].id) == nil)
    #expect(ledger.firstOffset == start)
  }

  @Test func `a damaged sidecar behind an empty segment is the one that goes`() throws {
    let (image, _) = try Self.closed()
    let disk = try image.disk()
    let environment = SeededEnvironment(seed: 1)
    var ledger = try Self.open(disk, environment)
    // A new segment is begun, of the usual size, and this does not fit into it.
    try ledger.trim(before: Offset(UInt64(try Self.recordCount(image, Self.name) + 1)))
    let payload = "{\"a\":\"\(String(repeating: "x", count: 200))\"}"
    try ledger.extend(try (0..<4000).map { try .test("big-\($0)", run: "run-\($0 / 5)", payload: payload) })
    let segments = ledger.size.segments
    while ledger.size.segments == segments { try ledger.append(.test("more-\(ledger.latestOffset)")) }
    environment.advance(by: .zero)
    try ledger.close()
    let name = "00000005.idx"
    var spoiled = try DiskImage(of: disk)
    spoiled.flip(name, byte: try #require(spoiled.files[name]).count - 1, bit: 2)
    let again = try spoiled.disk()
    ledger = try Self.open(again)
    #expect(try ledger.wrongLookup() == nil)
    let left = try DiskImage(of: again)
    #expect(left.files[name] == nil)
    #expect(left.files.count == spoiled.files.count - 1)
  }

  @Test(arguments: [true, false])
  func `a reader finds what can be read, with a damaged sidecar as without one`(hasSidecar: Bool) throws {
    let (image, events) = try Self.closed()
    var spoiled = try Self.spoiled(image)
    if !hasSidecar { spoiled.files[Self.name] = nil }
    // Four records of their own, some next to each other.
    for byte in [200, 330, 20_000, 200_000] { spoiled.flip("00000001.seg", byte: 8192 + byte, bit: 1) }
    let reader = try Self.open(spoiled.disk(), access: .readOnly)
    var lost: Set<String> = []
    for event in events where try reader.event(id: event.id)?.event != event { lost.insert(event.id) }
    #expect(lost.count == 4)
    #expect(Set(try reader.runs()) == Set(events.filter { !lost.contains($0.id) }.map(\.runID)))
  }

  @Test func `a ledger that could be written can be written again`() throws {
    let (image, events) = try Self.closed()
    var spoiled = image
    spoiled.flip(Self.name, byte: try Self.contentStart(image), bit: 2)
    spoiled.flip("00000001.seg", byte: 8192 + 200, bit: 1)
    let disk = try spoiled.disk()
    for _ in 0..<2 {
      let ledger = try Self.open(disk)
      #expect(try ledger.event(id: events[300].id)?.event == events[300])
      try ledger.close()
    }
  }

  @Test func `a sidecar that was made under another seed is not believed`() throws {
    let (image, _) = try Self.closed()
    var bare = image
    for name in image.files.keys where name.hasSuffix(".idx") { bare.files[name] = nil }
    let disk = try bare.disk()
    let environment = SeededEnvironment(seed: 5)
    let ledger = try Self.open(disk, environment)
    environment.advance(by: .zero)
    try ledger.close()
    var mixed = image
    mixed.files["00000002.idx"] = try DiskImage(of: disk).files["00000002.idx"]
    #expect(mixed != image)
    let reader = try Self.open(mixed.disk(), access: .readOnly)
    #expect(reader.recovery.records == UInt64(try Self.recordCount(image, "00000002.idx")))
    #expect(try reader.wrongLookup() == nil)
  }

  @Test func `an index is made of the records once`() throws {
    let (image, _) = try Self.closed()
    let ledger = try Self.open(try Self.spoiled(image).disk(), access: .readOnly)
    // Two who have seen the same, as two threads do.
    let unsound = UnsoundPart(first: 1)
    try ledger.remake(unsound)
    #expect(ledger.index.withLock { $0.part(at: 1)?.isInMemory } == true)
    _ = try ledger.runs()
    let size = ledger.indexSize.index
    try ledger.remake(unsound)
    #expect(ledger.indexSize.index == size)
  }

  @Test func `a query's report counts a segment once`() throws {
    let (image, _) = try Self.closed()
    let sound = try Self.open(image.disk(), access: .readOnly)
    let blocks = SidecarBytes(try #require(image.files[Self.name])).blocks
    for actor in 0..<7 {
      let filter = EventFilter(kind: .exactly("turn.started"), actor: "actor-\(actor)")
      let expected = try sound.countEvents(where: filter)
      for block in blocks {
        var spoiled = image
        spoiled.flip(Self.name, byte: block.upperBound - 1, bit: 1)
        let reader = try Self.open(spoiled.disk(), access: .readOnly)
        #expect(try reader.countEvents(where: filter) == expected)
      }
    }
  }

  /// Each shard's terms are in order and behind each other, and begin with the same postings: what stands between two shards is
  /// in no shard's range.
  @Test func `terms that share postings are not believed, though no two that follow on each other do`() throws
  {
    let records = 10_000
    let seed: UInt64 = 7
    var shards: [[(hash: UInt32, name: [UInt8])]] = Array(repeating: [], count: SealedIndex.shardCount)
    var number = 0
    while shards.contains(where: { $0.count < 15 }) {
      let name = Array("k.\(number)".utf8)
      let hash = PostingIndex.hash(.kind, name.span.rawBytes, seed: seed)
      shards[Int(hash >> 24)].append((hash, name))
      number += 1
    }
    let postings = [UInt8](repeating: 1, count: records - 1)
    var names = ByteBuffer()
    var terms = ByteBuffer()
    func addTerm(_ hash: UInt32, _ name: [UInt8], _ postings: Range<Int>, count: Int) {
      terms.append(UInt16(PostingField.kind.rawValue))
      terms.append(UInt16(name.count))
      terms.append(hash)
      terms.append(UInt32(names.count))
      terms.append(UInt32(postings.lowerBound))
      terms.append(UInt32(postings.count))
      terms.append(UInt32(count))
      terms.append(UInt32(0))
      terms.append(UInt32(count - 1))
      names.append(name.span.rawBytes)
    }
    let (all, none) = (0..<postings.count, postings.count..<postings.count)
    for (shard, values) in shards.enumerated() {
      let isFirst = shard < 2
      if !isFirst { addTerm(0, [], 0..<0, count: 1) }
      let sorted = values.prefix(isFirst ? 15 : 14).sorted { $0.hash < $1.hash }
      for (place, value) in sorted.enumerated() {
        let hasAll = place == 0 && !isFirst
        addTerm(value.hash, value.name, hasAll ? all : isFirst ? 0..<0 : none, count: hasAll ? records : 1)
      }
    }
    var whole = ByteBuffer()
    whole.append(UInt64(SealedPart.version))
    whole.append(seed)
    whole.append(UInt64(records))
    whole.append(UInt64(0))
    whole.append(UInt64(terms.count / SealedPart.termByteCount))
    whole.append(UInt64(names.count))
    whole.append(UInt64(postings.count))
    whole.append(UInt64(0))
    whole.append(terms.bytes)
    whole.append(names.bytes)
    whole.append(postings.span.rawBytes)
    let stored = StoredBytes(copying: whole.bytes)
    var index = LedgerIndex(seed: 1)
    let isPrepared = index.prepare(toRestore: stored)
    try #require(isPrepared)
    index.beginSegment(at: 1)
    let isRestored = index.restoreSegment(stored, count: records, isSealed: true)
    try #require(isRestored)
    let condition = PostingCondition(field: .kind, name: "k.", isPrefix: true)
    var isFound = false
    do throws(UnsoundPart) {
      _ = try index.plan([condition], in: 1...Offset(UInt64(records)))
    } catch {
      isFound = true
    }
    #expect(isFound)
  }

  @Test func `several threads that come upon a damaged sidecar find what is there`() async throws {
    let (image, events) = try Self.closed()
    let spoiled = try Self.spoiled(image)
    for _ in 0..<5 {
      let ledger = try Self.open(spoiled.disk())
      try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<4 {
          group.addTask { () async throws in
            for number in stride(from: task, to: 400, by: 3) {
              #expect(try ledger.event(id: events[number].id)?.offset == Offset(UInt64(number + 1)))
              #expect(try ledger.event(at: Offset(UInt64(number + 1))) == events[number])
              #expect(try ledger.events(run: events[number].runID).count == 5)
            }
          }
        }
        try await group.waitForAll()
      }
      #expect(try ledger.wrongLookup() == nil)
    }
  }

  #if os(Linux)
    @Test(.enabled(if: ProcessInfo.processInfo.operatingSystemVersion.majorVersion >= 6))
    func `what cannot be read of a sidecar when it is first needed is no signal`() throws {
      let (image, _) = try Self.closed()
      let place = TemporaryDirectory()
      for (name, bytes) in image.files {
        try Data(bytes).write(to: URL(fileURLWithPath: "\(place.path)/\(name)"))
      }
      let reader = try Self.open(DiskFileSystem.shared, at: place.path, access: .readOnly)
      // A file that is cut has pages that cannot be read, as a bad sector has. The block with the index's header was needed.
      let name = Self.name
      let sidecar = SidecarBytes(try #require(image.files[name]))
      let index = try Self.indexStart(image)
      let needed = try #require(sidecar.blocks.first { $0.contains(index) })
      #expect(needed.upperBound + 8192 < sidecar.bytes.count)
      try DiskFileSystem.shared.open("\(place.path)/\(name)", .readWrite).setLength(UInt64(needed.upperBound))
      #expect(try reader.wrongLookup() == nil)
    }
  #endif
}
