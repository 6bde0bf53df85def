internal import LogEngine
internal import RunLedger

/// Any bytes as JSON: what counts as JSON is what RFC 8259 says, read by its grammar and nothing clever.
enum JSONFuzz {
  // `nonisolated(unsafe)`: one input at a time, see FuzzProgram.
  private nonisolated(unsafe) static var line: [UInt8] = []

  /// Up to a byte 0xFF, which no JSON has, and behind it: two texts to be compared.
  static func run(_ input: RawSpan) {
    var split = 0
    while split < input.byteCount, input.loadUInt8(at: split) != 0xFF { split += 1 }
    let left = input.extracting(0..<split)
    check(left)
    guard split < input.byteCount else { return }
    let right = input.extracting(split + 1..<input.byteCount)
    let areEqual = JSONText.haveEqualValues(left, right)
    promise(areEqual == JSONText.haveEqualValues(right, left), "equality has no sides")
    if areEqual { promise(JSONText.isValid(right), "only JSON is equal to JSON") }
  }

  private static func check(_ text: RawSpan) {
    let isValid = JSONText.isValid(text)
    promise(isValid == JSONModel.isValid(text), "JSON is what the grammar says")
    guard isValid else {
      do throws(EventError) {
        try JSONText.validate(text)
        promise(false, "what is not JSON is refused")
      } catch {
        promise(error.column.map { (1...text.byteCount + 1).contains($0) } ?? false, "at a column of it")
      }
      return
    }
    unsafe line.removeAll(keepingCapacity: true)
    unsafe JSONText.copyOnOneLine(text, into: &line)
    unsafe promise(line.count == text.byteCount && !line.contains { $0 == 10 || $0 == 13 }, "one line")
    unsafe promise(JSONText.haveEqualValues(text, line.span.rawBytes), "and the same value")
  }

  static let seeds: [[UInt8]] =
    [
      #"{"a":[1,-2.5e3,0.1E-7],"b":"\u00e9\n","c":{"d":null},"e":true}"#, "[[[]],{},\"\\ud800\",false]",
      " \r\n\t1 ",
      "\"é€😀\"", #"{"x":1,"y":2}"#,
    ].map { Array($0.utf8) } + [Array("[1.0]".utf8) + [0xFF] + Array("[ 10e-1 ]".utf8)]
}

/// RFC 8259's grammar by recursive descent.
struct JSONModel: ~Escapable {
  private let text: RawSpan
  private var place = 0

  @_lifetime(copy text)
  private init(_ text: RawSpan) { self.text = text }

  static func isValid(_ text: RawSpan) -> Bool {
    var model = JSONModel(text)
    model.space()
    guard model.value(depth: 0) else { return false }
    model.space()
    return model.place == text.byteCount
  }

  private var byte: UInt8? { place < text.byteCount ? text.loadUInt8(at: place) : nil }

  private func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }

  @_lifetime(self: copy self)
  private mutating func space() {
    while let byte, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { place += 1 }
  }

  @_lifetime(self: copy self)
  private mutating func take(_ wanted: UInt8) -> Bool {
    guard byte == wanted else { return false }
    place += 1
    return true
  }

  @_lifetime(self: copy self)
  private mutating func take(_ word: String) -> Bool {
    for letter in word.utf8 { guard take(letter) else { return false } }
    return true
  }

  @_lifetime(self: copy self)
  private mutating func value(depth: Int) -> Bool {
    switch byte {
    case UInt8(ascii: "t"): return take("true")
    case UInt8(ascii: "f"): return take("false")
    case UInt8(ascii: "n"): return take("null")
    case UInt8(ascii: "\""): return string()
    case UInt8(ascii: "["): return depth < EventLimits.jsonDepth && list(depth, end: UInt8(ascii: "]"))
    case UInt8(ascii: "{"): return depth < EventLimits.jsonDepth && list(depth, end: UInt8(ascii: "}"))
    default: return number()
    }
  }

  @_lifetime(self: copy self)
  private mutating func list(_ depth: Int, end: UInt8) -> Bool {
    place += 1
    space()
    if take(end) { return true }
    while true {
      if end == UInt8(ascii: "}") {
        guard string() else { return false }
        space()
        guard take(UInt8(ascii: ":")) else { return false }
        space()
      }
      guard value(depth: depth + 1) else { return false }
      space()
      if take(end) { return true }
      guard take(UInt8(ascii: ",")) else { return false }
      space()
    }
  }

  @_lifetime(self: copy self)
  private mutating func digits() -> Bool {
    guard isDigit(byte) else { return false }
    while isDigit(byte) { place += 1 }
    return true
  }

  @_lifetime(self: copy self)
  private mutating func number() -> Bool {
    _ = take(UInt8(ascii: "-"))
    if take(UInt8(ascii: "0")) {
      if isDigit(byte) { return false }
    } else {
      guard digits() else { return false }
    }
    if take(UInt8(ascii: ".")) { guard digits() else { return false } }
    guard take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) else { return true }
    if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
    return digits()
  }

  @_lifetime(self: copy self)
  private mutating func string() -> Bool {
    guard take(UInt8(ascii: "\"")) else { return false }
    while let byte {
      if take(UInt8(ascii: "\"")) { return true }
      if byte < 0x20 { return false }
      if take(UInt8(ascii: "\\")) {
        guard escape() else { return false }
      } else {
        guard character(byte) else { return false }
      }
    }
    return false
  }

  @_lifetime(self: copy self)
  private mutating func escape() -> Bool {
    guard let letter = byte else { return false }
    place += 1
    guard letter == UInt8(ascii: "u") else { return "\"\\/bfnrt".utf8.contains(letter) }
    for _ in 0..<4 {
      guard let digit = byte, Character(Unicode.Scalar(digit)).isHexDigit else { return false }
      place += 1
    }
    return true
  }

  /// A character of UTF-8: the shortest form, of a scalar.
  @_lifetime(self: copy self)
  private mutating func character(_ lead: UInt8) -> Bool {
    let count = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0
    guard count > 0, place + count <= text.byteCount else { return false }
    var scalar = count == 1 ? UInt32(lead) : UInt32(lead) & (0x7F >> UInt32(count))
    for offset in 1..<max(1, count) {
      let byte = text.loadUInt8(at: place + offset)
      guard byte & 0xC0 == 0x80 else { return false }
      scalar = scalar << 6 | UInt32(byte & 0x3F)
    }
    let least: [UInt32] = [0, 0, 0x80, 0x800, 0x10000]
    guard scalar >= least[count], Unicode.Scalar(scalar) != nil else { return false }
    place += count
    return true
  }
}
