internal import LogEngine

/// One JSON object on one line, written member by member.
struct JSONLine {
  private(set) var bytes: [UInt8] = []

  init(_ members: (inout JSONLine) -> Void) {
    bytes.append(UInt8(ascii: "{"))
    members(&self)
    bytes.append(contentsOf: "}\n".utf8)
  }

  mutating func member(_ name: String, _ value: UInt64) { add(name, "\(value)") }
  mutating func member(_ name: String, _ value: Int64) { add(name, "\(value)") }
  mutating func member(_ name: String, _ value: Int) { add(name, "\(value)") }
  mutating func member(_ name: String, _ value: Offset) { add(name, "\(value)") }
  mutating func member(_ name: String, _ value: Bool) { add(name, "\(value)") }

  /// A 64-bit pattern, which is more than a JSON reader's numbers hold.
  mutating func member(_ name: String, hex value: UInt64) {
    let digits = String(value, radix: 16)
    member(name, String(repeating: "0", count: 16 - digits.count) + digits)
  }

  mutating func member(_ name: String, _ text: String) {
    key(name)
    string(text)
  }

  mutating func member(_ name: String, from: UInt64, to: UInt64) { add(name, "[\(from),\(to)]") }

  mutating func member(_ name: String, _ values: [Int]) { add(name, "\(values)") }

  mutating func member(_ name: String, _ objects: [JSONLine]) {
    key(name)
    bytes.append(UInt8(ascii: "["))
    for (place, object) in objects.enumerated() {
      if place > 0 { bytes.append(UInt8(ascii: ",")) }
      bytes.append(contentsOf: object.bytes.dropLast())
    }
    bytes.append(UInt8(ascii: "]"))
  }

  mutating func member(_ name: String, _ object: JSONLine) {
    key(name)
    bytes.append(contentsOf: object.bytes.dropLast())
  }

  private mutating func add(_ name: String, _ value: String) {
    key(name)
    bytes.append(contentsOf: value.utf8)
  }

  private mutating func key(_ name: String) {
    if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
    string(name)
    bytes.append(UInt8(ascii: ":"))
  }

  private mutating func string(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case ..<0x20:
        let digits = String(byte, radix: 16)
        bytes.append(contentsOf: "\\u00\(digits.count == 1 ? "0" : "")\(digits)".utf8)
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
