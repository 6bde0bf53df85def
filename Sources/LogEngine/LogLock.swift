internal import PlatformIO

/// The one writer's claim on a log: flock on the file LOCK, for as long as this lives. FORMAT.md, "LOCK".
///
/// flock belongs to the open file, so the file is opened once, close-on-exec: a killed process cannot leave a lock behind.
/// It is released by name and not by the close alone, since a child that was forked a moment ago shares the open file
/// until it runs its own program.
final class LogLock: Sendable {
  private static let magic: UInt64 = 0x4B43_4F4C_474C_5289
  private static let pageByteCount = 4096

  private let file: any LogFile
  private let forkCount: UInt32

  init(_ directory: LogDirectory, _ environment: any Environment) throws(LogError) {
    let path = directory.path(of: LogDirectory.lockName)
    Platform.watchForks()
    forkCount = Platform.forkCount
    var attempts = 0
    while true {
      let file = try onFile { () throws(FileSystemError) in
        try directory.fileSystem.open(path, .createIfMissing)
      }
      let isOurs = try onFile { () throws(FileSystemError) in try file.tryLock() }
      guard isOurs else {
        throw LogError(
          .locked, path: directory.path,
          "another writer has the log open (\(Self.holder(in: file))); close it there, or open read-only")
      }
      // Somebody may have replaced the file between the open and the lock; then the lock locks nothing.
      let isStill = try onFile { () throws(FileSystemError) in
        let identity = try file.status().identity
        return try directory.fileSystem.status(of: path)?.identity == identity
      }
      if isStill {
        self.file = file
        break
      }
      attempts += 1
      if attempts > 10 {
        throw LogError(
          .locked, path: directory.path, "LOCK keeps being replaced; nothing but RunLedger may touch it")
      }
    }
    try writeHolder(environment)
  }

  deinit {
    // A child's copy is not the child's to release.
    if forkCount == Platform.forkCount { file.unlock() }
  }

  /// Says who holds the log, for the message a second writer gets. Nothing depends on it.
  private func writeHolder(_ environment: any Environment) throws(LogError) {
    var page = ByteBuffer(capacity: Self.pageByteCount)
    page.append(Self.magic)
    page.append(UInt32(1))
    page.append(UInt32(bitPattern: Platform.processID))
    page.append(UInt64(bitPattern: environment.wallTime().seconds))
    page.appendZeros(Self.pageByteCount - page.count)
    let file = file
    try onFile { () throws(FileSystemError) in try file.write(page.bytes, at: 0) }
  }

  private static func holder(in file: any LogFile) -> String {
    var page = ByteBuffer(capacity: 24)
    do throws(FileSystemError) {
      try page.fill(24) { (space) throws(FileSystemError) in try file.read(into: &space, at: 0) }
    } catch {
      return "LOCK cannot be read: \(error)"
    }
    guard page.count == 24, page.bytes.loadUInt64(at: 0) == magic else { return "it has not said who it is" }
    return "process \(Int32(bitPattern: page.bytes.loadUInt32(at: 12)))"
  }
}
