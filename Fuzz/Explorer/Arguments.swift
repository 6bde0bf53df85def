import PlatformIO

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

struct Arguments {
  struct Wrong: Error, CustomStringConvertible { var description: String }

  var seconds = 60.0
  var threads = Parallel.processorCount
  var seed: UInt64 = 1
  var only: Part?
  var json: String?
  var calibration: String?

  init(_ words: some Sequence<String>) throws {
    var words = Array(words)
    while !words.isEmpty {
      let name = words.removeFirst()
      guard let value = words.isEmpty ? nil : words.removeFirst() else {
        throw Wrong(description: "\(name) wants a value")
      }
      switch name {
      case "--seconds": seconds = try Self.number(value, name)
      case "--threads": threads = Int(try Self.number(value, name))
      case "--seed": seed = UInt64(try Self.number(value, name))
      case "--json": json = value
      case "--calibrate": calibration = value
      case "--only":
        guard let part = Part(rawValue: value) else { throw Wrong(description: "there is no part \(value)") }
        only = part
      default: throw Wrong(description: "there is no \(name)")
      }
    }
  }

  private static func number(_ value: String, _ name: String) throws -> Double {
    guard let number = Double(value), number >= 0, number < 1e15 else {
      throw Wrong(description: "\(name) wants a number, not \(value)")
    }
    return number
  }
}

/// Ends the process; what is printed by then is out.
func exit(_ status: Int32) -> Never {
  #if canImport(Glibc)
    Glibc.exit(status)
  #else
    Darwin.exit(status)
  #endif
}
