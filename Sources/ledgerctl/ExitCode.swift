/// What the process says to its caller. The numbers are sysexits.h's.
struct ExitCode: RawRepresentable, Sendable, Hashable {
  let rawValue: Int32

  static let done = ExitCode(rawValue: 0)
  static let usage = ExitCode(rawValue: 64)
  /// Bad data, a conflict, or damage found.
  static let badData = ExitCode(rawValue: 65)
  /// No such ledger, file, id or run.
  static let notFound = ExitCode(rawValue: 66)
  static let bug = ExitCode(rawValue: 70)
  /// The destination exists or cannot be created.
  static let cannotCreate = ExitCode(rawValue: 73)
  /// An I/O error, a full disk included.
  static let inputOutput = ExitCode(rawValue: 74)
  /// Locked or timed out.
  static let locked = ExitCode(rawValue: 75)
  static let permission = ExitCode(rawValue: 77)

  /// Stopped by a signal, as shells write it.
  static func interrupted(by signal: Int32) -> ExitCode { ExitCode(rawValue: 128 + signal) }
}
