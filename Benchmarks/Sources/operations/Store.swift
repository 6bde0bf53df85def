internal import LogEngine
internal import RunLedger

/// The ledger that is read: as many segments as a million such events fill, at a fiftieth of their size.
struct Store {
  let path: String
  let eventCount = 20_000

  func fill() throws {
    var options = LedgerOptions()
    options.creation = .mustNotExist
    options.syncPolicy = .never
    options.segmentSize = (64 << 20) / 50
    let ledger = try Ledger.open(at: path, options: options)
    for start in stride(from: 0, to: eventCount, by: 100) {
      try ledger.extend((start..<start + 100).map(Events.event))
    }
    try ledger.close()
  }

  func open() throws -> Ledger {
    var options = LedgerOptions()
    options.access = .readOnly
    return try Ledger.open(at: path, options: options)
  }
}

struct Failure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
