/// The place of a record in the ledger: 1, 2, 3 … and never reused, not even after a reset.
///
/// Offsets are the only order a ledger has. 0 stands for "before the first record".
public struct Offset: RawRepresentable, BitwiseCopyable, Sendable, Hashable, Comparable,
  CustomStringConvertible,
  ExpressibleByIntegerLiteral
{
  /// The number.
  public let rawValue: UInt64

  /// The number as it is.
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// The number as it is.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  /// The number as it is.
  public init(integerLiteral value: UInt64) { self.rawValue = value }

  /// Before every record.
  public static let zero = Offset(0)
  /// The last offset there can be: indexes keep 40 bits (FORMAT.md, Limits).
  public static let max = Offset(1 << 40 - 1)

  /// By number.
  public static func < (left: Offset, right: Offset) -> Bool { left.rawValue < right.rawValue }

  /// The number in decimal.
  public var description: String { String(rawValue) }

  package var next: Offset { Offset(rawValue + 1) }
  package func advanced(by count: UInt64) -> Offset { Offset(rawValue + count) }
}

/// A byte position in a segment file.
public struct FilePosition: RawRepresentable, BitwiseCopyable, Sendable, Hashable, Comparable,
  CustomStringConvertible
{
  /// The number.
  public let rawValue: UInt64

  /// The number as it is.
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// The number as it is.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// By number.
  public static func < (left: FilePosition, right: FilePosition) -> Bool { left.rawValue < right.rawValue }

  /// The number in decimal.
  public var description: String { String(rawValue) }

  package func advanced(by count: UInt64) -> FilePosition { FilePosition(rawValue + count) }

  /// The first position at or after this one that is a multiple of `alignment`, a power of two.
  package func roundedUp(to alignment: UInt64) -> FilePosition {
    FilePosition((rawValue + (alignment - 1)) & ~(alignment - 1))
  }
}

/// The number of a segment, which is also its name. Numbers only rise.
public struct SegmentNumber: RawRepresentable, Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The number.
  public let rawValue: UInt64

  /// The number as it is.
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  /// The number as it is.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// By number.
  public static func < (left: SegmentNumber, right: SegmentNumber) -> Bool { left.rawValue < right.rawValue }

  /// The number in decimal.
  public var description: String { String(rawValue) }

  package var next: SegmentNumber { SegmentNumber(rawValue + 1) }
}
