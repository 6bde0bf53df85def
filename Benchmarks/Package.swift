// swift-tools-version: 6.2
import PackageDescription

// Apart from the root package, so that nobody who depends on RunLedger ever sees another engine's library.
let package = Package(
  name: "RunLedgerBenchmarks",
  platforms: [.macOS(.v26)],
  products: [
    .executable(name: "million", targets: ["million"]),
    .executable(name: "durability", targets: ["durability"]),
    .executable(name: "events", targets: ["events"]),
    .executable(name: "operations", targets: ["operations"]),
  ],
  dependencies: [
    .package(name: "RunLedger", path: "..")
  ],
  targets: [
    .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"]), .brew(["sqlite"])]),
    .target(name: "AgentEvents", dependencies: [.product(name: "RunLedger", package: "RunLedger")]),
    .executableTarget(
      name: "events",
      dependencies: ["AgentEvents", .product(name: "RunLedger", package: "RunLedger")]
    ),
    .target(
      name: "Harness",
      dependencies: [
        "AgentEvents", "CSQLite",
        .product(name: "RunLedger", package: "RunLedger"),
        .product(name: "LogEngine", package: "RunLedger"),
      ]
    ),
    .executableTarget(
      name: "million",
      dependencies: ["AgentEvents", "Harness", .product(name: "RunLedger", package: "RunLedger")]
    ),
    .executableTarget(
      name: "durability",
      dependencies: [
        "AgentEvents", "Harness",
        .product(name: "RunLedger", package: "RunLedger"),
        .product(name: "LogEngine", package: "RunLedger"),
      ]
    ),
    .executableTarget(
      name: "operations",
      dependencies: [
        "AgentEvents",
        .product(name: "RunLedger", package: "RunLedger"),
        .product(name: "LogEngine", package: "RunLedger"),
      ]
    ),
  ],
  swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system {
  target.swiftSettings = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
  ]
}
