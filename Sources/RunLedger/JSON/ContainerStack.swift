/// Which of the open containers are objects: one bit a level, as many levels as ``EventLimits/jsonDepth``
/// allows.
struct ContainerStack {
  private var words = InlineArray<8, UInt64>(repeating: 0)
  private(set) var depth = 0

  /// Whether the innermost open container is an object; kept apart so that the common question is cheap.
  private(set) var isObject = false

  /// Opens a container, or says that it would be too deep.
  mutating func push(isObject: Bool) -> Bool {
    guard depth < EventLimits.jsonDepth else { return false }
    let bit: UInt64 = 1 << (depth % 64)
    if isObject { words[depth / 64] |= bit } else { words[depth / 64] &= ~bit }
    depth += 1
    self.isObject = isObject
    return true
  }

  /// Closes the innermost container; there must be one.
  mutating func pop() {
    depth -= 1
    guard depth > 0 else { return }
    let parent = depth - 1
    isObject = words[parent / 64] >> (parent % 64) & 1 == 1
  }
}
