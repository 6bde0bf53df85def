import Foundation
import PlatformIO
import StorageTesting

/// Holds what Fuzz/block-replay.py kept of real disks against the simulated one: every image that it mounted must be one
/// that the simulated disk can produce after the same operations. A line for each says `explained`, `UNEXPLAINED`, or `RETURNED` if
/// nothing but empty directories is too much.
struct Calibration {
  struct Wrong: Error, CustomStringConvertible { var description: String }

  private(set) var explained = 0
  private(set) var unexplained = 0

  /// Sessions are directories with the traces of their lives, `directory` itself or those in it.
  init(_ directory: String) throws {
    let names = try DiskFileSystem.shared.entries(of: directory).sorted()
    if names.contains("mount") {
      try run(directory)
    } else {
      for name in names { try run(directory + "/" + name) }
    }
    guard explained + unexplained > 0 else { throw Wrong(description: "there are no images in \(directory)") }
  }

  private mutating func run(_ session: String) throws {
    let names = try DiskFileSystem.shared.entries(of: session)
    let mount = try Self.text(session + "/mount")
    let images = names.compactMap(Image.init).sorted { ($0.moment, $0.name) < ($1.moment, $1.name) }
    let lives = try names.compactMap { name -> (Int, [TracedOperation])? in
      let parts = name.split { $0 == "-" || $0 == "." }
      guard parts.count == 3, parts[0] == "trace", let life = Int(parts[1]) else { return nil }
      return (life, try Trace(Self.text(session + "/" + name), mount: mount).operations)
    }.sorted { $0.0 < $1.0 }.map(\.1)
    var replay = DiskReplay()
    var next = 0
    for image in images {
      while next < lives.count, lives[next].first?.start ?? 0 < image.moment {
        try replay.begin(lives[next])
        next += 1
      }
      let content = try Self.content(session + "/" + image.name)
      let verdict = try replay.judge(content, at: image.moment)
      if case .impossible(let why) = verdict {
        // An empty directory may be one that was removed; whether that is forgiven is for the caller to say.
        let rest = content.filter { !$0.value.files.isEmpty }
        if rest.count < content.count, try replay.judge(rest, at: image.moment).isPossible {
          print(
            "RETURNED \(session)/\(image.name): \(content.keys.filter { rest[$0] == nil }.sorted()): \(why)")
        } else {
          print("UNEXPLAINED \(session)/\(image.name): \(why)")
        }
        unexplained += 1
      } else {
        explained += 1
        print("explained \(session)/\(image.name): \(verdict)")
      }
    }
  }

  /// What an image holds, by directory; but for what mkfs put there.
  private static func content(_ path: String) throws -> [String: DiskImage] {
    var content: [String: DiskImage] = [:]
    for name in try DiskFileSystem.shared.entries(of: path) where name != "lost+found" {
      content[name] = try DiskImage(of: DiskFileSystem.shared, directory: path + "/" + name)
    }
    return content
  }

  private static func text(_ path: String) throws -> String {
    String(decoding: try DiskFileSystem.shared.open(path, .readOnly).allBytes(), as: UTF8.self)
  }
}

/// A directory NUMBER-KIND-MOMENT.
private struct Image {
  let name: String
  let moment: UInt64

  init?(_ name: String) {
    let parts = name.split(separator: "-")
    guard parts.count == 3, let moment = UInt64(parts[2]) else { return nil }
    self.name = name
    self.moment = moment
  }
}

/// The operations of one process, from its JSON lines.
private struct Trace {
  private struct Line: Decodable {
    var n: Int
    var op: String?
    var path: String?
    var to: String?
    var mode: String?
    var file: Int?
    var position: Int?
    var length: Int?
    var bytes: String?
    var start: UInt64?
    var end: UInt64?
    var error: String?
  }

  private(set) var operations: [TracedOperation] = []

  init(_ text: String, mount: String) throws {
    let decoder = JSONDecoder()
    var places: [Int: Int] = [:]
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    // Behind the last line is nothing, or one in whose middle the process died.
    lines.removeLast()
    for text in lines {
      let line = try decoder.decode(Line.self, from: Data(text.utf8))
      if let start = line.start, let path = line.path {
        guard let call = try Self.call(line, mount) else { continue }
        places[line.n] = operations.count
        operations.append(TracedOperation(line.n, call, Self.path(path, mount), start: start))
      } else if let place = places[line.n] {
        operations[place].end = line.end
        operations[place].hasFailed = line.error != nil
      }
    }
  }

  /// nil for what changes nothing.
  private static func call(_ line: Line, _ mount: String) throws -> TracedOperation.Call? {
    let to = path(line.to ?? "", mount)
    let (file, length) = (line.file ?? 0, line.length ?? 0)
    switch line.op {
    case "createDirectory": return .createDirectory
    case "unlink": return .unlink
    case "removeDirectory": return .removeDirectory
    case "syncDirectory": return .syncDirectory
    case "open": return .open(try mode(line.mode))
    case "link": return .link(to: to)
    case "rename": return .rename(to: to)
    case "renameNew": return .renameNew(to: to)
    case "exchange": return .exchange(with: to)
    case "write": return .write(file: file, position: line.position ?? 0, bytes: bytes(line.bytes ?? ""))
    case "preallocate": return .preallocate(file: file, length: length)
    case "setLength": return .setLength(file: file, length: length)
    case "sync": return .sync(file: file)
    case "read", "map": return nil
    default: throw Calibration.Wrong(description: "nobody knows the operation \(line.op ?? "")")
    }
  }

  private static func mode(_ name: String?) throws -> FileOpenMode {
    switch name {
    case "readOnly": .readOnly
    case "readWrite": .readWrite
    case "createIfMissing": .createIfMissing
    case "createNew": .createNew
    default: throw Calibration.Wrong(description: "nobody opens as \(name ?? "")")
    }
  }

  /// Where the disk was mounted is the simulated one's only directory.
  private static func path(_ path: String, _ mount: String) -> String {
    path.hasPrefix(mount) ? DiskReplay.directory + path.dropFirst(mount.count) : path
  }

  private static func bytes(_ hex: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(hex.utf8.count / 2)
    var high: UInt8?
    for digit in hex.utf8 {
      let value = digit < UInt8(ascii: "a") ? digit - UInt8(ascii: "0") : digit - UInt8(ascii: "a") + 10
      if let first = high { bytes.append(first << 4 | value) }
      high = high == nil ? value : nil
    }
    return bytes
  }
}
