import Dispatch
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
      input: FileHandle(forReadingFrom: place.file("in", input))
    )
    return try started.end()
  }
}

/// A tool that has not ended yet.
final class Running {
  private let process = Process()
  private let ended = DispatchSemaphore(value: 0)
  private let place: Scratch
  private let outputFile: URL
  private let messageFile: URL

  init(_ executable: String, _ arguments: [String], _ place: Scratch, input: Any) throws {
    self.place = place
    outputFile = place.file("out", Data())
    messageFile = place.file("err", Data())
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.standardInput = input
    process.standardOutput = try FileHandle(forWritingTo: outputFile)
    process.standardError = try FileHandle(forWritingTo: messageFile)
    let ended = ended
    process.terminationHandler = { _ in ended.signal() }
    try process.run()
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

  func interrupt() { process.interrupt() }
  func terminate() { process.terminate() }

  /// Whether it ends by itself within some seconds.
  func endsSoon() -> Bool {
    guard ended.wait(timeout: .now() + 5) == .success else { return false }
    ended.signal()
    return true
  }

  func end() throws -> Tool.Result {
    ended.wait()
    let messages = String(decoding: try Data(contentsOf: messageFile), as: UTF8.self)
    return Tool.Result(
      code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try output,
      messages: messages
    )
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
