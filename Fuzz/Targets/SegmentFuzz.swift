import LogEngine
import ParserTargets
import PlatformIO
import StorageTesting

/// A log of one sound segment or of two, of which one has these bytes for frames.
enum SegmentFuzz {
  private static let largestInput = 64 << 10

  /// An empty log's segment, whose header says that nothing was reserved, so that any length is right.
  private static let empty: [UInt8] = {
    let disk = MemoryFileSystem()
    var image = DiskImage()
    do {
      try TestLog.open(disk).close()
      image = try DiskImage(of: disk)
    } catch { fatalError("\(error)") }
    image.rewriteHeaders("00000001.seg") { for byte in 160..<168 { $0[byte] = 0 } }
    return Array(image.files["00000001.seg"]?.prefix(8192) ?? [])
  }()

  /// Two records of forty bytes and one mark, which making checksums right turns into sound frames.
  static let seeds: [[UInt8]] = [
    [0] + record(40) + record(40) + record(0, kind: 2), [2] + record(40, flags: 1) + record(9),
  ]

  private static func record(_ length: UInt8, kind: UInt8 = 1, flags: UInt8 = 0) -> [UInt8] {
    [0, 0, 0, 0, length] + [UInt8](repeating: 0, count: 23) + [kind, flags, 0, 0]
      + [UInt8](repeating: 7, count: (Int(length) + 7) / 8 * 8)
  }

  static func run(_ input: [UInt8], repairing: Bool) {
    guard let mode = input.first, input.count <= largestInput else { return }
    var image = DiskImage()
    var bytes = empty + input.dropFirst()
    if repairing { Frames.repair(&bytes, keepsIndexes: mode & 2 != 0) }
    image.files["00000001.seg"] = bytes
    guard let disk = try? image.disk(), let copy = try? image.disk() else { fatalError("no disk") }

    let verified = unlessRefused {
      try SegmentedLog.verify(
        at: TestLog.path, application: ApplicationTag(id: 0), fileSystem: disk, check: { _, _ in true })
    }
    let read: [String]? =
      unlessRefused {
        let log = try TestLog.open(disk, environment: SeededEnvironment(seed: 2)) { $0.access = .readOnly }
        let records = try? TestLog.records(log)
        // One by one too: what is lost is an error of its own.
        for offset in 1..<min(log.latestOffset.rawValue, 200) + 1 {
          _ = unlessRefused { try log.withRecord(at: Offset(offset)) { $0.byteCount } }
        }
        return records
      } ?? nil
    promise((try? DiskImage(of: disk)) == image, "reading changes nothing")

    let written: (records: [String], outcome: RecoveryReport.Outcome)? = unlessRefused {
      let log = try TestLog.open(copy, environment: SeededEnvironment(seed: 3)) {
        $0.acceptSuspectTail = mode & 1 != 0
      }
      let records = try TestLog.records(log)
      try TestLog.append(log, ["after"])
      try log.close()
      return (records, log.recovery.outcome)
    }
    guard let written else {
      // A writer refuses only what verifying finds fault with, or a newer format.
      promise(verified.map { !$0.isSound } ?? true, "a sound log can be written to")
      return
    }
    if let read { promise(read == written.records, "a writer finds what a reader finds") }
    if let verified {
      promise(verified.isSound || mode & 1 != 0, "what is damaged is not written to")
      promise(verified.records >= UInt64(written.records.count), "verify sees every record")
    }
    let again = unlessRefused {
      try TestLog.records(try TestLog.open(copy, environment: SeededEnvironment(seed: 4)))
    }
    promise(again == written.records + ["after"], "what was recovered and appended is there again")
  }
}

/// The frames of a segment, made sound.
enum Frames {
  /// Reads the bytes behind the header as frames one after another, whatever they say, with each length cut to what is there,
  /// and makes body checksum, padding and check of each right.
  static func repair(_ bytes: inout [UInt8], keepsIndexes: Bool) {
    let nonce = bytes.span.rawBytes.loadUInt64(at: 128)
    var place = 8192
    var index: UInt32 = 0
    while place + 32 <= bytes.count {
      let rest = bytes.count - place - 32
      let length = min(Int(bytes.span.rawBytes.loadUInt32(at: place + 4) & 0x3FF), rest)
      let padded = (length + 7) & ~7
      guard padded <= rest else { return }
      bytes.store(UInt64(length), 4, at: place + 4)
      for byte in length..<padded { bytes[place + 32 + byte] = 0 }
      let body = Array(bytes[place + 32..<place + 32 + length])
      bytes.store(XXH3.hash64(body.span.rawBytes), 8, at: place + 8)
      // Kinds and flags that mean something, most of the time.
      if bytes[place + 28] > 4 { bytes[place + 28] = bytes[place + 28] % 3 + 1 }
      if !keepsIndexes { bytes.store(UInt64(index), 4, at: place + 24) }
      if bytes[place + 28] == 1 { index &+= 1 }
      let header = Array(bytes[place + 4..<place + 32])
      bytes.store(XXH3.hash64(header.span.rawBytes, seed: nonce ^ UInt64(place)), 4, at: place)
      place += 32 + padded
    }
  }
}
