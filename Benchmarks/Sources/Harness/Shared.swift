package import Synchronization

/// A value that threads take turns with.
package final class Shared<Value>: Sendable {
  package let value: Mutex<Value>

  package init(_ value: consuming sending Value) { self.value = Mutex(value) }
}
