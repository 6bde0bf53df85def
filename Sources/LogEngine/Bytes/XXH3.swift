/// XXH3 in its 64-bit form, the checksum of every frame, header and segment.
///
/// The hash is defined over `UInt64` modulo 2^64, so arithmetic on hashed words wraps by intent; shifts, all
/// by constants below 64, are masking ones. Offsets and counts trap on overflow. Nothing here allocates.
///
/// Small steps are `@_transparent`, and of SIMD only what the standard library makes concrete is used, for
/// the sake of unoptimised builds: tests flip every bit of many frames. Optimised code is as fast either way.
package enum XXH3 {
  /// The hash of `bytes`, of whatever length and alignment, under `seed`.
  package static func hash64(_ bytes: RawSpan, seed: UInt64 = 0) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe hash64($0, seed: seed) }
  }

  /// The hash of `bytes`, of whatever length and alignment, under `seed`.
  ///
  /// - Safety: `bytes` must be readable to its end. Nothing outside it is read.
  @unsafe
  package static func hash64(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    guard let input = bytes.baseAddress else { return hashOfNothing(seed) }
    let count = bytes.count
    if count <= 16 { return unsafe hashUpTo16(input, count, seed) }
    if count <= 128 { return unsafe hash17To128(input, count, seed) }
    if count <= 240 { return unsafe hash129To240(input, count, seed) }
    return unsafe seed == 0 ? hashOver240(input, count) : hashOver240(input, count, seed)
  }

  // MARK: Up to 16 bytes

  // Each length class mixes in its own words of the secret, written out here as it combines them.

  /// Secret bytes 56–63 XOR 64–71.
  private static func hashOfNothing(_ seed: UInt64) -> UInt64 {
    finalizedAsXXH64(seed ^ 0x8726_f910_5dc2_1ddc)
  }

  private static func hashUpTo16(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    let length = UInt64(truncatingIfNeeded: count)
    if count > 8 {
      // Secret bytes 24–31 XOR 32–39, and 40–47 XOR 48–55.
      let low = unsafe input.littleEndian64(0) ^ (0x6782_737b_ea42_39b9 &+ seed)
      let high = unsafe input.littleEndian64(count - 8) ^ (0xaf56_bc3b_0996_523a &- seed)
      return avalanched(length &+ low.byteSwapped &+ high &+ foldedProduct(low, high))
    }
    if count > 3 {
      // Secret bytes 8–15 XOR 16–23.
      let first = unsafe UInt64(truncatingIfNeeded: input.littleEndian32(0))
      let last = unsafe UInt64(truncatingIfNeeded: input.littleEndian32(count - 4))
      let swappedSeed = UInt64(truncatingIfNeeded: UInt32(truncatingIfNeeded: seed).byteSwapped)
      var hash = (first &<< 32 | last) ^ (0xc73a_b174_c5ec_d5a2 &- (seed ^ swappedSeed &<< 32))
      hash ^= (hash &<< 49 | hash &>> 15) ^ (hash &<< 24 | hash &>> 40)
      hash = hash &* 0x9fb2_1c65_1e98_df25
      hash ^= (hash &>> 35) &+ length
      hash = hash &* 0x9fb2_1c65_1e98_df25
      return hash ^ hash &>> 28
    }
    guard count > 0 else { return hashOfNothing(seed) }
    // Secret bytes 0–3 XOR 4–7.
    let first = unsafe UInt64(truncatingIfNeeded: input.byte(0))
    let middle = unsafe UInt64(truncatingIfNeeded: input.byte(count / 2))
    let last = unsafe UInt64(truncatingIfNeeded: input.byte(count - 1))
    let combined = last | length &<< 8 | first &<< 16 | middle &<< 24
    return finalizedAsXXH64(combined ^ (0x8727_5a9b &+ seed))
  }

  // MARK: 17 to 240 bytes

  // The closures around the secret are small enough to be inlined; otherwise it is copied for each of them.

  /// Takes 16 bytes from either end, inwards, until the two meet or overlap. `near` and `far` move on only
  /// where `near` stays before `far`, so neither leaves the input.
  private static func hash17To128(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    unsafe withUnsafeBytes(of: secret) { secret in
      var key = secret.baseAddress!
      var near = unsafe input
      var far = unsafe input + (count - 16)
      var hash = UInt64(truncatingIfNeeded: count) &* prime1
      while true {
        hash = unsafe hash &+ mixed(near, key, seed)
        hash = unsafe hash &+ mixed(far, key + 16, seed)
        guard unsafe near + 16 < far else { return avalanched(hash) }
        unsafe near += 16
        unsafe far -= 16
        unsafe key += 32
      }
    }
  }

  private static func hash129To240(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    // Bodies are hashed without a seed, and save an eighth of the time when the optimiser knows.
    unsafe seed == 0 ? mixed129To240(input, count, 0) : mixed129To240(input, count, seed)
  }

  /// Mixes 8 chunks of 16 bytes, avalanches, then adds up to 7 more whole chunks and the last 16 bytes.
  ///
  /// A sum may be taken in any order: chunk n + 8 is added in the same turn as chunk n. The branch between
  /// the two keeps LLVM from vectorising 64 by 64 bit multiplications, which slows them down.
  @inline(__always)
  private static func mixed129To240(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    unsafe withUnsafeBytes(of: secret) { secret in
      let key = secret.baseAddress!
      var head = UInt64(truncatingIfNeeded: count) &* prime1
      var tail = unsafe mixed(input + (count - 16), key + 119, seed)
      let furtherChunks = count / 16 - 8
      var chunk = 0
      while chunk < 8 {
        head = unsafe head &+ mixed(input + chunk * 16, key + chunk * 16, seed)
        if chunk < furtherChunks {
          tail = unsafe tail &+ mixed(input + (chunk * 16 + 128), key + (chunk * 16 + 3), seed)
        }
        chunk += 1
      }
      return avalanched(avalanched(head) &+ tail)
    }
  }

  /// Mixes 16 bytes of input with 16 of the secret.
  @_transparent
  private static func mixed(_ input: UnsafeRawPointer, _ key: UnsafeRawPointer, _ seed: UInt64) -> UInt64 {
    unsafe foldedProduct(
      input.littleEndian64(0) ^ (key.littleEndian64(0) &+ seed),
      input.littleEndian64(8) ^ (key.littleEndian64(8) &- seed)
    )
  }

  // MARK: Over 240 bytes

  // Kept out of line, or their stack frames are set up for the shortest input too.

  @inline(never)
  private static func hashOver240(_ input: UnsafeRawPointer, _ count: Int) -> UInt64 {
    unsafe withUnsafeBytes(of: secret) { unsafe digest(input, count, $0.baseAddress!) }
  }

  /// A seed does not enter the mixing of long inputs, but the secret that is mixed in.
  @inline(never)
  private static func hashOver240(_ input: UnsafeRawPointer, _ count: Int, _ seed: UInt64) -> UInt64 {
    var seeded = secret
    var word = 0
    while word < 24 {
      seeded[word] &+= seed
      seeded[word + 1] &-= seed
      word += 2
    }
    return unsafe withUnsafeBytes(of: seeded) { unsafe digest(input, count, $0.baseAddress!) }
  }

  /// Accumulates whole stripes of 64 bytes, 16 to a block, and scrambles after each block but the last. The
  /// last 64 bytes are a stripe apart, which overlaps the one before it unless the stripes come out even.
  @inline(__always)
  private static func digest(_ input: UnsafeRawPointer, _ count: Int, _ secret: UnsafeRawPointer) -> UInt64 {
    var lanes = Lanes()
    var block = unsafe input
    var stripes = (count - 1) / 64
    while stripes >= 16 {
      unsafe lanes.accumulate(stripes: 16, of: block, secret)
      unsafe lanes.scramble(secret + 128)
      unsafe block += 1024
      stripes -= 16
    }
    unsafe lanes.accumulate(stripes: stripes, of: block, secret)
    unsafe lanes.accumulate(stripes: 1, of: input + (count - 64), secret + 121)
    return unsafe avalanched(UInt64(truncatingIfNeeded: count) &* prime1 &+ lanes.merged(secret + 11))
  }

  /// The eight accumulators, in pairs as wide as a baseline x86-64 or arm64 register.
  private struct Lanes {
    typealias Pair = SIMD2<UInt64>

    var a = Pair(low: 0xc2b2_ae3d, high: 0x9e37_79b1_85eb_ca87)
    var b = Pair(low: 0xc2b2_ae3d_27d4_eb4f, high: 0x1656_67b1_9e37_79f9)
    var c = Pair(low: 0x85eb_ca77_c2b2_ae63, high: 0x85eb_ca77)
    var d = Pair(low: 0x27d4_eb2f_1656_67c5, high: 0x9e37_79b1)

    /// The input itself goes to the neighbouring lane. It is summed apart, and neighbours exchanged once.
    @_transparent
    mutating func accumulate(stripes: Int, of input: UnsafeRawPointer, _ secret: UnsafeRawPointer) {
      var sumA = Pair(repeating: 0)
      var sumB = sumA
      var sumC = sumA
      var sumD = sumA
      var index = 0
      while index < stripes {
        // Indexed, not advanced: otherwise LLVM carries a word of the key over to the next turn as a scalar,
        // and a quarter of the speed is lost.
        let stripe = unsafe input + index * 64
        let key = unsafe secret + index * 8
        unsafe Lanes.accumulate(stripe, key, &a, &sumA)
        unsafe Lanes.accumulate(stripe + 16, key + 16, &b, &sumB)
        unsafe Lanes.accumulate(stripe + 32, key + 32, &c, &sumC)
        unsafe Lanes.accumulate(stripe + 48, key + 48, &d, &sumD)
        index += 1
      }
      a = a &+ sumA.exchanged
      b = b &+ sumB.exchanged
      c = c &+ sumC.exchanged
      d = d &+ sumD.exchanged
    }

    /// The product is of 32-bit halves, which SSE2 can do: LLVM makes it `pxor`, `psrlq` and `pmuludq`.
    @_transparent
    static func accumulate(
      _ input: UnsafeRawPointer,
      _ key: UnsafeRawPointer,
      _ products: inout Pair,
      _ sums: inout Pair
    ) {
      let data = unsafe input.littleEndian64x2(0)
      sums = sums &+ data
      let low = unsafe data.words.low ^ key.littleEndian64(0)
      let high = unsafe data.words.high ^ key.littleEndian64(8)
      let lowHalves = Pair(low: low & 0xffff_ffff, high: high & 0xffff_ffff)
      let highHalves = Pair(low: low &>> 32, high: high &>> 32)
      products = products &+ lowHalves &* highHalves
    }

    @_transparent
    mutating func scramble(_ key: UnsafeRawPointer) {
      a = unsafe Lanes.scrambled(a, key)
      b = unsafe Lanes.scrambled(b, key + 16)
      c = unsafe Lanes.scrambled(c, key + 32)
      d = unsafe Lanes.scrambled(d, key + 48)
    }

    /// Multiplies by a 32-bit prime in two halves, since SSE2 has no multiplication of 64-bit lanes.
    @_transparent
    static func scrambled(_ pair: Pair, _ key: UnsafeRawPointer) -> Pair {
      let words = pair.words
      let low = unsafe words.low ^ words.low &>> 47 ^ key.littleEndian64(0)
      let high = unsafe words.high ^ words.high &>> 47 ^ key.littleEndian64(8)
      let prime = Pair(repeating: 0x9e37_79b1)
      let lowHalves = Pair(low: low & 0xffff_ffff, high: high & 0xffff_ffff) &* prime
      let highHalves = Pair(low: low &>> 32, high: high &>> 32) &* prime
      return lowHalves &+ highHalves &* Pair(repeating: 1 << 32)
    }

    @_transparent
    func merged(_ key: UnsafeRawPointer) -> UInt64 {
      unsafe Lanes.merged(a, key) &+ Lanes.merged(b, key + 16)
        &+ Lanes.merged(c, key + 32) &+ Lanes.merged(d, key + 48)
    }

    @_transparent
    static func merged(_ pair: Pair, _ key: UnsafeRawPointer) -> UInt64 {
      unsafe foldedProduct(pair.words.low ^ key.littleEndian64(0), pair.words.high ^ key.littleEndian64(8))
    }
  }

  // MARK: Common steps

  /// The two halves of the 128-bit product, XORed.
  @_transparent
  private static func foldedProduct(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.low ^ product.high
  }

  @_transparent
  private static func avalanched(_ value: UInt64) -> UInt64 {
    let hash = (value ^ value &>> 37) &* 0x1656_6791_9e37_79f9
    return hash ^ hash &>> 32
  }

  /// The last step of XXH64, which XXH3 kept for up to three bytes.
  @_transparent
  private static func finalizedAsXXH64(_ value: UInt64) -> UInt64 {
    var hash = (value ^ value &>> 33) &* 0xc2b2_ae3d_27d4_eb4f
    hash = (hash ^ hash &>> 29) &* 0x1656_67b1_9e37_79f9
    return hash ^ hash &>> 32
  }

  private static let prime1: UInt64 = 0x9e37_79b1_85eb_ca87

  /// The 192 bytes of the default secret.
  private static let secret: InlineArray<24, UInt64> = [
    0xbe4b_a423_396c_feb8, 0x1cad_21f7_2c81_017c, 0xdb97_9083_e96d_d4de, 0x1f67_b3b7_a4a4_4072,
    0x78e5_c0cc_4ee6_79cb, 0x2172_ffcc_7dd0_5a82, 0x8e24_43f7_7446_08b8, 0x4c26_3a81_e690_35e0,
    0xcb00_c391_bb52_283c, 0xa32e_531b_8b65_d088, 0x4ef9_0da2_9748_6471, 0xd8ac_dea9_46ef_1938,
    0x3f34_9ce3_3f76_faa8, 0x1d4f_0bc7_c7bb_dcf9, 0x3159_b4cd_4be0_518a, 0x6473_78d9_c97e_9fc8,
    0xc3eb_d334_83ac_c5ea, 0xeb63_13fa_ffa0_81c5, 0x49da_f0b7_51dd_0d17, 0x9e68_d429_2655_16d3,
    0xfca1_477d_58be_162b, 0xce31_d07a_d1b8_f88f, 0x2804_1695_8f3a_cb45, 0x7e40_4bbb_cafb_d7af,
  ]
}

// The initialiser and the subscript of `SIMD2` are generic: unoptimised, they cost calls for each lane.
extension SIMD2<UInt64> {
  @_transparent
  fileprivate init(low: UInt64, high: UInt64) {
    self = unsafe unsafeBitCast((low, high), to: Self.self)
  }

  @_transparent
  fileprivate var words: (low: UInt64, high: UInt64) {
    unsafe unsafeBitCast(self, to: (low: UInt64, high: UInt64).self)
  }

  @_transparent
  fileprivate var exchanged: Self { Self(low: words.high, high: words.low) }
}
