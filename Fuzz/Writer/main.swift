import PlatformIO

// usage: writer live DIR SEED LIFE [--operations N] [--mood M] [--sync always|interval|never] [--look] [--trace FILE]
//        writer look|check DIR SEED LIFE [--trace FILE]
//        writer scribble DIR SEED LIFE [--operations N] [--trace FILE]
//
// The child of Fuzz/kills.py, power-cuts.py and block-replay.py; Fuzz/lives.py reads what it says. `live` lives a seeded life
// on the ledger at DIR and the copies beside it until somebody kills it; `look` says what is there and changes nothing; `check`
// does so too, then opens for writing, appends one more event durably, and looks again.
// `scribble` has nothing to do with ledgers: it is for what a disk makes of files.

Platform.ignoreWriteSignals()
guard let order = Order(Array(CommandLine.arguments.dropFirst())) else { Platform.exitProcess(64) }
Platform.exitProcess(Program(order).run().rawValue)
