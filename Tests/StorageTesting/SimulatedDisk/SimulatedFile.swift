import PlatformIO

/// An open file of a simulated disk. Its lock goes with it.
final class SimulatedFile: LogFile {
  let path: String
  private let inode: Inode
  private let disk: SimulatedDisk

  init(_ inode: Inode, _ path: String, _ disk: SimulatedDisk) {
    self.inode = inode
    self.path = path
    self.disk = disk
  }

  deinit { unlock() }

  func status() throws(FileSystemError) -> FileStatus {
    if let failure = try disk.begin(.status, path) { throw failure.error }
    return disk.state.withLock { $0.status(inode) }
  }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int {
    let failure = try disk.begin(.read, path, position, buffer.byteCount)
    if let failure { throw failure.error }
    let bytes = disk.state.withLock { $0.files[inode]?.seen ?? [] }
    guard position < UInt64(bytes.count) else { return 0 }
    let count = min(buffer.byteCount, bytes.count - Int(position))
    unsafe buffer.withUnsafeMutableBytes { target in
      unsafe target.copyBytes(from: bytes[Int(position)..<Int(position) + count])
    }
    return count
  }

  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError) {
    let copy = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    try disk.write(copy, to: inode, path, at: Int(position))
  }

  func preallocate(_ length: UInt64) throws(FileSystemError) {
    try disk.preallocate(Int(length), of: inode, path)
  }

  func setLength(_ length: UInt64) throws(FileSystemError) {
    try disk.setLength(Int(length), of: inode, path)
  }

  func sync() throws(FileSystemError) { try disk.sync(inode, path) }

  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64? {
    disk.state.withLock { $0.files[inode]?.nextData(from: Int(position)) }.map { UInt64($0) }
  }

  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion {
    if let failure = try disk.begin(.map, path) { throw failure.error }
    throw FileSystemError(.notSupported, .map, path: path)
  }

  func tryLock() throws(FileSystemError) -> Bool {
    if let failure = try disk.begin(.lock, path) { throw failure.error }
    let holder = ObjectIdentifier(self)
    return disk.state.withLock { state in
      if let other = state.locks[inode], other != holder { return false }
      state.locks[inode] = holder
      return true
    }
  }

  func unlock() {
    let holder = ObjectIdentifier(self)
    disk.state.withLock { state in if state.locks[inode] == holder { state.locks[inode] = nil } }
  }
}
