import PlatformIO

typealias Inode = UInt64

/// What a simulated disk shows and what it holds. A value: a crash is looked at in a copy.
struct DiskState: Sendable {
  static let sectorByteCount = 512
  static let pageByteCount = 4096
  static let root: Inode = 0
  /// Files whose bytes mean nothing: what arrives of them is of no interest, and is not tried.
  static let hints: Set<String> = ["LOCK", "reserve"]

  let profile: SimulatedDisk.Profile
  var directories: [Inode: Directory] = [root: Directory()]
  var files: [Inode: File] = [:]
  var locks: [Inode: ObjectIdentifier] = [:]
  private var nextInode: Inode = 1
  /// Counts changes, so that atoms have an order.
  private(set) var time = 0
  /// Bytes of files that have lost their last name since somebody asked.
  var freed = 0

  init(profile: SimulatedDisk.Profile) { self.profile = profile }

  struct Directory: Sendable {
    var seen: [String: Inode] = [:]
    var stored: [String: Inode] = [:]
    var changes: [Change] = []

    /// Names and what they lead to from then on; all of them change, or none.
    struct Change: Sendable {
      var time: Int
      var entries: [(name: String, inode: Inode?)]
      /// A sync of it failed, so that no later one will see to it.
      var isClean = false
    }
  }

  struct File: Sendable {
    var seen: [UInt8] = []
    var stored: [UInt8] = []
    /// What each sector was since it was last stored.
    var sectors: [Int: Sector] = [:]
    /// The lengths since one was last stored, each with the one before.
    var lengths: [(time: Int, length: Int, before: Int)] = []
    var lengthsAreClean = false
    /// The pages that were written, and not only reserved, be it zeros.
    var written: Set<Int> = []
    var names = 0
    /// Of what is seen, if it was computed since that changed.
    var hash: UInt64?
    var isHint = false

    struct Sector: Sendable {
      var versions: [(time: Int, bytes: [UInt8])] = []
      var isClean = false
    }

    var isSettled: Bool { sectors.isEmpty && lengths.isEmpty }

    func nextData(from position: Int) -> Int? {
      var place = position
      while place < seen.count {
        let page = place / DiskState.pageByteCount
        let end = (page + 1) * DiskState.pageByteCount
        if written.contains(page) || !seen.areZeros(place..<min(end, seen.count)) { return place }
        place = end
      }
      return nil
    }
  }

  // MARK: Names

  func inode(_ path: String) -> Inode? {
    var inode = Self.root
    for part in path.utf8.split(separator: UInt8(ascii: "/"))
    where part.count != 1 || part.first != UInt8(ascii: ".") {
      guard let next = directories[inode]?.seen[String(Substring(part))] else { return nil }
      inode = next
    }
    return inode
  }

  func directory(_ path: String) -> Inode? {
    guard let inode = inode(path), directories[inode] != nil else { return nil }
    return inode
  }

