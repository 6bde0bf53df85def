internal import PlatformIO

Platform.ignoreBrokenPipes()
let code = Program.run(Array(CommandLine.arguments.dropFirst()), Console())
Platform.exitProcess(code.rawValue)
