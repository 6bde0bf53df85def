import Foundation
import PlatformIO
import RunLedger
import Testing

/// The built `ledgerctl`, run as its users run it.
enum Tool {
  struct Result {
    var code: Int32
    var output: String
    var messages: String
    var lines: [String] { Line.split(output) }
  }

  /// Beside the test bundle in the build directory.
  static let path: String = {
    #if os(macOS)
      let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") } ?? Bundle.main
      let directory = bundle.bundleURL.deletingLastPathComponent()
    #else
      let directory = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    #endif
    return directory.appendingPathComponent("ledgerctl").path
  }()

  /// Runs it to its end.
  @discardableResult
  static func run(_ arguments: [String], input: Data = Data()) throws -> Result {
    try run(path, arguments, input: input)
  }

  @discardableResult
  static func run(_ arguments: String..., input: String = "") throws -> Result {
    try run(arguments, input: Data(input.utf8))
  }

  /// Runs a line of shell in which `$ledgerctl` is the tool and `$1`, `$2` … are the arguments.
  static func shell(_ script: String, _ arguments: String...) throws -> Result {
    try run("/bin/sh", ["-c", "ledgerctl='\(path)'; \(script)", "sh"] + arguments, input: Data())
  }

  private static func run(_ executable: String, _ arguments: [String], input: Data) throws -> Result {
    // Files, not pipes: nothing to drain, so nothing to deadlock on.
    let place = try Scratch()
    let started = try Running(
      executable,
      arguments,
      place,
      input: place.file("in", input)
    )
    return try started.end()
  }
}

/// A tool that has not ended yet. Started without Foundation's `Process`, which on Linux crashes in `run()` now and then. The tool
/// opens its three files itself, so that no other tool that starts meanwhile inherits them.
final class Running {
  private let process: pid_t
  private let place: Scratch
  private let outputFile: URL
  private let messageFile: URL
  private var status: Int32?

  init(_ executable: String, _ arguments: [String], _ place: Scratch, input: URL) throws {
    self.place = place
    outputFile = place.file("out", Data())
    messageFile = place.file("err", Data())
    #if os(macOS)
      var actions: posix_spawn_file_actions_t?
    #else
      var actions = unsafe posix_spawn_file_actions_t()
    #endif
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, input.path, O_RDONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, outputFile.path, O_WRONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, messageFile.path, O_WRONLY, 0)
    var strings = unsafe ([executable] + arguments).map { unsafe strdup($0) } + [nil]
    defer { unsafe strings.forEach { unsafe free($0) } }
    var process: pid_t = 0
    let code = unsafe posix_spawn(&process, executable, &actions, nil, &strings, environ)
    self.process = process
    try #require(code == 0, "\(executable) does not start: error \(code)")
  }

  deinit {
    guard status == nil else { return }
    kill(process, SIGKILL)
    waitpid(process, nil, 0)
  }

  /// What it has written so far.
  var output: String { get throws { String(decoding: try Data(contentsOf: outputFile), as: UTF8.self) } }

  /// Waits until it has acknowledged so many events, for a minute at most: on a busy machine it may take seconds to start. There
  /// may be more by then, and this number never: where the input pauses for lack of a processor, a batch ends.
  func waitForAcknowledgement(of count: Int) throws {
    func acknowledged() throws -> Int {
      let last = try Line.split(output).last { $0.hasPrefix(#"{"acked":"#) && $0.hasSuffix("}") }
      return last.flatMap { Int($0.dropFirst(9).dropLast()) } ?? 0
    }
    for _ in 0..<6000 where try acknowledged() < count { Thread.sleep(forTimeInterval: 0.01) }
    #expect(try acknowledged() >= count)
  }

  /// While it is not waited for, its number is nobody else's.
  func send(_ signal: Int32) { kill(process, signal) }

  /// Whether it ends by itself within some seconds.
  func endsSoon() -> Bool {
    for _ in 0..<500 where !isOver(WNOHANG) { Thread.sleep(forTimeInterval: 0.01) }
    return status != nil
  }

  func end() throws -> Tool.Result {
    while !isOver(0) {}
    let status = try #require(status)
    let signal = status & 0x7F
    return Tool.Result(
      code: signal == 0 ? status >> 8 & 0xFF : -signal,
      output: try output,
      messages: String(decoding: try Data(contentsOf: messageFile), as: UTF8.self)
    )
  }

  private func isOver(_ options: Int32) -> Bool {
    var found: Int32 = 0
    if status == nil, unsafe waitpid(process, &found, options) == process { status = found }
    return status != nil
  }
}

/// A directory that goes when the test does.
final class Scratch {
  private let directory: URL

  init() throws {
    directory = FileManager.default.temporaryDirectory.appendingPathComponent(
      "ledgerctl-\(UUID().uuidString)"
    )
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  }

  deinit {
    do { try FileManager.default.removeItem(at: directory) } catch {}
  }

  func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

  /// Where a test's ledger is.
  var ledger: String { path("ledger") }

  @discardableResult
  func file(_ name: String, _ content: Data) -> URL {
    let url = directory.appendingPathComponent(name)
    let isWritten = FileManager.default.createFile(atPath: url.path, contents: content)
    precondition(isWritten, "a scratch directory takes files")
    return url
  }

  /// A pipe with a name: what is written to the handle is read from the file, until the handle is closed.
  func pipe(_ name: String) throws -> (file: URL, handle: FileHandle) {
    let url = directory.appendingPathComponent(name)
    // Open for both, it waits for no reader.
    try #require(unsafe mkfifo(url.path, 0o600) == 0)
    let descriptor = unsafe open(url.path, O_RDWR | O_CLOEXEC)
    try #require(descriptor >= 0)
    return (url, FileHandle(fileDescriptor: descriptor, closeOnDealloc: true))
  }

  func file(_ name: String, _ text: String) -> String { file(name, Data(text.utf8)).path }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

  /// An empty ledger of small segments, which take no time to look through to their end.
  func createSmall() throws {
    try #require(try Tool.run("create", ledger, "--segment-size", "1MiB").code == 0)
  }

  /// A ledger of the events of these lines.
  func ledger(_ lines: [String]) throws -> String {
    try createSmall()
    let result = try Tool.run("import", ledger, input: lines.joined(separator: "\n"))
    try #require(result.code == 0, "\(result.messages)")
    return ledger
  }
}

/// Event lines as `export` writes them.
enum Line {
  static func event(
    _ id: String,
    run: String = "run-1",
    turn: Int = 0,
    payload: String = #"{"n":1}"#,
    at time: String = "2025-03-04T09:00:00Z"
  ) -> String {
    #"{"id":"\#(id)","run_id":"\#(run)","turn":\#(turn),"kind":"test.event","actor":"tester","payload":\#(payload),"#
      + #""created_at":"\#(time)","schema_version":1,"session_id":null,"model_profile":null,"model_id":null}"#
  }

  static func events(_ range: ClosedRange<Int>) -> [String] { range.map { event("e-\($0)", turn: $0) } }

  /// By bytes: by characters it would take seconds.
  static func split(_ text: String) -> [String] {
    text.utf8.split(separator: UInt8(ascii: "\n")).map { String(Substring($0)) }
  }

  /// The line with its offset in front, as `get`, `run` and `tail` write it.
  static func at(_ offset: Int, _ line: String) -> String { #"{"offset":\#(offset),"# + line.dropFirst() }

  static func parsed(_ line: String) throws -> Event {
    try Event(jsonLine: unsafe line.utf8Span.span.bytes, defaultCreatedAt: .minimum)
  }
}
