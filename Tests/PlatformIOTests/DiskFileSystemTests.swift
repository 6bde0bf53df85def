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
  #endif
}
