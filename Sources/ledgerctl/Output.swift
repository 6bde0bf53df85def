internal import PlatformIO
internal import RunLedger

/// Where a command's words go: data to stdout, everything else to stderr.
struct Console {
  let output = Output()
  let messages = Messages()
}

/// Standard output, gathered into large writes.
///
/// A failed write is remembered: what follows is dropped, and `flush` reports it.
final class Output {
  private static let flushByteCount = 64 << 10
  /// What one huge event left behind is given back.
  private static let keptByteCount = 1 << 20

  private let stream = OutputStream.standardOutput
  private var buffer: [UInt8] = []
  private var failure: Failure?

  /// Lets `fill` append; false once nobody can read it any more, so that the caller stops.
  func add<E: Error>(_ fill: (inout [UInt8]) throws(E) -> Void) throws(E) -> Bool {
    guard failure == nil else { return false }
    let length = buffer.count
    do throws(E) {
      try fill(&buffer)
    } catch {
      // Half a line is worse than none.
      buffer.removeLast(buffer.count - length)
      throw error
    }
    if buffer.count >= Self.flushByteCount { write() }
    return failure == nil
  }

  func add(_ line: JSONLine) { _ = add { $0.append(contentsOf: line.bytes) } }

  func add(_ text: String) { _ = add { $0.append(contentsOf: text.utf8) } }

  /// Writes what is gathered and says whether everything so far was written.
  func flush() throws(Failure) {
    write()
    if let failure { throw failure }
  }

  private func write() {
    guard failure == nil, !buffer.isEmpty else { return }
    do throws(FileSystemError) {
      try stream.write(buffer.bytes)
    } catch {
      failure = Failure(writing: error)
    }
    if buffer.capacity > Self.keptByteCount { buffer = [] } else { buffer.removeAll(keepingCapacity: true) }
  }
}

/// Standard error: messages, errors and progress.
struct Messages {
  private let stream = OutputStream.standardError

  var isTerminal: Bool { stream.isTerminal }

  func say(_ sentence: String) { write("ledgerctl: \(Self.onOneLine(sentence))\n") }

  /// Where nobody reads messages there is nobody to tell.
  func write(_ text: String) {
    do throws(FileSystemError) {
      try stream.write(Array(text.utf8).bytes)
    } catch {}
  }

  /// Paths and ids may hold anything; a message is one line and does nothing to a terminal.
  static func onOneLine(_ text: String) -> String {
    var line = ""
    for scalar in text.unicodeScalars {
      if scalar.properties.generalCategory == .control {
        line += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        line.unicodeScalars.append(scalar)
      }
    }
    return line
  }
}
