// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "RunLedger",
  platforms: [.macOS(.v26)],
  products: [
    .library(name: "LogEngine", targets: ["LogEngine"]),
    .library(name: "RunLedger", targets: ["RunLedger"]),
    .executable(name: "ledgerctl", targets: ["ledgerctl"]),
  ],
  targets: [
    .target(name: "PlatformIO"),
    .target(name: "LogEngine", dependencies: ["PlatformIO"]),
    .target(name: "RunLedger", dependencies: ["LogEngine", "PlatformIO"]),
    .executableTarget(name: "ledgerctl", dependencies: ["RunLedger", "LogEngine", "PlatformIO"]),

    .target(
      name: "StorageTesting",
      dependencies: ["PlatformIO", "LogEngine", "RunLedger"],
      path: "Tests/StorageTesting"
    ),
    .target(
      name: "ParserTargets", dependencies: ["PlatformIO", "LogEngine", "RunLedger"], path: "Fuzz/Parsers"),
    .target(
      name: "FuzzTargets",
      dependencies: ["ParserTargets", "PlatformIO", "LogEngine", "RunLedger", "StorageTesting"],
      path: "Fuzz/Targets"
    ),
    .executableTarget(
      name: "explore", dependencies: ["LogEngine", "PlatformIO", "StorageTesting"], path: "Fuzz/Explorer"),
    // What Fuzz/kills.py, power-cuts.py and block-replay.py let die.
    .executableTarget(
      name: "writer", dependencies: ["RunLedger", "LogEngine", "PlatformIO"], path: "Fuzz/Writer"),
    .testTarget(name: "FuzzTests", dependencies: ["ParserTargets", "FuzzTargets", "StorageTesting"]),
    .testTarget(name: "PlatformIOTests", dependencies: ["PlatformIO", "StorageTesting"]),
    .testTarget(
      name: "LogEngineTests",
      dependencies: ["LogEngine", "PlatformIO", "StorageTesting"]
    ),
    .testTarget(
      name: "RunLedgerTests",
      dependencies: ["RunLedger", "LogEngine", "PlatformIO", "StorageTesting"],
      exclude: ["Fixtures"]
    ),
    .testTarget(
      name: "ledgerctlTests",
      dependencies: ["ledgerctl", "RunLedger", "LogEngine", "PlatformIO", "StorageTesting"]
    ),
  ],
  swiftLanguageModes: [.v6]
)

// Programs that only libFuzzer can start; Fuzz/fuzz.sh builds them.
if Context.environment["RUNLEDGER_FUZZ"] != nil {
  package.targets += [
    .executableTarget(name: "fuzz", dependencies: ["FuzzTargets", "ParserTargets"], path: "Fuzz/Driver"),
    .executableTarget(name: "parse", dependencies: ["ParserTargets"], path: "Fuzz/ParserDriver"),
    .executableTarget(name: "canary", path: "Fuzz/Canary"),
  ]
}

// What the sanitizers must report and what not, and for the thread sanitizer locks that it follows in the place of the standard
// library's; Fuzz/sanitizers.sh builds with them.
if let sanitizer = Context.environment["RUNLEDGER_SANITIZER"] {
  package.targets.append(
    .executableTarget(
      name: "sanitizer-canary", dependencies: ["PlatformIO"], path: "Fuzz/SanitizerCanary"))
  if sanitizer == "thread" {
    for target in package.targets { target.dependencies.append("Locks") }
    package.targets.append(.target(name: "Locks", path: "Fuzz/Locks"))
  }
}

for target in package.targets {
  target.swiftSettings = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // Borrowed event views are `~Escapable`; their lifetimes are spelled with `@_lifetime`.
    .enableExperimentalFeature("Lifetimes"),
  ]
}
