internal import Glibc

extension SystemCall {
  /// Bytes a second of adding up every word of some files, mapped, in one thread: the least that reading them can cost. It
  /// ends after so many bytes, since behind them the last file may be reserved space.
  package static func memoryReadRate(_ paths: [String], byteCount limit: Int) throws -> Double {
    var (byteCount, sum, nanoseconds) = (0, UInt64(0), UInt64(0))
    for path in paths {
      let length = min(lengths(path), limit - byteCount) & ~63
      let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
      guard file >= 0 else { throw failure("open", path) }
      defer { _ = close(file) }
      guard length > 0 else { continue }
      let map = unsafe mmap(nil, length, PROT_READ, MAP_SHARED | Int32(MAP_POPULATE), file, 0)
      guard let map = unsafe map, unsafe map != MAP_FAILED else { throw failure("mmap", path) }
      let words = unsafe UnsafeBufferPointer(
        start: map.assumingMemoryBound(to: UInt64.self), count: length / 8)
      let start = Self.nanoseconds()
      sum &+= unsafe total(words)
      nanoseconds += Self.nanoseconds() - start
      byteCount += length
      unsafe munmap(map, length)
    }
    guard sum != 1, nanoseconds > 0 else { throw BenchmarkError("there was nothing to read") }
    return Double(byteCount) / (Double(nanoseconds) / 1e9)
  }

  /// Eight sums side by side, so that none waits for another. `words` are a multiple of eight.
  private static func total(_ words: UnsafeBufferPointer<UInt64>) -> UInt64 {
    var sums = SIMD8<UInt64>()
    var place = 0
    while place < words.count {
      let part = unsafe UnsafeRawPointer(words.baseAddress! + place).loadUnaligned(as: SIMD8<UInt64>.self)
      sums &+= part
      place += 8
    }
    return sums.wrappedSum()
  }
}
