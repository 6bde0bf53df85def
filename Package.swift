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

// Locks that the thread sanitizer understands; Fuzz/sanitizers.sh puts them in the place of the standard library's.
if Context.environment["RUNLEDGER_THREAD_SANITIZER"] != nil {
  for target in package.targets { target.dependencies.append("Locks") }
  package.targets += [
    .target(name: "Locks", path: "Fuzz/Locks"),
    .executableTarget(name: "race", dependencies: ["Locks"], path: "Fuzz/Race"),
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