  /// Where a path leads: a name in a directory that exists.
  func place(_ path: String) -> (directory: Inode, name: String)? {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (Self.root, path) }
    guard let directory = directory(String(path[..<slash])) else { return nil }
    return (directory, String(path[path.utf8.index(after: slash)...]))
  }

  func status(_ inode: Inode) -> FileStatus {
    guard let file = files[inode] else {
      return FileStatus(kind: .directory, length: 0, linkCount: 1, identity: .init(device: 0, inode: inode))
    }
    return FileStatus(
      kind: .regular, length: UInt64(file.seen.count), linkCount: UInt64(max(file.names, 0)),
      identity: .init(device: 0, inode: inode))
  }

  mutating func makeDirectory() -> Inode {
    defer { nextInode += 1 }
    directories[nextInode] = Directory()
    return nextInode
  }

  mutating func makeFile(_ bytes: [UInt8]) -> Inode {
    defer { nextInode += 1 }
    files[nextInode] = File(seen: bytes, stored: bytes)
    return nextInode
  }

  mutating func change(_ directory: Inode, _ entries: [(name: String, inode: Inode?)]) {
    time += 1
    for (name, inode) in entries {
      let old = directories[directory]?.seen[name]
      directories[directory]?.seen[name] = inode
      if let inode {
        files[inode]?.names += 1
        if Self.hints.contains(name) { files[inode]?.isHint = true }
      }
      if let old { drop(old) }
    }
    directories[directory]?.changes.append(.init(time: time, entries: entries))
  }

  private mutating func drop(_ inode: Inode) {
    files[inode]?.names -= 1
    if files[inode]?.names == 0 { freed += files[inode]?.seen.count ?? 0 }
  }

  // MARK: Bytes

  mutating func write(_ bytes: ArraySlice<UInt8>, to inode: Inode, at position: Int) {
    time += 1
    let time = time
    modify(inode) { file in
      let end = position + bytes.count
      if file.seen.count < end { file.growAgain(to: end, time) }
      // What is written again takes the length that shows it along, if a failed sync has left that behind.
      if end > file.dirtyLength { file.noteLength(end, time, file.dirtyLength) }
      file.seen.replaceSubrange(position..<end, with: bytes)
      file.touch(position..<end, time)
      for page in position / Self.pageByteCount...(end - 1) / Self.pageByteCount { file.written.insert(page) }
    }
  }

  mutating func setLength(_ length: Int, of inode: Inode) {
    time += 1
    let time = time
    modify(inode) { file in
      if length > file.seen.count {
        file.growAgain(to: length, time)
      } else if length < file.seen.count {
        // Zeros take the rest of its page first, and may arrive without the cut.
        let end = min((length / Self.pageByteCount + 1) * Self.pageByteCount, file.seen.count)
        if !file.seen.areZeros(length..<end) {
          file.seen.replaceSubrange(length..<end, with: repeatElement(0, count: end - length))
          file.touch(length..<end, time)
        }
        file.seen.removeLast(file.seen.count - length)
        file.noteLength(length, time, length)
        file.written = file.written.filter { $0 * Self.pageByteCount < length }
      }
    }
  }

  private mutating func modify(_ inode: Inode, _ body: (inout File) -> Void) {
    // Out of the dictionary meanwhile, so that the bytes are changed where they are.
    guard var file = files.removeValue(forKey: inode) else { return }
    file.hash = nil
    body(&file)
    files[inode] = file
  }

  // MARK: Making durable

  mutating func sync(_ inode: Inode, fails: Bool) {
    let fails = fails || profile == .lyingSync
    modify(inode) { fails ? $0.clean() : $0.settle() }
    if profile == .orderedJournal, !fails { commitJournal() }
  }

  mutating func syncDirectory(_ inode: Inode) {
    if profile == .lyingSync {
      guard var directory = directories[inode] else { return }
      for place in directory.changes.indices { directory.changes[place].isClean = true }
      directories[inode] = directory
    } else if profile == .orderedJournal {
      commitJournal()
    } else {
      directories[inode]?.settle()
    }
  }

  /// All names and lengths become durable, and the data that the lengths show.
  private mutating func commitJournal() {
    for inode in directories.keys { directories[inode]?.settle() }
    for inode in files.keys where files[inode]?.lengths.isEmpty == false {
      modify(inode) { $0.settleLength() }
    }
  }

  /// As if the disk had been left alone for long.
  mutating func settleAll() {
    for inode in directories.keys {
      guard var directory = directories[inode] else { continue }
      directory.stored = directory.seen
      directory.changes = []
      directories[inode] = directory
    }
    for inode in files.keys {
      modify(inode) { file in
        file.stored = file.seen
        file.sectors = [:]
        file.lengths = []
      }
    }
  }
}

extension DiskState.Directory {
  mutating func settle() {
    for change in changes where !change.isClean { change.apply(to: &stored) }
    changes.removeAll { !$0.isClean }
  }
}

