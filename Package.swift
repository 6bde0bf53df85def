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
      name: "FuzzTargets",
      dependencies: ["PlatformIO", "LogEngine", "RunLedger", "StorageTesting"],
      path: "Fuzz/Targets"
    ),
    .executableTarget(
      name: "explore", dependencies: ["LogEngine", "PlatformIO", "StorageTesting"], path: "Fuzz/Explorer"),
    // What Fuzz/kills.py, power-cuts.py and block-replay.py let die.
    .executableTarget(
      name: "writer", dependencies: ["RunLedger", "LogEngine", "PlatformIO"], path: "Fuzz/Writer"),
    .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets"]),
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
    .executableTarget(name: "fuzz", dependencies: ["FuzzTargets"], path: "Fuzz/Driver"),
    .executableTarget(name: "canary", path: "Fuzz/Canary"),
  ]
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
