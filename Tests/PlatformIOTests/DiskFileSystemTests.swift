import Foundation
import PlatformIO
import StorageTesting
import Testing

@Suite struct DiskFileSystemTests {
  @Test func `a missing file is a typed error that names it`() {
    #expect {
      try DiskFileSystem.shared.open("/nonexistent/file", .readOnly)
    } throws: { error in
      (error as? FileSystemError)?.code == .notFound
    }
  }

  #if os(Linux)
    /// The files of /proc are regular ones that the kernel refuses to sync.
    @Test func `a sync asks the system, and says what it answers`() throws {
      let file = try DiskFileSystem.shared.open("/proc/self/comm", .readOnly)
      #expect(throws: FileSystemError.self) { try file.sync() }
      #expect(throws: FileSystemError.self) { try DiskFileSystem.shared.syncDirectory("/proc/self") }
    }

    /// LOCK would stay locked, by a program that knows nothing of it.
    @Test func `no open file is handed to a program that this one starts`() throws {
      let place = TemporaryDirectory()
      let file = try DiskFileSystem.shared.open(place.path + "/file", .createNew)
      var flags: [Int] = []
      for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
        // Other tests' files come and go.
        let link = "/proc/self/fd/" + name
        guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: link) else { continue }
        guard target.hasSuffix(file.path) else { continue }
        let facts = try String(contentsOfFile: "/proc/self/fdinfo/" + name, encoding: .utf8)
        for line in facts.split(separator: "\n") where line.hasPrefix("flags:") {
          flags += line.split(whereSeparator: \.isWhitespace).compactMap { Int($0, radix: 8) }
        }
      }
      let closeOnExec = 0o2_000_000
      #expect(flags.count == 1 && flags[0] & closeOnExec != 0, "\(flags)")
      withExtendedLifetime(file) {}
    }
  #endif
}
