internal import LogEngine
internal import PlatformIO

/// Operations on files that no ledger would do in this order, for what the disk makes of them: on a few names, synced now and then,
/// long and short, in one directory.
struct Scribbler {
  private let directory: String
  private let fileSystem: any FileSystem
  private let count: Int
  private var dice: Dice

  init(_ program: Program) {
    directory = program.order.path
    fileSystem = program.fileSystem
    count = program.order.operations
    dice = Dice(program.order.seed, program.order.life, 0x7363_7269)
  }

  mutating func scribble() throws(FileSystemError) {
    if try fileSystem.createDirectory(directory) {
      try fileSystem.syncDirectory(
        String(directory[..<(directory.lastIndex(of: "/") ?? directory.startIndex)]))
    }
    // Whoever listens knows by this that it goes on.
    Report.say("o")
    for number in 0..<count { try operate(number) }
  }

  private mutating func path() -> String { "\(directory)/\(Int.random(in: 0..<6, using: &dice))" }

  private mutating func operate(_ number: Int) throws(FileSystemError) {
    let (path, other) = (path(), path())
    guard let status = try fileSystem.status(of: path) else {
      _ = try fileSystem.open(path, .createNew)
      return
    }
    let file = try fileSystem.open(path, .readWrite)
    let isLong = dice.chance(5)
    let count = Int.random(in: 1...(isLong ? 1_500_000 : 9_000), using: &dice)
    switch Int.random(in: 0..<100, using: &dice) {
    case ..<45:
      let position = dice.chance(50) ? status.length : UInt64.random(in: 0...status.length, using: &dice)
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: number &+ $0 / 512) }
      try file.write(bytes.span.rawBytes, at: position)
    case ..<52: try file.preallocate(status.length + UInt64(count))
    case ..<60: try file.setLength(UInt64.random(in: 0...status.length + 5_000, using: &dice))
    case ..<78: try file.sync()
    case ..<86: try fileSystem.syncDirectory(directory)
    case ..<92: try fileSystem.unlink(path)
    case ..<96: if path != other { try fileSystem.rename(path, to: other) }
    default:
      do throws(FileSystemError) {
        try fileSystem.link(path, as: other)
      } catch {
        guard error.code == .exists else { throw error }
      }
    }
  }
}
