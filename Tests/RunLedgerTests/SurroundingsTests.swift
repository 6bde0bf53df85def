import Foundation
import LogEngine
import PlatformIO
import RunLedger
import StorageTesting
import Testing

/// What may stand in a ledger's place or around it, on a real disk.
@Suite struct SurroundingsTests {
  let directory = TemporaryDirectory()
  var path: String { directory.path + "/ledger" }
  var segment: String { path + "/00000001.seg" }

  func open(
    _ access: LogOptions.Access = .readWrite, _ creation: LogOptions.Creation = .createIfMissing
  ) throws(LedgerError) -> Ledger {
    var options = LedgerOptions()
    options.access = access
    options.creation = creation
    options.segmentSize = 64 << 10
    return try Ledger.open(at: path, options: options)
  }

  func makeLedger() throws {
    let ledger = try open()
    try ledger.append(.test("a"))
    try ledger.close()
  }

  func mode(_ path: String) throws -> Int {
    try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
  }

  @Test func `directories are made for their owner alone, and so are files`() throws {
    try makeLedger()
    #expect(try mode(path) == 0o700)
    for name in try FileManager.default.contentsOfDirectory(atPath: path) {
      #expect(try mode(path + "/" + name) == 0o600, "\(name)")
    }
  }

  @Test(arguments: ["symlink", "fifo", "directory", "device"])
  func `anything but a regular file in a segment's place is refused, at once`(kind: String) throws {
    try makeLedger()
    let moved = directory.path + "/moved"
    try FileManager.default.moveItem(atPath: segment, toPath: moved)
    switch kind {
    case "symlink":
      try FileManager.default.createSymbolicLink(atPath: segment, withDestinationPath: moved)
    case "fifo": try #require(unsafe mkfifo(segment, 0o600) == 0)
    case "directory":
      try FileManager.default.createDirectory(atPath: segment, withIntermediateDirectories: false)
    default:
      // Needs root, as CI is; elsewhere there is nothing to test.
      guard unsafe mknod(segment, S_IFCHR | 0o600, 0x103) == 0 else { return }
    }
    for access in [LogOptions.Access.readOnly, .readWrite] {
      let error = try #require(throws: LedgerError.self) { try open(access) }
      #expect(error.log?.cause?.code == .notRegularFile)
      #expect(error.description.contains("00000001.seg"))
    }
    #expect(throws: LedgerError.self) { try Ledger.verify(at: path) }
  }

  @Test func `a LOCK that is a link is refused`() throws {
    try makeLedger()
    try FileManager.default.moveItem(atPath: path + "/LOCK", toPath: directory.path + "/moved")
    try FileManager.default.createSymbolicLink(
      atPath: path + "/LOCK", withDestinationPath: directory.path + "/moved")
    #expect(try #require(throws: LedgerError.self) { try open() }.log?.cause?.code == .notRegularFile)
  }

  @Test func `a file, and a directory of other things, are no ledger and stay as they are`() throws {
    try Data("hello".utf8).write(to: URL(fileURLWithPath: path))
    for access in [LogOptions.Access.readOnly, .readWrite] {
      #expect(try #require(throws: LedgerError.self) { try open(access) }.log?.code == .notALog)
    }
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    try Data("hello".utf8).write(to: URL(fileURLWithPath: path + "/notes.txt"))
    for access in [LogOptions.Access.readOnly, .readWrite] {
      #expect(try #require(throws: LedgerError.self) { try open(access) }.log?.code == .notALog)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["notes.txt"])
  }

  @Test func `B3: an SQLite database is named, and importing is pointed to`() throws {
    try Data("SQLite format 3\0 and more".utf8).write(to: URL(fileURLWithPath: path))
    let error = try #require(throws: LedgerError.self) { try open() }
    #expect(error.code == .foreignDatabase)
    #expect(error.description.contains("import"))
  }

  @Test func `an empty directory becomes a ledger, and a missing parent does not appear`() throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    #expect(throws: LedgerError.self) { try open(.readWrite, .mustExist) }
    #expect(try FileManager.default.contentsOfDirectory(atPath: path).isEmpty)
    try makeLedger()
    #expect(try open(.readOnly).latestOffset == 1)
    var options = LedgerOptions()
    options.creation = .createIfMissing
    let error = try #require(throws: LedgerError.self) {
      try Ledger.open(at: directory.path + "/no/such/ledger", options: options)
    }
    #expect(error.log?.cause?.code == .notFound)
    #expect(!FileManager.default.fileExists(atPath: directory.path + "/no"))
  }

  @Test(arguments: ["", "a\0b"]) func `a path that cannot be one is refused`(path: String) throws {
    var options = LedgerOptions()
    options.creation = .createIfMissing
    #expect(
      try #require(throws: LedgerError.self) { try Ledger.open(at: path, options: options) }.log?.cause?.code
        == .invalidPath)
  }

  @Test func `a trailing slash and a link to the directory lead to the same ledger`() throws {
    try makeLedger()
    try FileManager.default.createSymbolicLink(atPath: directory.path + "/link", withDestinationPath: path)
    var options = LedgerOptions()
    options.access = .readOnly
    for other in [path + "//", directory.path + "/link"] {
      #expect(try Ledger.open(at: other, options: options).latestOffset == 1)
    }
  }

  @Test func `the library leaves an embedder's SIGPIPE alone and cannot raise it`() throws {
    func disposition() -> [UInt8] {
      var action = sigaction()
      unsafe sigaction(SIGPIPE, nil, &action)
      return unsafe withUnsafeBytes(of: &action.__sigaction_handler) { unsafe Array($0) }
    }
    let before = disposition()
    try makeLedger()
    #expect(disposition() == before)
    // What would raise it is a write to a pipe; every file the library opens is checked to be regular.
    try #require(unsafe mkfifo(directory.path + "/pipe", 0o600) == 0)
    #expect(throws: LedgerError.self) { try Ledger.open(at: directory.path + "/pipe") }
  }

  @Test func `other files beside the segments are left alone, and unpublished ones are removed`() throws {
    try makeLedger()
    try Data("x".utf8).write(to: URL(fileURLWithPath: path + "/notes.txt"))
    try Data("x".utf8).write(to: URL(fileURLWithPath: path + "/00000002.seg.tmp"))
    try open(.readOnly).close()
    #expect(FileManager.default.fileExists(atPath: path + "/00000002.seg.tmp"))
    try open().close()
    #expect(!FileManager.default.fileExists(atPath: path + "/00000002.seg.tmp"))
    #expect(FileManager.default.fileExists(atPath: path + "/notes.txt"))
  }
}
