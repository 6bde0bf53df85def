internal import LogEngine
package import PlatformIO

/// The files of a directory as bytes, to be changed at will and put on a fresh disk.
package struct DiskImage: Equatable, Sendable {
  package var files: [String: [UInt8]] = [:]

  package init() {}

  /// Takes every regular file of `directory`, but for LOCK and the reserve, which are no part of a log.
  package init(of fileSystem: any FileSystem, directory: String = TestLog.path) throws(FileSystemError) {
    for name in try fileSystem.entries(of: directory) where name != "LOCK" && name != "reserve" {
      let file = try fileSystem.open(directory + "/" + name, .readOnly)
      files[name] = try file.allBytes()
    }
  }

  /// A new disk that holds these files and nothing else.
  package func disk(directory: String = TestLog.path) throws(FileSystemError) -> MemoryFileSystem {
    let disk = MemoryFileSystem()
    _ = try disk.createDirectory(directory)
    for (name, bytes) in files {
      let file = try disk.open(directory + "/" + name, .createNew)
      try file.write(bytes.span.rawBytes, at: 0)
    }
    return disk
  }

  package mutating func flip(_ name: String, byte: Int, bit: Int) {
    files[name]?[byte] ^= 1 << UInt8(bit)
  }

  package mutating func overwrite(_ name: String, at position: Int, with bytes: [UInt8]) {
    files[name]?.replaceSubrange(position..<position + bytes.count, with: bytes)
  }

  package mutating func truncate(_ name: String, to length: Int) {
    if let bytes = files[name] { files[name] = Array(bytes.prefix(length)) }
  }

  /// The names of the segment files, in order.
  package var segments: [String] { files.keys.filter { $0.hasSuffix(".seg") }.sorted() }
}

extension LogFile {
  package func allBytes() throws(FileSystemError) -> [UInt8] {
    let count = Int(try status().length)
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = span.mutableRawBytes
    let read = try self.read(into: &raw, at: 0)
    precondition(read == count)
    return bytes
  }
}

extension MutableSpan<UInt8> {
  /// The same bytes; every bit pattern of a byte is a byte.
  package var mutableRawBytes: MutableRawSpan {
    @_lifetime(&self) mutating get { unsafe mutableBytes }
  }
}
