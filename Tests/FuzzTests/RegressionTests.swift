import Foundation
import FuzzTargets
import ParserTargets
import StorageTesting
import Testing

/// What a fuzzer once found stays fixed, and each target works without one.
// One at a time: a target keeps its memory from one input to the next, as a fuzzer has one thread.
@Suite(.serialized) struct RegressionTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fuzz")

  @Test(arguments: FuzzTarget.allCases) func `inputs that once broke a promise of logs keep it`(
    target: FuzzTarget
  ) throws { try replay(target) }

  @Test(arguments: ParserTarget.allCases) func `inputs that once broke a promise of parsers keep it`(
    target: ParserTarget
  ) throws { try replay(target) }

  @Test(arguments: FuzzTarget.allCases) func `random inputs keep every promise of logs`(target: FuzzTarget) {
    vary(target, count: 300)
  }

  @Test(arguments: ParserTarget.allCases) func `random inputs keep every promise of parsers`(
    target: ParserTarget
  ) {
    vary(target, count: 1000)
  }

  private func replay(_ target: some FuzzProgram) throws {
    let folder = Self.folder.appendingPathComponent("Regressions/\(target.rawValue)")
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else { return }
    for name in names.sorted() {
      target.run(Array(try Data(contentsOf: folder.appendingPathComponent(name))))
    }
  }

  /// Random bytes, and seeds with some of theirs changed.
  private func vary(_ target: some FuzzProgram, count: Int) {
    var generator = SeededGenerator(seed: 0x9E37_79B9_7F4A_7C15)
    let seeds = target.seeds
    for seed in seeds { target.run(seed) }
    for number in 0..<count {
      var input: [UInt8]
      if number % 2 == 0, let seed = seeds.randomElement(using: &generator) {
        input = seed
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
          input[Int.random(in: 0..<input.count, using: &generator)] = .random(in: 0...255, using: &generator)
        }
      } else {
        let limit: UInt8 = Bool.random(using: &generator) ? 255 : 3
        input = (0..<Int.random(in: 1...400, using: &generator)).map { _ in
          Int.random(in: 0..<3, using: &generator) == 0 ? 0 : .random(in: 0...limit, using: &generator)
        }
      }
      target.run(input)
    }
  }
}
