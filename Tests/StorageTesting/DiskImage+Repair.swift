internal import LogEngine

extension DiskImage {
  /// Changes both header copies of a segment and makes their checksums right again.
  package mutating func rewriteHeaders(_ name: String, _ change: (inout [UInt8]) -> Void) {
    guard var bytes = files[name] else { return }
    for copy in [0, SegmentHeader.blockByteCount] {
      var block = Array(bytes[copy..<copy + SegmentHeader.blockByteCount])
      change(&block)
      let sum = XXH3.hash64(block.span.rawBytes.extracting(0..<SegmentHeader.blockByteCount - 8))
      for index in 0..<8 {
        block[SegmentHeader.blockByteCount - 8 + index] = UInt8(truncatingIfNeeded: sum >> UInt64(8 * index))
      }
      bytes.replaceSubrange(copy..<copy + SegmentHeader.blockByteCount, with: block)
    }
    files[name] = bytes
  }

  /// Changes a frame's header and makes its check right again.
  package mutating func rewriteFrame(_ name: String, at position: Int, _ change: (inout [UInt8]) -> Void) {
    guard var bytes = files[name] else { return }
    let nonce = bytes.span.rawBytes.loadUInt64(at: 128)
    var header = Array(bytes[position..<position + FrameHeader.byteCount])
    change(&header)
    let check = UInt32(
      truncatingIfNeeded: XXH3.hash64(
        header.span.rawBytes.extracting(4..<FrameHeader.byteCount), seed: nonce ^ UInt64(position)))
    for index in 0..<4 { header[index] = UInt8(truncatingIfNeeded: check >> UInt32(8 * index)) }
    bytes.replaceSubrange(position..<position + FrameHeader.byteCount, with: header)
    files[name] = bytes
  }
}
