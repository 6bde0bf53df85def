internal import PlatformIO

/// Holds real disks against the simulated one: what a real power cut left must be a state that this one can produce.
extension CrashStates {
  /// nil if a cut may leave a directory so; otherwise what it cannot have come by. Hints are passed over.
  package func mismatch(_ found: DiskImage, directory path: String) -> String? {
    guard let inode = state.directory(path) else { return "there is no \(path)" }
    var explanation = Explanation(state)
    return explanation.mismatch(found, inode)
  }

  /// The same of a directory that holds directories, which are there or not as its names were synced or not.
  package func mismatch(_ found: [String: DiskImage], parent path: String) -> String? {
    guard let inode = state.directory(path) else { return "there is no \(path)" }
    var explanation = Explanation(state)
    return explanation.mismatch(found, inode)
  }
}

private struct Explanation {
  let state: DiskState
  /// What was found out already: what is found under a name may be tried with many combinations of names.
  private var directories: [Inode: [String: String?]] = [:]
  private var files: [Inode: [String: String?]] = [:]

  init(_ state: DiskState) { self.state = state }

  mutating func mismatch(_ found: [String: DiskImage], _ inode: Inode) -> String? {
    mismatch(names: Set(found.keys), inode) { explanation, name, inode in
      if let known = explanation.directories[inode]?[name] { return known }
      let why = found[name].flatMap { explanation.mismatch($0, inode) }.map { "\(name)/\($0)" }
      explanation.directories[inode, default: [:]][name] = .some(why)
      return why
    }
  }

  mutating func mismatch(_ found: DiskImage, _ inode: Inode) -> String? {
    files = [:]
    return mismatch(names: Set(found.files.keys).subtracting(DiskState.hints), inode) {
      explanation, name, inode in
      if let known = explanation.files[inode]?[name] { return known }
      let why: String?
      if let file = explanation.state.files[inode], let bytes = found.files[name] {
        why = file.mismatch(bytes).map { "\(name): \($0)" }
      } else {
        why = "\(name): this was a directory"
      }
      explanation.files[inode, default: [:]][name] = .some(why)
      return why
    }
  }

  /// Looks for names that a cut may leave, and whose content is explained as well. Changes without a name in common have
  /// nothing to do with each other, so that each group of them is looked at by itself.
  private mutating func mismatch(
    names found: Set<String>, _ inode: Inode,
    content: (inout Self, _ name: String, Inode) -> String?
  ) -> String? {
    guard let directory = state.directories[inode] else { return "this was a file" }
    for (names, changes) in directory.groups(found) {
      let wanted = found.intersection(names)
      guard let all = directory.outcomes(names, changes) else {
        return "too much was not synced of \(names.sorted())"
      }
      var reason: String? =
        "of \(names.sorted()) are there \(wanted.sorted()), which no combination of \(changes.count) changes gives"
      for outcome in all where Set(outcome.keys) == wanted {
        reason = nil
        for (name, inode) in outcome where reason == nil { reason = content(&self, name, inode) }
        if reason == nil { break }
      }
      if let reason { return reason }
    }
    return nil
  }
}

extension DiskState.Directory {
  /// The changes that are not durable, by the names that they share; names that do not change stand for themselves.
  fileprivate func groups(_ found: Set<String>) -> [(names: Set<String>, changes: [Change])] {
    var groups: [(names: Set<String>, changes: [Change])] = []
    for change in changes {
      var joined = (names: Set(change.entries.map(\.name)), changes: [Change]())
      for group in groups where !group.names.isDisjoint(with: joined.names) {
        joined.names.formUnion(group.names)
        joined.changes += group.changes
      }
      groups.removeAll { !$0.names.isDisjoint(with: joined.names) }
      joined.changes.append(change)
      joined.changes.sort { $0.time < $1.time }
      groups.append(joined)
    }
    let rest = found.union(stored.keys).subtracting(groups.flatMap(\.names))
    groups += rest.map { ([$0], []) }
    return groups.compactMap { group in
      let names = group.names.subtracting(DiskState.hints)
      return names.isEmpty ? nil : (names, group.changes)
    }.sorted { $0.names.min() ?? "" < $1.names.min() ?? "" }
  }

  /// What names may lead to, everything having arrived last; nil if there is no end of it.
  fileprivate func outcomes(_ names: Set<String>, _ changes: [Change]) -> [[String: Inode]]? {
    var all = [stored.filter { names.contains($0.key) }]
    var known = Set(all)
    for change in changes {
      guard all.count < 1 << 14 else { return nil }
      for outcome in all {
        var changed = outcome
        change.apply(to: &changed)
        changed = changed.filter { names.contains($0.key) }
        if known.insert(changed).inserted { all.append(changed) }
      }
    }
    return all
  }
}

extension DiskState.File {
  fileprivate func mismatch(_ bytes: [UInt8]) -> String? {
    let size = DiskState.sectorByteCount
    guard
      bytes.count == stored.count || lengths.contains(where: { $0.length == bytes.count })
        || bytes.count % size == 0
          && lengths.contains(where: { ($0.before..<$0.length).contains(bytes.count) })
    else {
      return "its length \(bytes.count) is none of \([stored.count] + lengths.map(\.length))"
    }
    for start in stride(from: 0, to: bytes.count, by: size) {
      let sector = bytes[start..<min(start + size, bytes.count)]
      if !explains(sector) { return describe(sector) }
    }
    return nil
  }

  /// Stored before, or zeros where nothing was. Not stale bytes: a real disk that shows those is worth a word.
  private func before(_ range: Range<Int>) -> [UInt8] {
    let old = stored[min(range.lowerBound, stored.count)..<min(range.upperBound, stored.count)]
    return old + [UInt8](repeating: 0, count: range.count - old.count)
  }

  private func explains(_ found: ArraySlice<UInt8>) -> Bool {
    let old = before(found.indices)
    if found.elementsEqual(old) { return true }
    for version in sectors[found.startIndex / DiskState.sectorByteCount]?.versions ?? [] {
      var new = Array(version.bytes.prefix(found.count))
      new += old[new.count...]
      if found.elementsEqual(new) { return true }
      // In part: the beginning of the new, and then the old.
      let same = zip(found, new).prefix { $0 == $1 }.count / 8 * 8
      if found.dropFirst(same).elementsEqual(old[same...]) { return true }
    }
    return false
  }

  private func describe(_ found: ArraySlice<UInt8>) -> String {
    let versions = sectors[found.startIndex / DiskState.sectorByteCount]?.versions ?? []
    let last = versions.last.map { Array($0.bytes.prefix(found.count)) } ?? before(found.indices)
    let place = found.startIndex + zip(found, last).prefix { $0 == $1 }.count
    func hex(_ bytes: ArraySlice<UInt8>) -> String {
      bytes.prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    }
    return
      "at \(place) stands \(hex(found[place...])), in a sector that was never so; written last of \(versions.count)"
      + " times was \(hex(last[min(place - found.startIndex, last.count)...]))"
  }
}
