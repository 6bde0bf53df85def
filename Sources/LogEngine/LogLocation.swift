internal import PlatformIO

/// A log's directory as a whole: where it is, and what else may be there.
package enum LogLocation {
  /// The path from the root, whatever the working directory is later.
  package static func absolute(_ path: String) throws(LogError) -> String {
    try LogDirectory(path, in: DiskFileSystem.shared).path
  }

  package static func exists(_ path: String) throws(LogError) -> Bool {
    try onFile { () throws(FileSystemError) in try DiskFileSystem.shared.status(of: path) != nil }
  }

  /// Refuses an absolute path that is a log's own directory, lies in it, or holds it.
  package static func keepApart(_ path: String, from logPath: String) throws(LogError) {
    try Destination.keepApart(path, try LogDirectory(logPath, in: DiskFileSystem.shared))
  }

  /// Makes a directory for a log that is not complete yet. False: something is at the path already.
  package static func make(_ path: String) throws(LogError) -> Bool {
    try onFile { () throws(FileSystemError) in try DiskFileSystem.shared.createDirectory(path) }
  }

  /// Removes a log that was not completed, as far as that goes: whoever asks for it has a failure to tell of already.
  package static func discard(_ path: String) {
    let disk = DiskFileSystem.shared
    do throws(FileSystemError) {
      for name in try disk.entries(of: path) { try disk.unlink(path + "/" + name) }
      try disk.removeDirectory(path)
    } catch {}
  }

  /// Gives a complete, durable log its name, durably. The log must be closed, and nothing may be at the new path.
  package static func rename(_ path: String, to newPath: String) throws(LogError) {
    try onFile { () throws(FileSystemError) in
      try DiskFileSystem.shared.rename(path, to: newPath)
      try DiskFileSystem.shared.syncDirectory(parent(of: newPath))
    }
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
