internal import PlatformIO

/// The segment that appends go to. Used under the writer's lock alone.
final class ActiveSegment {
  let file: any LogFile
  let number: SegmentNumber
  let nonce: UInt64
  /// The length at which the segment is full.
  let capacity: UInt64
  /// Its header says nothing of the log that its predecessor's does not, so that it can go as long as it is empty.
  let isExpendable: Bool
  /// How far it goes. A write moves a copy of it on, and puts that back once it has succeeded.
  var extent: Extent {
    get { unsafe current }
    set { unsafe current = newValue }
  }
  // Only read or written as a whole, so no access can be within another; to have the runtime see to it costs an append 200
  // instructions.
  @exclusivity(unchecked) private var current: Extent

  struct Extent {
    /// A batch boundary: the next frame goes here.
    var end: FilePosition
    /// Everything below was durable when it was last synced.
    var synced: FilePosition
    /// Where the last sync frame ended, if nothing came after it.
    var quietEnd: FilePosition?
    /// How far its sidecar goes.
    var sidecarEnd: FilePosition?
    /// How far the system was told to write to the disk without being waited for.
    var writtenBack = SegmentHeader.dataStart
    var tally: SegmentTally
  }

  /// What must fit behind the last batch: a sync frame and the seal.
  static let reserve = SyncFrame.maximumByteCount + Seal.frameByteCount

  init(
    _ file: any LogFile, _ header: SegmentHeader, capacity: UInt64, isExpendable: Bool, _ extent: Extent
  ) {
    self.file = file
    number = header.number
    nonce = header.nonce
    self.capacity = capacity
    self.isExpendable = isExpendable
    unsafe current = extent
  }

  var end: FilePosition { extent.end }

  func hasRoom(for byteCount: Int) -> Bool {
    end.rawValue + UInt64(byteCount) + Self.reserve <= capacity
  }
}
