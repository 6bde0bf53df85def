internal import PlatformIO

/// One line on a terminal that says how far a long command has come, a few times a second; nothing anywhere else.
struct Progress {
  private static let intervalNanoseconds: UInt64 = 250_000_000

  private let messages: Messages
  private let isShown: Bool
  private var lastShown = SystemEnvironment.monotonicNanoseconds()
  private var isOnLine = false

  init(_ messages: Messages) {
    self.messages = messages
    isShown = messages.isTerminal
  }

  mutating func show(_ text: @autoclosure () -> String) {
    guard isShown else { return }
    let now = SystemEnvironment.monotonicNanoseconds()
    guard now - lastShown >= Self.intervalNanoseconds else { return }
    lastShown = now
    isOnLine = true
    messages.write("\r\u{1B}[K\(Messages.onOneLine(text()))")
  }

  /// Clears the line for what is said next.
  mutating func finish() {
    if isOnLine { messages.write("\r\u{1B}[K") }
    isOnLine = false
  }
}
