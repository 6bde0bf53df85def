internal import LogEngine
import PlatformIO

/// All that a power cut may leave of a simulated disk at one moment: a list of atoms, each of which arrived in one of several
/// alternatives. A choice has a number for each; 0 is what was stored before.
package struct CrashStates: Sendable {
  package typealias Choice = [UInt16]

  enum Atom: Sendable {
    /// One of a directory's changes.
    case change(Inode, Int)
    /// How many of the changes of names and lengths an ordered journal has committed.
    case journal([Int])
    /// Alternatives above the lengths are those between, where growing stopped.
    case length(Inode)
    /// What stands where nothing was stored: zeros, or stale bytes.
    case tail(Inode)
    /// Alternatives above the versions are the last one torn: its first so many times eight bytes.
    case sector(Inode, Int)
  }

  /// A kind of state that a run must have met to mean something.
  package enum Kind: String, CaseIterable, Sendable {
    /// A sector arrived in part.
    case torn
    /// A later sector of a file arrived, and an earlier one did not.
    case holed
    /// A file is as long as it was made, and its end did not arrive.
    case zeroTailed
    /// The same with somebody else's old bytes.
    case staleTailed
    /// A file grew, but not as far as it was to.
    case partlyGrown
    /// A name was changed, and is not.
    case missingEntry
  }

  let state: DiskState
  let atoms: [Atom]
  /// How many alternatives each atom has, but for those that are in part.
  let alternatives: [UInt16]

  init(_ state: DiskState) {
    var state = state
    state.prepareForCrashes()
    self.state = state
    var found: [(time: Int, atom: Atom, alternatives: Int)] = []
    var journal: [Int] = []
    let isOrdered = state.profile == .orderedJournal
    for (inode, directory) in state.directories {
      for (place, change) in directory.changes.enumerated() {
        if isOrdered, !change.isClean {
          journal.append(change.time)
        } else {
          found.append((change.time, .change(inode, place), 2))
        }
      }
    }
    for (inode, file) in state.files where !file.isSettled {
      if let last = file.lengths.last {
        if isOrdered, !file.lengthsAreClean {
          journal += file.lengths.map(\.time)
        } else {
          found.append((last.time, .length(inode), file.lengths.count + 1))
          if last.length > file.stored.count { found.append((last.time, .tail(inode), 2)) }
        }
      }
      for (number, sector) in file.sectors {
        found.append((sector.versions.last?.time ?? 0, .sector(inode, number), sector.versions.count + 1))
      }
    }
    if !journal.isEmpty {
      journal.sort()
      found.append((journal[journal.count - 1], .journal(journal), journal.count + 1))
    }
    // Dictionaries have no order; of one time, lower places come first.
    found.sort { $0.time != $1.time ? $0.time < $1.time : Self.rank($0.atom) < Self.rank($1.atom) }
    atoms = found.map(\.atom)
    alternatives = found.map { UInt16(clamping: $0.alternatives) }
  }

  private static func rank(_ atom: Atom) -> UInt64 {
    switch atom {
    case .journal: 0
    case .change(let inode, let place): 1 << 60 | inode << 24 | UInt64(place)
    case .length(let inode): 2 << 60 | inode
    case .tail(let inode): 3 << 60 | inode
    case .sector(let inode, let number): 4 << 60 | inode << 24 | UInt64(number)
    }
  }

  // MARK: Choosing

  package var nothingArrived: Choice { Choice(repeating: 0, count: atoms.count) }
  package var everythingArrived: Choice {
    zip(atoms, alternatives).map { atom, count in if case .tail = atom { 0 } else { count - 1 } }
  }

  /// How many choices there are in which all is whole, as far as `limit`.
  private func choiceCount(limit: Int) -> Int {
    var count = 1
    for alternative in alternatives {
      count *= Int(alternative)
      if count > limit { return limit + 1 }
    }
    return count
  }

  /// All choices if they are at most `limit`. Otherwise nothing, everything, prefixes, single atoms, all atoms but one, and
  /// random ones up to the limit. And about a quarter more in which one arrives in part.
  package func forEachChoice(
    limit: Int, _ numbers: inout SeededGenerator, _ body: (Choice) throws -> Void
  ) rethrows {
    let all = everythingArrived
    if choiceCount(limit: limit) <= limit {
      var choice = nothingArrived
      repeat { try body(choice) } while advance(&choice)
    } else {
      var left = limit
      func offer(_ choice: Choice) throws {
        guard left > 0 else { return }
        left -= 1
        try body(choice)
      }
      try offer(nothingArrived)
      try offer(all)
      // Where there are too many, some of each form.
      let stride = max(1, (3 * atoms.count + limit - 1) / max(1, limit * 3 / 4))
      let start = Int.random(in: 0..<stride, using: &numbers)
      for place in Swift.stride(from: start, to: atoms.count, by: stride) {
        try offer(Choice(all[...place]) + Choice(repeating: 0, count: atoms.count - place - 1))
        var one = nothingArrived
        one[place] = alternatives[place] - 1
        try offer(one)
        var others = all
        others[place] = UInt16.random(in: 0..<alternatives[place], using: &numbers)
        if others[place] == all[place] { others[place] = 0 }
        try offer(others)
      }
      while left > 0 { try offer(random(&numbers)) }
    }
    let divisible = atoms.indices.filter { partCount($0) > 0 }
    guard !divisible.isEmpty else { return }
    for attempt in 0..<max(1, min(limit / 4, divisible.count * 8)) {
      // The newest more often than the others.
      let place = divisible[
        divisible.count - 1
          - min(
            Int.random(in: 0..<divisible.count, using: &numbers),
            Int.random(in: 0..<divisible.count, using: &numbers))]
      var choice =
        switch attempt % 3 {
        case 0: all
        case 1: Choice(all[..<place]) + Choice(repeating: 0, count: atoms.count - place)
        default: random(&numbers)
        }
      choice[place] = part(place, &numbers)
      try body(choice)
    }
  }

  /// In how many ways an atom may arrive in part.
  private func partCount(_ place: Int) -> Int {
    switch atoms[place] {
    case .sector: DiskState.sectorByteCount / 8 - 1
    case .length(let inode):
      min(state.files[inode]?.steps.reduce(0) { $0 + $1.count } ?? 0, Int(UInt16.max - alternatives[place]))
    default: 0
    }
  }

  private func part(_ place: Int, _ numbers: inout SeededGenerator) -> UInt16 {
    alternatives[place] + UInt16(Int.random(in: 0..<partCount(place), using: &numbers))
  }

  /// Any choice, of any share of what there is, torn in places.
  package func random(_ numbers: inout SeededGenerator) -> Choice {
    let share = UInt64.random(in: 0..<4, using: &numbers)
    return atoms.indices.map { place in
      let count = alternatives[place]
      // Nothing but new, mostly new, half and half, or mostly old.
      let isNew = UInt64.random(in: 0..<10, using: &numbers) < [10, 9, 5, 1][Int(share)]
      guard isNew else { return 0 }
      if case .tail = atoms[place] { return UInt16.random(in: 0...1, using: &numbers) }
      if UInt64.random(in: 0..<12, using: &numbers) == 0, partCount(place) > 0 {
        return part(place, &numbers)
      }
      if case .journal = atoms[place] { return UInt16.random(in: 0..<count, using: &numbers) }
      return UInt64.random(in: 0..<4, using: &numbers) == 0
        ? UInt16.random(in: 1..<count, using: &numbers) : count - 1
    }
  }

  func withoutStaleTails(_ choice: Choice) -> Choice {
    zip(atoms, choice).map { atom, alternative in if case .tail = atom { 0 } else { alternative } }
  }

  /// The next choice, counting up; false after the last.
  private func advance(_ choice: inout Choice) -> Bool {
    for place in choice.indices {
      choice[place] += 1
      if choice[place] < alternatives[place] { return true }
      choice[place] = 0
    }
    return false
  }

  // MARK: What a choice comes to

  /// The disk once the power is back.
  package func disk(_ choice: Choice) -> SimulatedDisk { SimulatedDisk(arrived(choice)) }

  func arrived(_ choice: Choice) -> DiskState {
    var changes: [Inode: [Bool]] = [:]
    var lengths: [Inode: Int] = [:]
    var sectors: [Inode: [(number: Int, alternative: Int)]] = [:]
    var stale: Set<Inode> = []
    var committed: Int?
    for (atom, alternative) in zip(atoms, choice) {
      switch atom {
      case .change(let inode, let place):
        if changes[inode] == nil {
          changes[inode] = Array(repeating: false, count: state.directories[inode]?.changes.count ?? 0)
        }
        changes[inode]?[place] = alternative > 0
      case .journal(let times): committed = alternative == 0 ? -1 : times[Int(alternative) - 1]
      case .length(let inode): lengths[inode] = Int(alternative)
      case .tail(let inode): if alternative > 0 { stale.insert(inode) }
      case .sector(let inode, let number): sectors[inode, default: []].append((number, Int(alternative)))
      }
    }
    var result = state
    result.locks = [:]
    for (inode, directory) in state.directories {
      var directory = directory
      for (place, change) in directory.changes.enumerated() {
        let hasArrived = changes[inode]?[place] ?? (change.time <= committed ?? -1)
        if hasArrived { change.apply(to: &directory.stored) }
      }
      directory.changes = []
      directory.seen = directory.stored
      result.directories[inode] = directory
    }
    for (inode, file) in state.files where !file.isSettled {
      var file = file
      var length = lengths[inode] ?? 0
      var dataTime = -1
      if let committed, lengths[inode] == nil {
        length = file.lengths.count { $0.time <= committed }
        // Ordered: what the length shows was written before it.
        if length > 0 { dataTime = committed }
      }
      let wanted =
        length == 0
        ? file.stored.count
        : length <= file.lengths.count
          ? file.lengths[length - 1].length : file.step(length - file.lengths.count - 1) ?? file.stored.count
      var bytes = file.stored
      let stored = bytes.count
      if bytes.count < wanted {
        bytes +=
          stale.contains(inode)
          ? staleBytes(stored..<wanted, not: inode) : [UInt8](repeating: 0, count: wanted - stored)
      }
      for (number, alternative) in sectors[inode] ?? [] {
        guard let versions = file.sectors[number]?.versions else { continue }
        var alternative = alternative
        if dataTime >= 0, (number + 1) * DiskState.sectorByteCount > stored {
          alternative = max(min(alternative, versions.count), versions.count { $0.time <= dataTime })
        }
        guard alternative > 0 else { continue }
        let isTorn = alternative > versions.count
        let version = versions[min(alternative, versions.count) - 1].bytes
        let start = number * DiskState.sectorByteCount
        let count = isTorn ? min((alternative - versions.count) * 8, version.count) : version.count
        let end = min(start + count, bytes.count)
        if start < end { bytes.replaceSubrange(start..<end, with: version[..<(end - start)]) }
      }
      if bytes.count > wanted { bytes.removeLast(bytes.count - wanted) }
      file.stored = bytes
      file.seen = bytes
      file.sectors = [:]
      file.lengths = []
      file.written = []
      file.hash = nil
      result.files[inode] = file
    }
    result.dropUnreachable()
    return result
  }

  /// What may stand in blocks that were another file's: the worst is what looks like its records.
  private func staleBytes(_ range: Range<Int>, not inode: Inode) -> [UInt8] {
    let other = state.files.filter { $0.key != inode && $0.value.stored.count >= range.upperBound }
      .min { $0.key < $1.key }?.value.stored
    return other.map { Array($0[range]) } ?? range.map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }
  }

  /// What a choice shows of the ways in which writes arrive.
  package func kinds(_ choice: Choice) -> Set<Kind> {
    var kinds: Set<Kind> = []
    var oldSectors: [Inode: Int] = [:]
    var newSectors: [Inode: Int] = [:]
    var lengths: [Inode: Int] = [:]
    for (place, atom) in atoms.enumerated() {
      switch atom {
      case .change: if choice[place] == 0 { kinds.insert(.missingEntry) }
      case .journal: if choice[place] + 1 < alternatives[place] { kinds.insert(.missingEntry) }
      case .length(let inode):
        lengths[inode] = Int(choice[place])
        if choice[place] >= alternatives[place] { kinds.insert(.partlyGrown) }
      case .tail(let inode): if choice[place] > 0, lengths[inode] ?? 0 > 0 { kinds.insert(.staleTailed) }
      case .sector(let inode, let number):
        if choice[place] == 0 {
          oldSectors[inode] = min(oldSectors[inode] ?? .max, number)
        } else {
          newSectors[inode] = max(newSectors[inode] ?? -1, number)
          if choice[place] >= alternatives[place] { kinds.insert(.torn) }
        }
      }
    }
    for (inode, old) in oldSectors {
      if newSectors[inode] ?? -1 > old { kinds.insert(.holed) }
      let isLonger = (lengths[inode] ?? 0) > 0 || state.files[inode]?.lengths.isEmpty == true
      if isLonger, newSectors[inode] ?? -1 < old { kinds.insert(.zeroTailed) }
    }
    return kinds
  }

  /// The atoms that a choice leaves out, or lets arrive in part, for people.
  package func describe(_ choice: Choice) -> String {
    var lines: [String] = []
    let all = everythingArrived
    for (place, atom) in atoms.enumerated() where choice[place] != all[place] {
      let last = alternatives[place] - 1
      let word =
        choice[place] > last
        ? "in part, \(choice[place] - last)"
        : choice[place] == 0 ? "not there" : "\(choice[place]) of \(last)"
      switch atom {
      case .change(let inode, let index):
        let entries = state.directories[inode]?.changes[index].entries ?? []
        let names = entries.map { "\($0.name) \($0.inode.map { "is \(name($0))" } ?? "goes")" }
        lines.append("that \(names.joined(separator: " and ")): \(word)")
      case .journal: lines.append("changes in the journal: \(word)")
      case .length(let inode): lines.append("length of \(name(inode)): \(word)")
      case .tail(let inode): lines.append("tail of \(name(inode)): stale")
      case .sector(let inode, let number): lines.append("sector \(number) of \(name(inode)): \(word)")
      }
    }
    lines.append("and \(atoms.count - lines.count) more that arrived")
    return lines.joined(separator: "\n  ")
  }

  private func name(_ inode: Inode) -> String {
    for directory in state.directories.values {
      if let name = directory.seen.first(where: { $0.value == inode })?.key { return name }
    }
    return "inode \(inode)"
  }
}

extension SimulatedDisk {
  /// What a power cut at this moment may leave.
  package func crashStates() -> CrashStates { CrashStates(state.withLock { $0 }) }

  /// What stands on the disk when the power is back, one of many possibilities; without stale bytes, since FORMAT.md assumes a
  /// file system that shows none.
  package func afterPowerCut(_ generator: inout SeededGenerator) -> SimulatedDisk {
    let states = crashStates()
    return states.disk(states.withoutStaleTails(states.random(&generator)))
  }

  /// A disk to which nothing came that was not synced.
  package func afterWorstPowerCut() -> SimulatedDisk {
    let states = crashStates()
    return states.disk(states.nothingArrived)
  }

  /// A hash of what is seen: names, links and bytes, but for those of hints.
  package var digest: UInt64 { state.withLock { $0.digest } }
}
