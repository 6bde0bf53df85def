// Every unsafe load and store of bytes in this module is in this folder. The rest of it reaches bytes through the checked
// methods of `RawSpan` below or, where a measurement asks for it, through those of `UnsafeRawPointer`, and
// then says beside the call why the bytes are there.

// Files hold little-endian integers, and loads take the host's order. Where the two differ the build must
// fail, or every file would be written wrong.
#if _endian(big)
  #error("ByteAccess loads integers in host order, and files hold them little-endian")
#endif

// MARK: Checked

// Inlinable because event bodies are decoded in another module: 0.35 ns a load there, against 1.35 ns by a
// call. `@inline(always)` holds in unoptimised builds too, and halves their time.
extension RawSpan {
  /// The little-endian integer at `offset`, which need not be aligned.
  ///
  /// Traps unless all of it lies inside the span. The subtraction cannot overflow, because a count is never
  /// negative; and a span that holds the integer has a base address.
  @inlinable @inline(always)
  package func loadUInt16(at offset: Int) -> UInt16 {
    precondition(offset >= 0 && offset <= byteCount - 2)
    return unsafe withUnsafeBytes { unsafe $0.baseAddress!.littleEndian16(offset) }
  }

  /// The little-endian integer at `offset`, as for `loadUInt16(at:)`.
  @inlinable @inline(always)
  package func loadUInt32(at offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset <= byteCount - 4)
    return unsafe withUnsafeBytes { unsafe $0.baseAddress!.littleEndian32(offset) }
  }

  /// The little-endian integer at `offset`, as for `loadUInt16(at:)`.
  @inlinable @inline(always)
  package func loadUInt64(at offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset <= byteCount - 8)
    return unsafe withUnsafeBytes { unsafe $0.baseAddress!.littleEndian64(offset) }
  }
}

// MARK: Unchecked

// The caller answers for the bounds: all bytes of the value must be readable. They need not be aligned.

#if DEBUG
  // `loadUnaligned` is generic: unoptimised, each load is two calls, the second to memcpy. An array of bytes
  // is loaded by one instruction, and promises no alignment either. Optimised builds must not load so: LLVM
  // then sees as many loads as bytes, and where two values overlap does not always put them together again.
  extension UnsafeRawPointer {
    @inlinable @_transparent
    func littleEndian16(_ offset: Int) -> UInt16 {
      let bytes = unsafe (self + offset).assumingMemoryBound(to: InlineArray<2, UInt8>.self).pointee
      return unsafe unsafeBitCast(bytes, to: UInt16.self)
    }

    @inlinable @_transparent
    func littleEndian32(_ offset: Int) -> UInt32 {
      let bytes = unsafe (self + offset).assumingMemoryBound(to: InlineArray<4, UInt8>.self).pointee
      return unsafe unsafeBitCast(bytes, to: UInt32.self)
    }

    @inlinable @_transparent
    func littleEndian64(_ offset: Int) -> UInt64 {
      let bytes = unsafe (self + offset).assumingMemoryBound(to: InlineArray<8, UInt8>.self).pointee
      return unsafe unsafeBitCast(bytes, to: UInt64.self)
    }

    @inlinable @_transparent
    func littleEndian64x2(_ offset: Int) -> SIMD2<UInt64> {
      let bytes = unsafe (self + offset).assumingMemoryBound(to: InlineArray<16, UInt8>.self).pointee
      return unsafe unsafeBitCast(bytes, to: SIMD2<UInt64>.self)
    }
  }
#else
  extension UnsafeRawPointer {
    @inlinable @_transparent
    func littleEndian16(_ offset: Int) -> UInt16 {
      unsafe loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    }

    @inlinable @_transparent
    func littleEndian32(_ offset: Int) -> UInt32 {
      unsafe loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }

    @inlinable @_transparent
    func littleEndian64(_ offset: Int) -> UInt64 {
      unsafe loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    @inlinable @_transparent
    func littleEndian64x2(_ offset: Int) -> SIMD2<UInt64> {
      unsafe loadUnaligned(fromByteOffset: offset, as: SIMD2<UInt64>.self)
    }
  }
#endif

extension UnsafeRawPointer {
  @inlinable @_transparent
  func byte(_ offset: Int) -> UInt8 {
    unsafe (self + offset).assumingMemoryBound(to: UInt8.self).pointee
  }
}
