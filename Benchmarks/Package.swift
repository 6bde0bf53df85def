// swift-tools-version: 6.2
import PackageDescription

// Apart from the root package, so that nobody who depends on RunLedger ever sees another engine's library.
let runLedger: [Target.Dependency] = [
  .product(name: "RunLedger", package: "RunLedger"), .product(name: "LogEngine", package: "RunLedger"),
]

let package = Package(
  name: "RunLedgerBenchmarks",
  platforms: [.macOS(.v26)],
  products: [
    .executable(name: "bench", targets: ["bench"]),
    .executable(name: "events", targets: ["events"]),
    .executable(name: "operations", targets: ["operations"]),
  ],
  dependencies: [
    .package(name: "RunLedger", path: "..")
  ],
  targets: [
    .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"]), .brew(["sqlite"])]),
    .systemLibrary(name: "CLMDB", providers: [.apt(["liblmdb-dev"]), .brew(["lmdb"])]),
    .systemLibrary(name: "CLevelDB", providers: [.apt(["libleveldb-dev"]), .brew(["leveldb"])]),
    .systemLibrary(name: "CRocksDB", providers: [.apt(["librocksdb-dev"]), .brew(["rocksdb"])]),
    .target(name: "AgentEvents", dependencies: runLedger),
    .target(
      name: "Harness", dependencies: ["AgentEvents", "CSQLite", "CLMDB", "CLevelDB", "CRocksDB"] + runLedger),
    .executableTarget(name: "events", dependencies: ["AgentEvents"] + runLedger),
    .executableTarget(name: "bench", dependencies: ["AgentEvents", "Harness"] + runLedger),
    .executableTarget(name: "operations", dependencies: ["AgentEvents"] + runLedger),
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
