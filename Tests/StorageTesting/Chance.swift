/// Random numbers from a seed; or from a script, of which each byte is the highest of a number.
struct Chance: RandomNumberGenerator {
  private var script: ArraySlice<UInt8>
  private let isScripted: Bool
  /// All of a number, or what stands below the script's byte: by that alone a choice among few is made.
  private var generator: SeededGenerator

  init(seed: UInt64) {
    script = []
    isScripted = false
    generator = SeededGenerator(seed: seed)
  }

  init(script: [UInt8]) {
    self.script = script[...]
    isScripted = true
    generator = SeededGenerator(seed: 1)
  }

  /// The script is at its end, and what comes is chance.
  var isSpent: Bool { isScripted && script.isEmpty }

  mutating func next() -> UInt64 {
    let number = generator.next()
    guard let byte = script.popFirst() else { return number }
    return UInt64(byte) << 56 | number >> 8
  }
}
