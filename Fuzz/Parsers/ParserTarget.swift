/// A parser that meets bytes of anybody's, alone: no log, no file, and no memory to be got for each input, so that a hundred
/// million inputs take an hour. What whole logs make of such bytes is FuzzTarget's.
public enum ParserTarget: String, FuzzProgram {
  /// Any bytes as the frames of a segment.
  case frames
  /// The bytes as a program: frames to lay, and damage to do to them.
  case program
  /// Any records as a batch, and back.
  case batch
  /// Any bytes as the block at the front of a segment.
  case header
  /// Any bytes as the front of a sidecar.
  case sidecarHeader
  /// Any bytes as the index of events in a sidecar.
  case index
  /// The bytes as a program: events to index, segments to end, to restore and to drop.
  case catalog
  /// Any bytes as a snapshot's list.
  case manifest
  /// Any bytes as an event's record.
  case event
  /// Any bytes as JSON.
  case json
  /// Any bytes as lines of an import.
  case lines

  /// Hands the bytes over, and ends the process if a promise does not hold.
  public func run(_ bytes: RawSpan) {
    switch self {
    case .frames: ScanFuzz.run(bytes)
    case .program: FrameProgram.run(bytes)
    case .batch: BatchFuzz.run(bytes)
    case .header: HeaderFuzz.run(bytes)
    case .sidecarHeader: HeaderFuzz.runSidecar(bytes)
    case .index: IndexFuzz.run(bytes)
    case .catalog: CatalogFuzz.run(bytes)
    case .manifest: HeaderFuzz.runManifest(bytes)
    case .event: EventFuzz.run(bytes)
    case .json: JSONFuzz.run(bytes)
    case .lines: LineFuzz.run(bytes)
    }
  }

  /// Inputs to begin with.
  public var seeds: [[UInt8]] {
    switch self {
    case .frames: ScanFuzz.seeds
    case .program: FrameProgram.seeds
    case .batch: BatchFuzz.seeds
    case .header: HeaderFuzz.seeds
    case .sidecarHeader: HeaderFuzz.sidecarSeeds
    case .index: IndexFuzz.seeds
    case .catalog: CatalogFuzz.seeds
    case .manifest: HeaderFuzz.manifestSeeds
    case .event: EventFuzz.seeds
    case .json: JSONFuzz.seeds
    case .lines: LineFuzz.seeds
    }
  }
}
