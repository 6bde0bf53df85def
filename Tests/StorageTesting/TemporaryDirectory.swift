internal import Foundation

/// A directory of the real disk that is removed with the value.
package final class TemporaryDirectory: Sendable {
  package let path: String

  package init() {
    let name = "runledger-test-\(UInt64.random(in: 0...UInt64.max))"
    path = FileManager.default.temporaryDirectory.appendingPathComponent(name).path
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      preconditionFailure("no temporary directory: \(error)")
    }
  }

  deinit {
    do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path): \(error)") }
  }
}
