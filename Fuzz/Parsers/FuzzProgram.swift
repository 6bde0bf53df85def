internal import LogEngine
internal import PlatformIO
internal import RunLedger

/// Kinds of input that anybody may hand to the ledger, and what has to hold whatever they are. A broken promise ends the process,
/// which a fuzzer takes for a find.
///
/// One input at a time: a fuzzer has one thread, and `swift test` runs the suite that replays inputs serially. So targets keep their
/// memory from input to input in `nonisolated(unsafe)` variables, and none waits for any.
public protocol FuzzProgram: CaseIterable, RawRepresentable<String>, Sendable {
  /// Hands the bytes over, and ends the process if a promise does not hold.
  func run(_ bytes: RawSpan)

  /// Inputs to begin with, so that fuzzing starts behind the checks that random bytes do not pass.
  var seeds: [[UInt8]] { get }
}

extension FuzzProgram {
  /// As for borrowed bytes.
  public func run(_ bytes: [UInt8]) { run(bytes.span.rawBytes) }

  /// The target that `--target=` on the command line names. If `--seeds=` names a directory, its seeds are written there.
  public static func chosen() -> Self {
    let names = allCases.map(\.rawValue)
    guard let target = argument("--target=").flatMap(Self.init) else {
      fatalError("say --target= and one of \(names)")
    }
    guard let directory = argument("--seeds=") else { return target }
    do throws(FileSystemError) {
      for (number, seed) in target.seeds.enumerated() {
        let file = try DiskFileSystem().open("\(directory)/seed-\(number)", .createNew)
        try file.write(seed.span.rawBytes, at: 0)
      }
    } catch {
      fatalError("\(error)")
    }
    return target
  }

  private static func argument(_ name: String) -> String? {
    CommandLine.arguments.first { $0.hasPrefix(name) }.map { String($0.dropFirst(name.count)) }
  }
}

/// Ends the process: what was promised does not hold.
package func promise(_ holds: Bool, _ what: @autoclosure () -> String) {
  if !holds { fatalError("broken promise: \(what())") }
}

/// nil for a refusal by the engine, which is always allowed.
package func unlessRefused<T>(_ body: () throws -> T) -> T? {
  do { return try body() } catch is LogError { return nil } catch is LedgerError { return nil } catch {
    fatalError("an error of another kind: \(error)")
  }
}

/// An input read from its front, as the numbers of a program; zeros behind its end.
struct Instructions: ~Escapable {
  private let bytes: RawSpan
  private var place = 0

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan) { self.bytes = bytes }

  var isAtEnd: Bool { place >= bytes.byteCount }

  @_lifetime(self: copy self)
  mutating func byte() -> UInt8 {
    guard place < bytes.byteCount else { return 0 }
    defer { place += 1 }
    return bytes.loadUInt8(at: place)
  }

  @_lifetime(self: copy self)
  mutating func number() -> Int { Int(byte()) | Int(byte()) << 8 }

  /// The next bytes, as many of them as there are.
  @_lifetime(copy self) @_lifetime(self: copy self)
  mutating func take(_ count: Int) -> RawSpan {
    let end = min(place + count, bytes.byteCount)
    defer { place = end }
    return bytes.extracting(place..<end)
  }
}

extension [UInt8] {
  package mutating func append(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { unsafe append(contentsOf: $0) }
  }
}
