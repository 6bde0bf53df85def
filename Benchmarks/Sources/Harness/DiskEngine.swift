internal import Glibc
package import RunLedger

/// The bare disk: the same bytes, laid out before the clock starts, with nothing but `pwrite` into a preallocated file,
/// and `fdatasync`. What no store can beat while it keeps to system calls.
package final class DiskEngine: Engine {
  private let file: Int32
  private let path: String
  private let syncs: Bool
  private var position = 0
  private var bytes: [UInt8] = []
  private var starts: [Int] = []

  /// A frame's header and an event's fixed fields: what the ledger writes besides texts and payload.
  private static let fixedByteCount = 32 + 48

  package init(creating path: String, _ durability: Durability, byteCount: Int) throws {
    self.path = path
    syncs = durability != .unsynced
    file = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw SystemCall.failure("open", path) }
    let code = posix_fallocate(file, 0, byteCount)
    guard code == 0 else { throw SystemCall.failure("posix_fallocate", path, code) }
    guard fsync(file) == 0 else { throw SystemCall.failure("fsync", path) }
  }

  package init(opening path: String, forWriting: Bool) throws {
    self.path = path
    syncs = false
    file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw SystemCall.failure("open", path) }
  }

  deinit { _ = Glibc.close(file) }

  package func stage(_ events: [Event]) {
    bytes.removeAll(keepingCapacity: true)
    starts.removeAll(keepingCapacity: true)
    for event in events {
      let start = bytes.count
      starts.append(start)
      let texts = [
        event.id, event.runID, event.kind, event.actor, event.sessionID, event.modelProfile, event.modelID,
      ]
      bytes += repeatElement(0, count: Self.fixedByteCount)
      for (place, text) in texts.enumerated() {
        guard let text else { continue }
        bytes += text.utf8
        store(UInt32(text.utf8.count), at: start + 4 + 4 * place)
      }
      store(UInt32(event.payload.count), at: start + 32)
      bytes += event.payload
      bytes += repeatElement(0, count: -bytes.count & 7)
      store(UInt32(bytes.count - start), at: start)
    }
    starts.append(bytes.count)
  }

  private func store(_ value: UInt32, at place: Int) {
    for byte in 0..<4 { bytes[place + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
  }

  package func commit(batchSize: Int) throws {
    try unsafe bytes.withUnsafeBytes { bytes in
      for first in stride(from: 0, to: starts.count - 1, by: batchSize) {
        let end = starts[min(first + batchSize, starts.count - 1)]
        let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[starts[first]..<end])
        guard unsafe pwrite(file, part.baseAddress, part.count, position) == part.count else {
          throw SystemCall.failure("pwrite", path)
        }
        if syncs, fdatasync(file) != 0 { throw SystemCall.failure("fdatasync", path) }
        position += part.count
      }
    }
  }

  package func close() throws {}

  package func scan(_ body: (RawSpan, RawSpan, RawSpan) -> Void) throws {
    var buffer = [UInt8](repeating: 0, count: 8 << 20)
    var position = 0
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe pread(file, $0.baseAddress, $0.count, position)
      }
      guard count >= 0 else { throw SystemCall.failure("pread", path) }
      var start = 0
      while start + Self.fixedByteCount <= count {
        let length = load(buffer, start)
        if length == 0 { return }
        guard start + length <= count else { break }
        let textsStart = start + Self.fixedByteCount
        let lengths = (0..<7).map { load(buffer, start + 4 + 4 * $0) }
        let payloadStart = textsStart + lengths.reduce(0, +)
        let span = unsafe buffer.span.bytes
        body(
          span.extracting(textsStart..<textsStart + lengths[0]),
          span.extracting(textsStart + lengths[0]..<textsStart + lengths[0] + lengths[1]),
          span.extracting(payloadStart..<payloadStart + load(buffer, start + 32))
        )
        start += length
      }
      if start == 0 { return }
      position += start
    }
  }

  private func load(_ buffer: [UInt8], _ place: Int) -> Int {
    (0..<4).reduce(0) { $0 | Int(buffer[place + $1]) << (8 * $1) }
  }

  package func find(id: String) throws -> Int? { throw BenchmarkError("the bare disk finds nothing") }
  package func read(run: String) throws -> (events: Int, payloadBytes: Int) {
    throw BenchmarkError("the bare disk finds nothing")
  }
  package var facts: [(name: String, value: Double)] { [] }
}
