internal import PlatformIO

/// Holds real disks against the simulated one: what a real power cut left must be a state that this one can produce.
extension CrashStates {
  /// nil if a cut may leave a directory so; otherwise what it cannot have come by. Hints are passed over.
  package func mismatch(_ found: DiskImage, directory path: String) -> String? {
    guard let inode = state.directory(path), let directory = state.directories[inode] else {
      return "there is no \(path)"
    }
    let files = found.files.filter { !DiskState.hints.contains($0.key) }
    var reason = "no combination of what was not synced has these names: \(files.keys.sorted())"
    var contents: [Inode: [String: String?]] = [:]
    for names in possibleNames(directory) where Set(names.keys) == Set(files.keys) {
      var wrong: String?
      for (name, bytes) in files where wrong == nil {
        guard let inode = names[name], let file = state.files[inode] else { continue }
        if contents[inode]?[name] == nil { contents[inode, default: [:]][name] = Self.mismatch(bytes, file) }
        if let why = contents[inode]?[name] ?? nil { wrong = "\(name): \(why)" }
      }
      guard let wrong else { return nil }
      reason = wrong
    }
    return reason
  }

  /// What a directory may hold after a cut, hints apart.
  private func possibleNames(_ directory: DiskState.Directory) -> [[String: Inode]] {
    var all: Set<[String: Inode]> = [directory.stored]
    for change in directory.changes {
      // With so many there is no end; a real workload syncs before.
      guard all.count < 1 << 16 else { break }
      for names in all {
        var changed = names
        change.apply(to: &changed)
        all.insert(changed)
      }
    }
    return Set(all.map { names in names.filter { !DiskState.hints.contains($0.key) } }).sorted {
      $0.count < $1.count
    }
  }

  private static func mismatch(_ bytes: [UInt8], _ file: DiskState.File) -> String? {
    guard bytes.count == file.stored.count || file.lengths.contains(where: { $0.length == bytes.count })
    else {
      return "its length \(bytes.count) is none of \([file.stored.count] + file.lengths.map(\.length))"
    }
    let size = DiskState.sectorByteCount
    for start in stride(from: 0, to: bytes.count, by: size) {
      let sector = Array(bytes[start..<min(start + size, bytes.count)])
      if !explains(sector, start, file) { return "what stands at \(start) was never there" }
    }
    return nil
  }

  private static func explains(_ found: [UInt8], _ start: Int, _ file: DiskState.File) -> Bool {
    // Stored before, or zeros where nothing was. Not stale bytes: a real disk that shows those is worth a word.
    var old = Array(file.stored.dropFirst(start).prefix(found.count))
    old += [UInt8](repeating: 0, count: found.count - old.count)
    if found == old { return true }
    for version in file.sectors[start / DiskState.sectorByteCount]?.versions ?? [] {
      var new = Array(version.bytes.prefix(found.count))
      new += old[new.count...]
      if found == new { return true }
      // In part: the beginning of the new, and then the old.
      let same = zip(found, new).prefix { $0 == $1 }.count / 8 * 8
      if found[same...] == old[same...] { return true }
    }
    return false
  }
}
