internal import LogEngine

extension Command {
  static let dump = Command(
    name: "dump",
    operands: "LEDGER",
    operandCount: 1...1,
    summary: "writes headers and frames as they stand, for forensics",
    options: [.value("--segment", "N", "only this segment")],
    notes: """
      Judges nothing: bytes that are no valid frame come out as {"part":"unsound","file":NAME,"bytes":[from,to]} of the segment
      before them. Identities and 64-bit patterns are hexadecimal.
      """
  ) { (invocation, console) throws(Failure) in
    let path = try invocation.ledgerPath()
    let number = try invocation.integer("--segment")
    if let number, number < 1 { throw .usage("--segment \(number) is no segment; the first is 1") }
    do throws(LogError) {
      try SegmentedLog.inspect(at: path, segment: number.map { SegmentNumber(UInt64($0)) }) { part in
        console.output.add { $0.append(contentsOf: line(part).bytes) }
      }
    } catch {
      if error.code == .missingSegment, number != nil { throw Failure(.notFound, error.description) }
      throw Failure(error)
    }
    return .done
  }

  private static func line(_ part: SegmentedLog.Part) -> JSONLine {
    JSONLine { line in
      switch part {
      case .segment(let segment): describe(segment, &line)
      case .frame(let frame): describe(frame, &line)
      case .unsound(let file, let bytes):
        line.member("part", "unsound")
        line.member("file", file)
        line.member("bytes", from: bytes.lowerBound, to: bytes.upperBound)
      }
    }
  }

  private static func describe(_ segment: SegmentedLog.SegmentDescription, _ line: inout JSONLine) {
    line.member("part", "segment")
    line.member("file", segment.file)
    line.member("number", segment.number)
    line.member("ledger", "\(segment.log)")
    line.member("epoch", "\(segment.epoch.id)")
    line.member("epoch_start", segment.epoch.start)
    line.member("epoch_parent", "\(segment.epoch.parent)")
    line.member("epoch_parent_end", segment.epoch.parentEnd)
    line.member("first_offset", segment.firstOffset)
    line.member("log_start", segment.logStart)
    line.member("nonce", hex: segment.nonce)
    line.member("previous_number", segment.previousNumber)
    line.member("previous_length", segment.previousLength)
    line.member("previous_digest", hex: segment.previousDigest)
    line.member("preallocated", segment.preallocated)
    line.member("segment_size", segment.segmentSize)
    line.member("created_microseconds", segment.created)
    line.member("application", hex: segment.application.id)
    line.member("application_options", hex: segment.application.options)
    line.member("file_length", segment.fileLength)
    line.member("bad_header_copies", segment.badCopies)
  }

  private static func describe(_ frame: SegmentedLog.FrameDescription, _ line: inout JSONLine) {
    line.member("part", "frame")
    line.member("kind", frame.kind)
    line.member("position", frame.position)
    line.member("body_length", UInt64(frame.bodyLength))
    line.member("body_checksum", hex: frame.bodyChecksum)
    line.member("synced_through", frame.syncedThrough)
    line.member("offset", frame.offset)
    line.member("continues", frame.continues)
  }
}