extension DiskState.Directory.Change {
  func apply(to names: inout [String: Inode]) {
    for (name, inode) in entries { names[name] = inode }
  }
}

extension DiskState.File {
  /// The length that the next sync makes durable.
  var dirtyLength: Int { lengthsAreClean ? stored.count : lengths.last?.length ?? stored.count }

  mutating func grow(to length: Int, _ time: Int) {
    let before = seen.count
    seen += [UInt8](repeating: 0, count: length - seen.count)
    noteLength(length, time, before)
  }

  /// What a cut file grows again by reads as zeros until something else arrives, whatever was stored there, or was to be.
  mutating func growAgain(to length: Int, _ time: Int) {
    let old = seen.count
    grow(to: length, time)
    let dirtyEnd = ((sectors.keys.max() ?? -1) + 1) * DiskState.sectorByteCount
    let end = min(length, max(stored.count, dirtyEnd))
    if old < end { touch(old..<end, time) }
  }

  mutating func noteLength(_ length: Int, _ time: Int, _ before: Int) {
    lengths.append((time, length, before))
    lengthsAreClean = false
  }

  /// The lengths between those that were, at which a file may stop that grows sector by sector.
  var steps: [(first: Int, count: Int)] {
    let size = DiskState.sectorByteCount
    return lengths.map { change in
      let first = change.before / size + 1
      return (first * size, max(0, (change.length - 1) / size - first + 1))
    }
  }

  /// One of them.
  func step(_ number: Int) -> Int? {
    var number = number
    for (first, count) in steps {
      if number < count { return first + number * DiskState.sectorByteCount }
      number -= count
    }
    return nil
  }

  /// Notes what the sectors of a range are now.
  mutating func touch(_ range: Range<Int>, _ time: Int) {
    guard !range.isEmpty else { return }
    let size = DiskState.sectorByteCount
    for number in range.lowerBound / size...(range.upperBound - 1) / size {
      let bytes = Array(seen[number * size..<min((number + 1) * size, seen.count)])
      var sector = sectors[number] ?? Sector()
      sector.versions.append((time, bytes))
      sector.isClean = false
      sectors[number] = sector
    }
  }

  /// A sync: what is dirty becomes durable; what a failed one left clean stays as it is.
  mutating func settle() {
    settleLength()
    for (number, sector) in sectors where !sector.isClean {
      if let last = sector.versions.last { store(last.bytes, number) }
      sectors[number] = nil
    }
  }

  /// The length, and the data behind the length that was stored.
  mutating func settleLength() {
    guard !lengthsAreClean, let length = lengths.last?.length else { return }
    let old = stored.count
    resizeStored(length)
    lengths = []
    for (number, sector) in sectors
    where !sector.isClean && (number + 1) * DiskState.sectorByteCount > old {
      if let last = sector.versions.last { store(last.bytes, number) }
      sectors[number] = nil
    }
  }

  mutating func clean() {
    lengthsAreClean = !lengths.isEmpty
    for number in sectors.keys { sectors[number]?.isClean = true }
  }

  private mutating func resizeStored(_ length: Int) {
    if stored.count > length {
      stored.removeLast(stored.count - length)
    } else {
      stored += [UInt8](repeating: 0, count: length - stored.count)
    }
  }

  private mutating func store(_ bytes: [UInt8], _ sector: Int) {
    let start = sector * DiskState.sectorByteCount
    let end = min(start + bytes.count, stored.count)
    if start < end { stored.replaceSubrange(start..<end, with: bytes[..<(end - start)]) }
  }
}

extension [UInt8] {
  /// Is there nothing but zeros?
  func areZeros(_ range: Range<Int>) -> Bool {
    unsafe withUnsafeBytes { bytes in
      var place = range.lowerBound
      while place + 8 <= range.upperBound {
        if unsafe bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self) != 0 { return false }
        place += 8
      }
      while place < range.upperBound {
        if unsafe bytes[place] != 0 { return false }
        place += 1
      }
      return true
    }
  }
}
