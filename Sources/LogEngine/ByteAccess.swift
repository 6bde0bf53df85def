extension UnsafeRawPointer {
  @inline(__always)
  func littleEndian64(_ offset: Int) -> UInt64 {
#if DEBUG
    unsafe unsafeBitCast((self + offset).assumingMemoryBound(to: InlineArray<8, UInt8>.self).pointee, to: UInt64.self)
#else
    unsafe self.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
#endif
  }

  @inline(__always)
  func littleEndian32(_ offset: Int) -> UInt32 {
#if DEBUG
    unsafe unsafeBitCast((self + offset).assumingMemoryBound(to: InlineArray<4, UInt8>.self).pointee, to: UInt32.self)
#else
    unsafe self.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
#endif
  }

  @inline(__always)
  func byte(_ offset: Int) -> UInt8 {
    unsafe (self + offset).assumingMemoryBound(to: UInt8.self).pointee
  }

  @inline(__always)
  func littleEndian64x2(_ offset: Int) -> SIMD2<UInt64> {
#if DEBUG
    unsafe unsafeBitCast((self + offset).assumingMemoryBound(to: InlineArray<16, UInt8>.self).pointee, to: SIMD2<UInt64>.self)
#else
    unsafe self.loadUnaligned(fromByteOffset: offset, as: SIMD2<UInt64>.self)
#endif
  }
}
extension RawSpan {
  package func loadUInt16(at o: Int) -> UInt16 { unsafe unsafeLoadUnaligned(fromByteOffset: o, as: UInt16.self) }
  package func loadUInt32(at o: Int) -> UInt32 { unsafe unsafeLoadUnaligned(fromByteOffset: o, as: UInt32.self) }
  package func loadUInt64(at o: Int) -> UInt64 { unsafe unsafeLoadUnaligned(fromByteOffset: o, as: UInt64.self) }
}
