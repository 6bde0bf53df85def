internal import LogEngine

extension DiskState {
  /// Does once what would have to be done for each state.
  mutating func prepareForCrashes() {
    for (inode, file) in files {
      if file.isHint, !file.isSettled {
        var file = file
        file.stored = file.seen
        file.sectors = [:]
        file.lengths = []
        files[inode] = file
      } else if file.isSettled, !file.isHint, file.hash == nil {
        files[inode]?.hash = XXH3.hash64(file.seen.span.rawBytes)
        files[inode]?.written = []
      }
    }
  }

  mutating func dropUnreachable() {
    var names: [Inode: Int] = [:]
    var reached: Set<Inode> = [Self.root]
    var waiting = [Self.root]
    while let directory = waiting.popLast() {
      for inode in (directories[directory]?.seen ?? [:]).values {
        if directories[inode] != nil {
          if reached.insert(inode).inserted { waiting.append(inode) }
        } else {
          names[inode, default: 0] += 1
        }
      }
    }
    for inode in files.keys {
      if let count = names[inode] {
        if files[inode]?.names != count { files[inode]?.names = count }
      } else {
        files[inode] = nil
      }
    }
    for inode in directories.keys where !reached.contains(inode) { directories[inode] = nil }
  }

  var digest: UInt64 { digest(of: Self.root, 0) }

  private func digest(of directory: Inode, _ seed: UInt64) -> UInt64 {
    var hash = seed
    for (name, inode) in (directories[directory]?.seen ?? [:]).sorted(by: { $0.key < $1.key }) {
      hash = XXH3.hash64(name.utf8Span.span.rawBytes, seed: hash)
      if let file = files[inode] {
        hash = hash &* 31 &+ UInt64(file.names)
        if !file.isHint {
          hash = (hash ^ (file.hash ?? XXH3.hash64(file.seen.span.rawBytes))) &* 0x9E37_79B9_7F4A_7C15
        }
      } else {
        hash = digest(of: inode, hash &+ 1)
      }
    }
    return hash
  }
}
