internal import PlatformIO

/// The operations of an ``ObservedFileSystem``, in order.
package final class CallRecorder: Sendable {
  private let calls = Locked<[ObservedFileSystem.Call]>([])

  package init() {}

  package var observer: ObservedFileSystem.Observer {
    { call in
      self.calls.withLock { $0.append(call) }
      return nil
    }
  }

  /// What has changed the disk or made it durable, but for LOCK and the reserve, which no durability depends on.
  package var mutations: [String] {
    calls.withLock {
      $0.filter { $0.isMutation && $0.name != "LOCK" && $0.name != "reserve" }.map(\.description)
    }
  }

  package func clear() { calls.withLock { $0 = [] } }
}
