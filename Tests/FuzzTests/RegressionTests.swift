import Foundation
import FuzzTargets
import Testing

/// What a fuzzer once found stays fixed, and each target works without one.
@Suite struct RegressionTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fuzz")

  @Test(arguments: FuzzTarget.allCases) func `inputs that once broke a promise keep it`(target: FuzzTarget)
    throws
  {
    let folder = Self.folder.appendingPathComponent("Regressions/\(target.rawValue)")
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else { return }
    for name in names.sorted() {
      target.run(Array(try Data(contentsOf: folder.appendingPathComponent(name))))
    }
  }

  @Test(arguments: FuzzTarget.allCases) func `random inputs keep every promise`(target: FuzzTarget) {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func next() -> UInt64 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }
    for _ in 0..<300 {
      let count = Int(next() % (next() % 4 == 0 ? 4000 : 200)) + 1
      target.run(
        (0..<count).map { _ in
          next() % 3 == 0 ? 0 : UInt8(truncatingIfNeeded: next() % (next() % 2 == 0 ? 256 : 4))
        })
    }
  }
}
