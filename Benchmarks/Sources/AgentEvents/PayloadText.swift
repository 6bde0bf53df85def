/// JSON payloads of any length, cut out of one pool of text, so that making one costs little more than copying it.
struct PayloadText {
  private let pool: [UInt8]

  private static let poolByteCount = 4 << 20
  private static let words = """
    the of to and a in is it you that for on are with as this be at or from by an we can not file your run all have new \
    was when use will one test if has line error function value return time path data build user code agent tool result \
    should which class change string list check request update message first only message import branch commit type \
    name null true false object array flight booking reservation payment airport passenger confirm cancel refund policy \
    repository issue review merge pull patch version release config option default argument parameter index thread lock \
    buffer segment offset record frame checksum recovery snapshot expected actual received failed passed skipped timeout \
    retry connection response status header content length encoding module package target dependency compile link
    """.split(separator: " ").map { Array($0.utf8) }

  init(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var pool: [UInt8] = []
    pool.reserveCapacity(Self.poolByteCount + 32)
    while pool.count < Self.poolByteCount {
      // The product of two draws favours the first words of the list, as language favours its short ones.
      let draw = (random.below(1 << 10) * random.below(1 << 10)) >> 10
      pool += Self.words[(draw * Self.words.count) >> 10]
      switch random.below(40) {
      case 0: pool += Array(", ".utf8)
      case 1: pool += Array(". ".utf8)
      case 2: pool += Array(String(random.below(10_000)).utf8) + [UInt8(ascii: " ")]
      default: pool.append(UInt8(ascii: " "))
      }
    }
    self.pool = pool
  }

  private static let empty = Array("{}".utf8)
  private static let short = (open: Array("{\"t\":\"".utf8), close: Array("\"}".utf8))
  private static let long = (
    open: Array("{\"ok\":true,\"text\":\"".utf8), close: Array("\",\"tokens\":".utf8)
  )

  /// A JSON object of exactly `byteCount` bytes; `{}` for fewer than 8.
  func payload(byteCount: Int, _ random: inout SplitMix64) -> [UInt8] {
    guard byteCount >= 8 else { return Self.empty }
    var payload: [UInt8] = []
    payload.reserveCapacity(byteCount)
    let draw = random.next()
    if byteCount < 64 {
      payload += Self.short.open
      append(byteCount - 8, at: draw, to: &payload)
      payload += Self.short.close
    } else {
      let tokens = Array(String(draw >> 32 & 0xFFF).utf8)
      payload += Self.long.open
      append(
        byteCount - Self.long.open.count - Self.long.close.count - tokens.count - 1,
        at: draw,
        to: &payload
      )
      payload += Self.long.close
      payload += tokens
      payload.append(UInt8(ascii: "}"))
    }
    return payload
  }

  private func append(_ byteCount: Int, at draw: UInt64, to payload: inout [UInt8]) {
    let start = Int(((draw & 0xFFFF_FFFF) * UInt64(pool.count - byteCount)) >> 32)
    payload += pool[start..<start + byteCount]
  }
}
