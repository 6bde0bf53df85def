/// What an application keeps in memory of a log's records to find them by, segment by segment, so that the index of a sealed
/// segment can be kept beside it and need not be made again.
///
/// The log calls it in the order of the offsets, one call at a time: while it is opened, and then under the writer's lock; but for
/// ``encodeSegment(at:)`` and ``moveSegment(at:to:)``, which the housekeeper calls beside that, and a close. The application itself adds what
/// it appends.
package protocol RecordIndex: AnyObject, Sendable {
  /// Takes from what ``encodeSegment(at:)`` once gave for one of the segments what all have in common, before any is restored or
  /// read. False: the bytes are of no use, and another segment's are to be tried.
  func prepare(toRestore bytes: StoredBytes) -> Bool

  /// The records from `first` on are another segment's.
  func beginSegment(at first: Offset)

  /// A record that was read because no sidecar had it. An error ends the opening.
  func add(_ offset: Offset, _ record: RawSpan) throws(LogError)

  /// Takes what ``encodeSegment(at:)`` once gave for the first `count` records of the segment that was begun last; more will be
  /// added behind them unless it is sealed. False: the bytes are of no use, and nothing was taken.
  func restoreSegment(_ bytes: StoredBytes, count: Int, isSealed: Bool) -> Bool

  /// Nothing more will be added to the segment that was begun last. An append waits for this.
  func endSegment()

  /// The index of the segment that begins at `first`, as bytes for ``restoreSegment(_:count:isSealed:)``. It has ended, or nothing
  /// is added meanwhile. nil if it is gone, or has no record.
  func encodeSegment(at first: Offset) -> StoredBytes?

  /// The same bytes as ``encodeSegment(at:)`` gave for the segment that begins at `first`, at another place: let go of the old.
  func moveSegment(at first: Offset, to bytes: StoredBytes)

  /// The records below are gone. Readers may still look them up for a moment.
  func removeAll(below offset: Offset)
}
