/// XXH3, 64 bits wide: the checksum of every frame and segment.
///
/// All arithmetic on `UInt64` here is modulo 2^64 by the definition of the algorithm, hence `&+`, `&-` and `&*`
/// throughout; offsets and counts use the trapping operators. Nothing allocates.
package enum XXH3 {
  private typealias Lanes = SIMD2<UInt64>

  /// The hash of `bytes`, of any length, under `seed`.
  package static func hash64(_ bytes: RawSpan, seed: UInt64 = 0) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe hash64($0, seed: seed) }
  }

  /// The hash of `bytes`, of any length, under `seed`.
  @unsafe
  package static func hash64(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    guard let input = bytes.baseAddress else { return finalize(seed ^ 0x8726_f910_5dc2_1ddc) }
    let count = bytes.count
    if count <= 16 { return unsafe hashUpTo16(input, count, seed) }
    if count <= 128 { return unsafe hash17To128(input, count, seed) }
    if count <= 240 { return unsafe seed == 0 ? hash129To240(input, count, 0) : hash129To240(input, count, seed) }
    return unsafe seed == 0 ? hashLong(input, count) : hashLong(input, count, seed)
  }

  // MARK: Up to 16 bytes

  /// The words of the secret are written out here, already combined as each length class uses them.
  private static func hashUpTo16(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    let length = UInt64(truncatingIfNeeded: count)
    if count > 8 {
      let low = unsafe input.littleEndian64(0) ^ (0x6782_737b_ea42_39b9 &+ seed)
      let high = unsafe input.littleEndian64(count - 8) ^ (0xaf56_bc3b_0996_523a &- seed)
      return avalanche(length &+ low.byteSwapped &+ high &+ foldedProduct(low, high))
    }
    if count > 3 {
      let first = unsafe UInt64(truncatingIfNeeded: input.littleEndian32(0))
      let last = unsafe UInt64(truncatingIfNeeded: input.littleEndian32(count - 4))
      let swapped = UInt64(truncatingIfNeeded: UInt32(truncatingIfNeeded: seed).byteSwapped)
      var hash = (last | first &<< 32) ^ (0xc73a_b174_c5ec_d5a2 &- (seed ^ swapped &<< 32))
      hash ^= (hash &<< 49 | hash &>> 15) ^ (hash &<< 24 | hash &>> 40)
      hash = hash &* 0x9fb2_1c65_1e98_df25
      hash ^= (hash &>> 35) &+ length
      hash = hash &* 0x9fb2_1c65_1e98_df25
      return hash ^ hash &>> 28
    }
    guard count > 0 else { return finalize(seed ^ 0x8726_f910_5dc2_1ddc) }
    let first = unsafe UInt64(truncatingIfNeeded: input.byte(0))
    let middle = unsafe UInt64(truncatingIfNeeded: input.byte(count / 2))
    let last = unsafe UInt64(truncatingIfNeeded: input.byte(count - 1))
    return finalize((first &<< 16 | middle &<< 24 | last | length &<< 8) ^ (0x8727_5a9b &+ seed))
  }

  // MARK: 17 to 240 bytes

  private static func hash17To128(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    unsafe withUnsafeBytes(of: secret) { secret in
      var hash = UInt64(truncatingIfNeeded: count) &* prime1
      var near = unsafe input
      var far = unsafe input + (count - 16)
      var key = unsafe secret.baseAddress!
      repeat {
        hash = unsafe hash &+ mix16(near, key, seed)
        hash = unsafe hash &+ mix16(far, key + 16, seed)
        unsafe near += 16
        unsafe far -= 16
        unsafe key += 32
      } while unsafe near < far + 16
      return avalanche(hash)
    }
  }

  @inline(__always)
  private static func hash129To240(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    unsafe withUnsafeBytes(of: secret) { secret in
      var key = unsafe secret.baseAddress!
      var head = UInt64(truncatingIfNeeded: count) &* prime1
      var tail = unsafe mix16(input + (count - 16), key + 119, seed)
      var near = unsafe input
      let middle = unsafe input + 128
      let end = unsafe input + (count - 143)
      while unsafe near < middle {
        head = unsafe head &+ mix16(near, key, seed)
        if unsafe near < end {
          tail = unsafe tail &+ mix16(near + 128, key + 3, seed)
        }
        unsafe near += 16
        unsafe key += 16
      }
      return avalanche(avalanche(head) &+ tail)
    }
  }

  @_transparent
  private static func mix16(_ input: UnsafeRawPointer, _ secret: UnsafeRawPointer, _ seed: UInt64) -> UInt64 {
    unsafe foldedProduct(
      input.littleEndian64(0) ^ (secret.littleEndian64(0) &+ seed),
      input.littleEndian64(8) ^ (secret.littleEndian64(8) &- seed)
    )
  }

  // MARK: More than 240 bytes

  private static func hashLong(_ input: UnsafeRawPointer, _ count: Int) -> UInt64 {
    unsafe withUnsafeBytes(of: secret) { unsafe hashLong(input, count, $0.baseAddress!) }
  }

  private static func hashLong(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    var derived = secret
    var word = 0
    while word < 24 {
      derived[word] &+= seed
      derived[word + 1] &-= seed
      word += 2
    }
    return unsafe withUnsafeBytes(of: derived) { unsafe hashLong(input, count, $0.baseAddress!) }
  }

  private static func hashLong(
    _ input: UnsafeRawPointer, _ count: Int, _ secret: UnsafeRawPointer
  ) -> UInt64 {
    var accumulators = Accumulators()
    var block = unsafe input
    var stripes = (count - 1) / 64
    while stripes >= 16 {
      unsafe accumulators.accumulate(block, stripes: 16, secret)
      unsafe accumulators.scramble(secret + 128)
      unsafe block += 1024
      stripes -= 16
    }
    unsafe accumulators.accumulate(block, stripes: stripes, secret)
    unsafe accumulators.accumulate(input + (count - 64), stripes: 1, secret + 121)
    return unsafe accumulators.merged(UInt64(truncatingIfNeeded: count) &* prime1, secret + 11)
  }

  private struct Accumulators {
    var a = Lanes(low: 0xc2b2_ae3d, high: 0x9e37_79b1_85eb_ca87)
    var b = Lanes(low: 0xc2b2_ae3d_27d4_eb4f, high: 0x1656_67b1_9e37_79f9)
    var c = Lanes(low: 0x85eb_ca77_c2b2_ae63, high: 0x85eb_ca77)
    var d = Lanes(low: 0x27d4_eb2f_1656_67c5, high: 0x9e37_79b1)

    @_transparent
    mutating func accumulate(_ input: UnsafeRawPointer, stripes: Int, _ secret: UnsafeRawPointer) {
      var sumA = Lanes(repeating: 0)
      var sumB = sumA
      var sumC = sumA
      var sumD = sumA
      var index = 0
      while index < stripes {
        let stripe = unsafe input + index * 64
        let key = unsafe secret + index * 8
        unsafe Accumulators.accumulate(stripe, key, &a, &sumA)
        unsafe Accumulators.accumulate(stripe + 16, key + 16, &b, &sumB)
        unsafe Accumulators.accumulate(stripe + 32, key + 32, &c, &sumC)
        unsafe Accumulators.accumulate(stripe + 48, key + 48, &d, &sumD)
        index += 1
      }
      a = a &+ sumA.swapped
      b = b &+ sumB.swapped
      c = c &+ sumC.swapped
      d = d &+ sumD.swapped
    }

    @_transparent
    static func accumulate(
      _ input: UnsafeRawPointer, _ secret: UnsafeRawPointer, _ products: inout Lanes, _ sums: inout Lanes
    ) {
      let data = unsafe input.littleEndian64x2(0)
      sums = sums &+ data
      let (d0, d1) = data.words
      let (k0, k1) = unsafe (secret.littleEndian64(0), secret.littleEndian64(8))
      let low = Lanes(low: (d0 ^ k0) & 0xffff_ffff, high: (d1 ^ k1) & 0xffff_ffff)
      let high = Lanes(low: (d0 ^ k0) &>> 32, high: (d1 ^ k1) &>> 32)
      products = products &+ low &* high
    }

    @_transparent
    mutating func scramble(_ secret: UnsafeRawPointer) {
      unsafe Accumulators.scramble(&a, secret)
      unsafe Accumulators.scramble(&b, secret + 16)
      unsafe Accumulators.scramble(&c, secret + 32)
      unsafe Accumulators.scramble(&d, secret + 48)
    }

    @_transparent
    static func scramble(_ lanes: inout Lanes, _ secret: UnsafeRawPointer) {
      let (l0, l1) = lanes.words
      let (k0, k1) = unsafe (secret.littleEndian64(0), secret.littleEndian64(8))
      let w0 = l0 ^ l0 &>> 47 ^ k0
      let w1 = l1 ^ l1 &>> 47 ^ k1
      let prime = Lanes(repeating: 0x9e37_79b1)
      let low = Lanes(low: w0 & 0xffff_ffff, high: w1 & 0xffff_ffff) &* prime
      let high = Lanes(low: w0 &>> 32, high: w1 &>> 32) &* prime
      lanes = low &+ high &* Lanes(repeating: 1 << 32)
    }

    @_transparent
    func merged(_ start: UInt64, _ secret: UnsafeRawPointer) -> UInt64 {
      var hash = start
      hash = unsafe hash &+ Accumulators.merge(a, secret)
      hash = unsafe hash &+ Accumulators.merge(b, secret + 16)
      hash = unsafe hash &+ Accumulators.merge(c, secret + 32)
      hash = unsafe hash &+ Accumulators.merge(d, secret + 48)
      return avalanche(hash)
    }

    @_transparent
    static func merge(_ lanes: Lanes, _ secret: UnsafeRawPointer) -> UInt64 {
      let (l0, l1) = lanes.words
      return unsafe foldedProduct(l0 ^ secret.littleEndian64(0), l1 ^ secret.littleEndian64(8))
    }
  }

  // MARK: Mixing

  @_transparent
  private static func foldedProduct(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.low ^ product.high
  }

  @_transparent
  private static func avalanche(_ value: UInt64) -> UInt64 {
    let hash = (value ^ value &>> 37) &* 0x1656_6791_9e37_79f9
    return hash ^ hash &>> 32
  }

  /// The final mix of XXH64, which XXH3 keeps for up to three bytes.
  @_transparent
  private static func finalize(_ value: UInt64) -> UInt64 {
    var hash = (value ^ value &>> 33) &* 0xc2b2_ae3d_27d4_eb4f
    hash = (hash ^ hash &>> 29) &* 0x1656_67b1_9e37_79f9
    return hash ^ hash &>> 32
  }

  private static var prime1: UInt64 { 0x9e37_79b1_85eb_ca87 }

  private static let secret: InlineArray<24, UInt64> = [
    0xbe4b_a423_396c_feb8, 0x1cad_21f7_2c81_017c, 0xdb97_9083_e96d_d4de, 0x1f67_b3b7_a4a4_4072,
    0x78e5_c0cc_4ee6_79cb, 0x2172_ffcc_7dd0_5a82, 0x8e24_43f7_7446_08b8, 0x4c26_3a81_e690_35e0,
    0xcb00_c391_bb52_283c, 0xa32e_531b_8b65_d088, 0x4ef9_0da2_9748_6471, 0xd8ac_dea9_46ef_1938,
    0x3f34_9ce3_3f76_faa8, 0x1d4f_0bc7_c7bb_dcf9, 0x3159_b4cd_4be0_518a, 0x6473_78d9_c97e_9fc8,
    0xc3eb_d334_83ac_c5ea, 0xeb63_13fa_ffa0_81c5, 0x49da_f0b7_51dd_0d17, 0x9e68_d429_2655_16d3,
    0xfca1_477d_58be_162b, 0xce31_d07a_d1b8_f88f, 0x2804_1695_8f3a_cb45, 0x7e40_4bbb_cafb_d7af,
  ]
}

extension SIMD2 where Scalar == UInt64 {
  @_transparent
  fileprivate init(low: UInt64, high: UInt64) {
    self = unsafe unsafeBitCast((low, high), to: Self.self)
  }

  @_transparent
  fileprivate var words: (UInt64, UInt64) {
    unsafe unsafeBitCast(self, to: (UInt64, UInt64).self)
  }

  @_transparent
  fileprivate var swapped: Self { Self(low: words.1, high: words.0) }
}
