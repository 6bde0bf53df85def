/// The structure of valid JSON text as one flat array: an entry for each value and each member's name, in
/// text order.
///
/// An entry is the index in the text where a token begins, and the byte there says what the token is. A
/// container's entry is followed by one more, the entry behind its contents. Four bytes a token, and no
/// recursion to build or walk.
struct JSONTape {
  /// What begins at an entry.
  enum Kind {
    case object, array, string, number, literal
  }

  private var entries: [UInt32] = []

  /// Builds the tape of text that the scanner has accepted and that is shorter than 4 GiB.
  /// Cost: O(`bytes.byteCount`).
  ///
  /// - Throws: ``JSONFault`` only for text the scanner would not accept either.
  init(_ bytes: RawSpan) throws(JSONFault) {
    var open: [Int] = []
    var index = 0
    while index < bytes.byteCount {
      let byte = bytes.byte(at: index)
      switch byte {
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        open.append(entries.count)
        entries.append(UInt32(index))
        entries.append(0)
        index += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        if let container = open.popLast() { entries[container + 1] = UInt32(entries.count) }
        index += 1
      case UInt8(ascii: "\""):
        entries.append(UInt32(index))
        index = try JSONScanner.skipString(bytes, index)
      case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        entries.append(UInt32(index))
        index = try JSONScanner.skipNumber(bytes, index)
      case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"):
        entries.append(UInt32(index))
        index += byte == UInt8(ascii: "f") ? 5 : 4
      default:
        index += 1
      }
    }
  }

  /// What begins at an entry of the tape of `bytes`.
  func kind(_ entry: Int, _ bytes: RawSpan) -> Kind {
    switch bytes.byte(at: position(entry)) {
    case UInt8(ascii: "{"): .object
    case UInt8(ascii: "["): .array
    case UInt8(ascii: "\""): .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): .literal
    default: .number
    }
  }

  /// Where in the text an entry's token begins.
  func position(_ entry: Int) -> Int {
    Int(entries[entry])
  }

  /// The entry behind a value, and behind all that is in it.
  func end(_ entry: Int, _ bytes: RawSpan) -> Int {
    switch kind(entry, bytes) {
    case .object, .array: containerEnd(entry)
    case .string, .number, .literal: entry + 1
    }
  }

  /// The entry behind all that is in a container.
  func containerEnd(_ container: Int) -> Int {
    Int(entries[container + 1])
  }

  /// The first entry in a container, which is ``containerEnd(_:)`` if the container is empty.
  func firstChild(_ container: Int) -> Int {
    container + 2
  }

  /// The entries of an object's names, in text order; each is followed by the entry of its value.
  func members(_ object: Int, _ bytes: RawSpan) -> [UInt32] {
    var result: [UInt32] = []
    var name = firstChild(object)
    let end = containerEnd(object)
    while name < end {
      result.append(UInt32(name))
      name = self.end(name + 1, bytes)
    }
    return result
  }
}
