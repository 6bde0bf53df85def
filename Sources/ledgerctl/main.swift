internal import PlatformIO

Platform.ignoreWriteSignals()
let code = Program.run(Array(CommandLine.arguments.dropFirst()), Console())
Platform.exitProcess(code.rawValue)
