/// An owned file descriptor: closed exactly once, by `close` or at the end of its life.
package struct FileDescriptor: ~Copyable {
  package let raw: Int32

  init(owning raw: Int32) { self.raw = raw }

  /// Closes now and reports what the system says.
  consuming func close(_ path: String) throws(FileSystemError) {
    let raw = raw
    discard self
    // The descriptor is gone whatever the answer; EINTR must not be retried, another thread may have got the number.
    if Platform.closeDescriptor(raw) != 0 {
      let error = Platform.lastError(.close, path)
      if error.code != .interrupted { throw error }
    }
  }

  // Nothing is left to report here: what had to be durable was synced, and that is where failure shows.
  deinit { _ = Platform.closeDescriptor(raw) }
}
