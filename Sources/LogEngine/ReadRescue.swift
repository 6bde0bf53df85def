internal import PlatformIO
internal import Synchronization

/// Reads of a failing disk for a salvage: what cannot be read shows as bytes that are no frame, and is noted. Nobody else may take
/// such bytes for the file's.
package final class ReadRescue: Sendable {
  /// Neither a frame, whatever the nonce, nor zeros that an interrupted write might have left.
  private static let filler: UInt8 = 0xA5
  /// What a disk loses at once, at the least.
  private static let pageByteCount: UInt64 = 4096

  private let lost = Mutex<[Damage]>([])

  package init() {}

  /// What could not be read, each page once, in the order of files and bytes.
  package var damage: [Damage] {
    var joined: [Damage] = []
    for page in lost.withLock({ $0 }).sorted(by: {
      ($0.file, $0.bytes.lowerBound) < ($1.file, $1.bytes.lowerBound)
    }) {
      guard let last = joined.last, last.file == page.file, page.bytes.lowerBound <= last.bytes.upperBound
      else {
        joined.append(page)
        continue
      }
      let end = max(last.bytes.upperBound, page.bytes.upperBound)
      joined[joined.count - 1] = Self.unreadable(page.file, last.bytes.lowerBound..<end)
    }
    return joined
  }

  private static func unreadable(_ name: String, _ bytes: Range<UInt64>) -> Damage {
    Damage(kind: .unreadable, file: name, bytes: bytes, offsets: 0..<0)
  }

  func wrap(_ file: any LogFile, name: String) -> any LogFile { RescuedFile(file, name, self) }

  fileprivate func read(
    _ file: any LogFile, _ name: String, into buffer: inout MutableRawSpan, at position: UInt64
  ) throws(FileSystemError) -> Int {
    do throws(FileSystemError) {
      return try file.read(into: &buffer, at: position)
    } catch {
      guard error.code == .io else { throw error }
    }
    // Page by page, for the pages about a bad one.
    let end = min(position + UInt64(buffer.byteCount), try file.status().length)
    var place = position
    while place < end {
      let next = min((place / Self.pageByteCount + 1) * Self.pageByteCount, end)
      var page = buffer._mutatingExtracting(Int(place - position)..<Int(next - position))
      do throws(FileSystemError) {
        _ = try file.read(into: &page, at: place)
      } catch {
        guard error.code == .io else { throw error }
        for byte in 0..<page.byteCount {
          page.storeBytes(of: Self.filler, toByteOffset: byte, as: UInt8.self)
        }
        lost.withLock { $0.append(Self.unreadable(name, place..<next)) }
      }
      place = next
    }
    return max(0, Int(end - min(position, end)))
  }
}

/// A file that is only read.
private final class RescuedFile: LogFile {
  private let base: any LogFile
  private let name: String
  private let rescue: ReadRescue

  init(_ base: any LogFile, _ name: String, _ rescue: ReadRescue) {
    self.base = base
    self.name = name
    self.rescue = rescue
  }

  var path: String { base.path }
  func status() throws(FileSystemError) -> FileStatus { try base.status() }

  func read(into buffer: inout MutableRawSpan, at position: UInt64) throws(FileSystemError) -> Int {
    try rescue.read(base, name, into: &buffer, at: position)
  }

  func nextData(from position: UInt64) throws(FileSystemError) -> UInt64? {
    try base.nextData(from: position)
  }

  /// Pages that cannot be read would end the process.
  func map(_ length: UInt64) throws(FileSystemError) -> MemoryRegion { throw refusal(.map) }
  func write(_ bytes: RawSpan, at position: UInt64) throws(FileSystemError) { throw refusal(.write) }
  func preallocate(_ length: UInt64) throws(FileSystemError) { throw refusal(.preallocate) }
  func setLength(_ length: UInt64) throws(FileSystemError) { throw refusal(.truncate) }
  func sync() throws(FileSystemError) { throw refusal(.sync) }
  func tryLock() throws(FileSystemError) -> Bool { throw refusal(.lock) }
  func unlock() {}

  private func refusal(_ operation: FileSystemError.Operation) -> FileSystemError {
    FileSystemError(.notSupported, operation, path: path)
  }
}
