import PlatformIO
import Testing

@Suite struct DiskFileSystemTests {
  @Test func `a missing file is a typed error that names it`() {
    #expect {
      try DiskFileSystem.shared.open("/nonexistent/file", .readOnly)
    } throws: { error in
      (error as? FileSystemError)?.code == .notFound
    }
  }
}
