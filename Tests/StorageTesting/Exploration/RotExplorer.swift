internal import LogEngine
internal import PlatformIO

/// Damages logs at rest: flipped bits, and sectors that are zeros, stale, or another place's. Nothing wrong is ever returned, and
/// of a log that was closed nothing is missing without a word.
///
/// One thread's.
package final class RotExplorer {
  package private(set) var flips = 0
  package private(set) var sectors = 0
  package private(set) var refused = 0
  package private(set) var intact = 0
  /// Damage that looks like a tear, and was reported as one. FORMAT.md, "What cannot be decided".
  package private(set) var takenForTears = 0

  private var numbers: SeededGenerator
  private var mayLookTorn = false

  package init(seed: UInt64) { numbers = SeededGenerator(seed: seed) }

  /// Damages what the steps leave, after a close: every sector in every way, and so many bits.
  package func explore(_ steps: [LogStep], flips: Int) throws {
    let disk = SimulatedDisk()
    let story = LogStory(on: disk, policy: .always, seed: 1)
    try story.open()
    var history: [DiskImage] = []
    for step in steps + [.reopen] {
      history.append(try DiskImage(of: disk))
      try story.perform(step)
    }
    guard let model = story.known[TestLog.path]?.last.flatMap({ $0 }) else { return }
    let image = try DiskImage(of: disk)
    // The seal and the last records may be in one sector, and nothing else then speaks of them.
    mayLookTorn = FormatOracle(image).map { $0.isSealed && $0.hasGrown } ?? false
    for name in image.files.keys.sorted() {
      try damageSectors(of: name, image, history, model, "\(steps)")
    }
    for _ in 0..<flips {
      guard let name = image.files.keys.sorted().randomElement(using: &numbers),
        let count = image.files[name]?.count,
        count > 0
      else { continue }
      var damaged = image
      // Mostly where something stands.
      let used = (image.files[name]?.lastIndex { $0 != 0 } ?? 0) + 1
      let start = UInt64.random(in: 0..<4, using: &numbers) == 0 ? 0 : min(8192, used - 1)
      let byte = Int.random(in: start..<max(used, start + 1), using: &numbers)
      let bit = Int.random(in: 0..<8, using: &numbers)
      damaged.flip(name, byte: byte, bit: bit)
      self.flips += 1
      try check(damaged, model, "\(steps): \(name) byte \(byte) bit \(bit)")
    }
  }

  private func damageSectors(
    of name: String, _ image: DiskImage, _ history: [DiskImage], _ model: LogModel, _ steps: String
  ) throws {
    guard let bytes = image.files[name] else { return }
    let size = DiskState.sectorByteCount
    let last = bytes.lastIndex { $0 != 0 } ?? 0
    for start in stride(from: 0, through: last, by: size) {
      let range = start..<min(start + size, bytes.count)
      func sector(_ other: [UInt8]?, _ from: Int) -> [UInt8]? {
        guard let other, from >= 0, from + range.count <= other.count else { return nil }
        return Array(other[from..<from + range.count])
      }
      var contents: [(String, [UInt8]?)] = [
        ("zeros", [UInt8](repeating: 0, count: range.count)),
        ("the sector before", sector(bytes, start - size)),
        ("the sector behind", sector(bytes, start + size)),
        ("any sector", sector(bytes, Int.random(in: 0...last / size, using: &numbers) * size)),
      ]
      for other in image.files.keys.sorted() where other != name {
        contents.append(("\(other)'s", sector(image.files[other], start)))
      }
      for (age, old) in history.enumerated() {
        contents.append(("stale from step \(age)", sector(old.files[name], start)))
      }
      for (what, content) in contents {
        guard let content, content != Array(bytes[range]) else { continue }
        var damaged = image
        damaged.overwrite(name, at: start, with: content)
        sectors += 1
        try check(damaged, model, "\(steps): \(name) bytes \(range) are \(what)")
      }
    }
  }

  private func check(_ image: DiskImage, _ model: LogModel, _ what: String) throws {
    let disk = try image.disk()
    do {
      let index = TextIndex()
      let log = try TestLog.open(disk, index: index) { $0.creation = .mustExist }
      let found = try FoundLog(log)
      if let reason = model.mismatch(found) {
        if mayLookTorn, log.recovery.outcome == .torn, model.mismatch(found, onHonestDisk: false) == nil {
          takenForTears += 1
          return
        }
        throw BrokenPromise(description: "\(what): opened, but \(reason)")
      }
      guard index.holds(found) else { throw BrokenPromise(description: "\(what): its index is another") }
      if FormatOracle(image)?.mustRefuse == true {
        throw BrokenPromise(description: "\(what): durable records are damaged, and it was opened")
      }
      intact += 1
    } catch is LogError {
      refused += 1
      try UntrustedReading.check(disk, model, what)
    }
  }
}

/// What a log that a writer refuses gives to a reader.
enum UntrustedReading {
  /// Either nothing, or records as they were written.
  static func check(_ disk: any FileSystem, _ model: LogModel, _ what: String, at path: String = TestLog.path)
    throws
  {
    do {
      let log = try TestLog.open(disk, at: path) { $0.access = .readOnly }
      var wrong: Offset?
      try log.forEachRecord(from: 1) { offset, record in
        if !model.mayHold(TestLog.text(record), at: offset) { wrong = offset }
        return true
      }
      if let wrong { throw BrokenPromise(description: "\(what): reading returns a wrong record at \(wrong)") }
    } catch is LogError {}
  }
}
