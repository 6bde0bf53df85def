import ParserTargets
import StorageTesting

/// Operations on a ledger and its copies, faults and power cuts, against a model; and what the indexes answer, against a full scan.
enum LifeFuzz {
  static func run(_ script: [UInt8]) {
    do {
      try LedgerLives(script: script).run(steps: 200)
    } catch {
      promise(false, "\(error)")
    }
  }

  /// Scripts of chance, which differ in length.
  static var seeds: [[UInt8]] {
    var numbers = SeededGenerator(seed: 5)
    return (1...8).map { size in (0..<size * 24).map { _ in UInt8.random(in: 0...255, using: &numbers) } }
  }
}
