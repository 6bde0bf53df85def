import PlatformIO

// usage: writer live DIR SEED LIFE [--operations N] [--mood M] [--look] [--trace FILE]
//        writer check DIR SEED LIFE [--trace FILE]
//
// The child of Fuzz/kills.py, power-cuts.py and block-replay.py; Fuzz/lives.py reads what it says. `live` lives a seeded life
// on the ledger at DIR and the copies beside it until somebody kills it; `check` says what is there, read-only first, and
// appends one more event durably.

Platform.ignoreWriteSignals()
guard let order = Order(Array(CommandLine.arguments.dropFirst())) else { Platform.exitProcess(64) }
Platform.exitProcess(Program(order).run().rawValue)
