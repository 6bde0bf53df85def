/// Which texts a ledger accepts as an event's ``Event/kind``.
public enum KindRule: Sendable, Hashable {
  /// Two or more dot-separated segments of ASCII lower-case letters and digits, the first character a letter,
  /// as in `clue.found`. The whole text must match; a line break at its end does not.
  case dotted

  /// Any text that an id could be, for kinds such as `tool_call`.
  case anyText
}
