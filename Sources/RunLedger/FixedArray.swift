/// A fixed number of elements that stay where they are: reaching one moves none.
///
/// An `InlineArray` of the same would be copied as a whole by whoever only looks at one, which cost each lookup 10 KB.
@safe struct FixedArray<Element: ~Copyable>: ~Copyable {
  private let elements: UnsafeMutablePointer<Element>
  let count: Int

  init(count: Int, _ element: (Int) -> Element) {
    self.count = count
    unsafe elements = UnsafeMutablePointer<Element>.allocate(capacity: count)
    for index in 0..<count { unsafe (elements + index).initialize(to: element(index)) }
  }

  deinit {
    unsafe elements.deinitialize(count: count)
    unsafe elements.deallocate()
  }

  var indices: Range<Int> { 0..<count }

  subscript(index: Int) -> Element {
    unsafeAddress {
      precondition(index >= 0 && index < count)
      return unsafe UnsafePointer(elements + index)
    }
    unsafeMutableAddress {
      precondition(index >= 0 && index < count)
      return unsafe elements + index
    }
  }
}

/// Elements that stay where they are while it grows, a chunk at a time: growth copies nothing.
@safe struct ChunkedArray<Element: BitwiseCopyable>: ~Copyable {
  /// A constant and a power of two, so that finding a place takes no division.
  private static var chunkCount: Int { 512 }
  private var chunks: [UnsafeMutablePointer<Element>] = unsafe []
  private(set) var count = 0

  init() {}

  deinit {
    for index in unsafe chunks.indices { unsafe chunks[index].deallocate() }
  }

  /// Bytes of memory.
  var byteCount: Int { unsafe chunks.count * Self.chunkCount * MemoryLayout<Element>.stride }

  mutating func append(_ element: Element) {
    if count % Self.chunkCount == 0 {
      unsafe chunks.append(UnsafeMutablePointer<Element>.allocate(capacity: Self.chunkCount))
    }
    count += 1
    unsafe place(of: count - 1).initialize(to: element)
  }

  subscript(index: Int) -> Element {
    unsafeAddress { unsafe UnsafePointer(place(of: index)) }
    unsafeMutableAddress { unsafe place(of: index) }
  }

  @inline(__always)
  private func place(of index: Int) -> UnsafeMutablePointer<Element> {
    precondition(index >= 0 && index < count)
    let (chunk, place) = UInt(index).quotientAndRemainder(dividingBy: UInt(Self.chunkCount))
    return unsafe chunks[Int(chunk)] + Int(place)
  }
}
