import LogEngine
import ParserTargets
import PlatformIO
import RunLedger
import StorageTesting

/// A sound ledger with a sidecar of any content: the events are what they are, whatever it says.
enum SidecarFuzz {
  private static let ledger: (image: DiskImage, events: [Event]) = {
    let disk = MemoryFileSystem()
    var events: [Event] = []
    do {
      let ledger = try open(disk, .readWrite)
      for number in 0..<40 {
        events.append(
          try ledger.makeEvent(
            id: "id-\(number)", run: "run-\(number / 10)", turn: Int64(number), kind: "test.event",
            actor: "actor-\(number % 3)",
            payload: #"{"n":\#(number),"x":"\#(String(repeating: "x", count: 200))"}"#))
        try ledger.append(events[number])
      }
      try ledger.close()
      return (try DiskImage(of: disk), events)
    } catch { fatalError("\(error)") }
  }()

  private static func open(_ disk: any FileSystem, _ access: LogOptions.Access) throws -> Ledger {
    var options = LedgerOptions()
    options.access = access
    options.creation = .createIfMissing
    options.segmentSize = 16 << 10
    return try Ledger.open(
      at: TestLog.path, options: options, fileSystem: disk, environment: SeededEnvironment(seed: 2))
  }

  /// A sound sidecar with two bytes changed, and nothing but its header.
  static let seeds: [[UInt8]] = [[0, 100, 0, 0, 7, 200, 2, 0, 9], [129, 0]]

  /// The first byte chooses the segment and whether the input is the whole sidecar, or changes a sound one: each four bytes
  /// behind are a place and a byte to put there.
  static func run(_ input: [UInt8]) {
    guard let mode = input.first, input.count <= 64 << 10 else { return }
    var image = ledger.image
    let names = image.files.keys.filter { $0.hasSuffix(".idx") }.sorted()
    let name = names[Int(mode >> 1) % names.count]
    var bytes = image.files[name] ?? []
    let rest = Array(input.dropFirst())
    if mode & 1 == 0 {
      for start in stride(from: 0, to: rest.count - 3, by: 4) {
        let place = Int(rest[start]) | Int(rest[start + 1]) << 8 | Int(rest[start + 2]) << 16
        bytes[16 + place % (bytes.count - 16)] = rest[start + 3]
      }
    } else {
      bytes = Array(bytes.prefix(256)) + rest
    }
    repair(&bytes)
    image.files[name] = bytes
    guard let disk = try? image.disk() else { fatalError("no disk") }
    let reader = unlessRefused { try open(disk, .readOnly) }
    guard let reader else { return promise(false, "a sidecar never makes a sound ledger unreadable") }
    _ = try? reader.runs()
    for (number, event) in ledger.events.enumerated() {
      // A position that lies leads to an error; never to another event.
      if let found = try? reader.event(at: Offset(UInt64(number + 1))) {
        promise(found == event, "offset \(number + 1) is its own event")
      }
      if let found = try? reader.event(id: event.id) {
        promise(found.event == event, "an id is its own event")
      }
    }
    for run in 0..<4 { _ = try? reader.events(run: "run-\(run)") }
    guard mode & 128 != 0, let writer = unlessRefused({ try open(disk, .readWrite) }) else { return }
    _ = try? writer.append(ledger.events[7])
    _ = try? writer.close()
  }

  /// Makes lengths, digest and checksum right, so that what is behind them is reached.
  private static func repair(_ bytes: inout [UInt8]) {
    guard bytes.count > 264 else { return }
    let records = min(bytes.span.rawBytes.loadUInt64(at: 88), 1 << 20)
    var sidecar = SidecarBytes(bytes)
    let start = sidecar.indexStart(records: Int(records))
    if start <= bytes.count { sidecar.store(UInt64(bytes.count - start), 8, at: 128) }
    bytes = sidecar.resealed()
  }
}

/// A sound snapshot with a list of any content.
enum SnapshotFuzz {
  private static let snapshot: (image: DiskImage, texts: [String]) = {
    let disk = MemoryFileSystem()
    do {
      let log = try TestLog.open(disk)
      let texts = (0..<60).map { "record \($0) " + String(repeating: "x", count: 300) }
      for text in texts { try TestLog.append(log, [text]) }
      try log.snapshot(to: "copy", replacing: false, in: disk)
      return (try DiskImage(of: disk, directory: "copy"), texts)
    } catch { fatalError("\(error)") }
  }()

  /// A sound list with two bytes changed, and a short one.
  static let seeds: [[UInt8]] = [[0, 12, 3, 80, 1], [1, 1, 0, 0, 0]]

  static func run(_ input: [UInt8]) {
    guard let mode = input.first, input.count <= 4 << 10 else { return }
    var image = snapshot.image
    var bytes = image.files["SNAPSHOT"] ?? []
    let rest = Array(input.dropFirst())
    if mode & 1 == 0 {
      for start in stride(from: 0, to: rest.count - 1, by: 2) {
        bytes[Int(rest[start]) % bytes.count] = rest[start + 1]
      }
    } else {
      bytes = Array(bytes.prefix(8)) + rest
    }
    if bytes.count > 8 {
      bytes.store(
        XXH3.hash64(Array(bytes.dropLast(8)).span.rawBytes), 8, at: bytes.count - 8)
    }
    image.files["SNAPSHOT"] = bytes
    guard let disk = try? image.disk() else { fatalError("no disk") }
    let texts = unlessRefused {
      try TestLog.records(
        TestLog.open(disk, environment: SeededEnvironment(seed: 2)) { $0.access = .readOnly })
    }
    if let texts { promise(texts == snapshot.texts, "a list changes no record") }
    let written = unlessRefused {
      let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 3))
      try TestLog.append(log, ["after"])
      try log.close()
      return try TestLog.records(TestLog.open(disk, environment: SeededEnvironment(seed: 4)))
    }
    if let written { promise(written == snapshot.texts + ["after"], "a snapshot is taken up whole") }
  }
}
