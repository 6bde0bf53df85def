internal import Synchronization

/// A value that threads take turns with.
final class Shared<Value>: Sendable {
  let value: Mutex<Value>

  init(_ value: consuming sending Value) { self.value = Mutex(value) }
}
