/// The limits every event keeps. They are part of the ledger's contract and never grow by configuration,
/// except that a ledger may be opened with a lower or higher payload limit up to ``payloadBytes``.
public enum EventLimits {
  /// The most UTF-8 bytes in any text field of an event: 512.
  public static let textBytes = 512

  /// The most bytes in a payload under any configuration: 1 GiB.
  public static let payloadBytes = 1 << 30

  /// The most bytes in a payload unless the caller says otherwise: 128 MiB.
  public static let defaultPayloadBytes = 128 << 20

  /// The deepest nesting of arrays and objects that counts as JSON here: 512.
  public static let jsonDepth = 512
}
