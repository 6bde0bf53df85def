internal import PlatformIO

/// A little disk space that a log keeps for the moment when there is none: what would free some, a reset or a trim, has to
/// write a segment first. Never needed for anything else; without it a full disk only has to be cleared by other means.
extension LogDirectory {
  static let reserveName = "reserve"
  /// Two header blocks, a seal, and what file systems take besides.
  static let reserveByteCount: UInt64 = 64 << 10

  /// Lays the reserve in, if there is room.
  func makeReserve() {
    let path = path(of: Self.reserveName)
    do throws(FileSystemError) {
      if let status = try fileSystem.status(of: path), status.length >= Self.reserveByteCount { return }
      try fileSystem.open(path, .createIfMissing).preallocate(Self.reserveByteCount)
    } catch {
      // What there is of it must not take up room either.
      do throws(FileSystemError) { try removeIfPresent(path) } catch {}
    }
  }

  /// Does something that frees space, with the reserve if there is no space to do it.
  func withReserve<R>(_ body: () throws(LogError) -> R) throws(LogError) -> R {
    do throws(LogError) {
      return try body()
    } catch {
      // Only what changed nothing may be done again: a sync or a link that failed is final.
      guard let cause = error.cause, cause.code == .noSpace || cause.code == .quotaExceeded,
        [.open, .preallocate, .write].contains(cause.operation)
      else { throw error }
      do throws(FileSystemError) {
        try fileSystem.unlink(path(of: Self.reserveName))
      } catch _ {
        throw error
      }
      return try body()
    }
  }
}
