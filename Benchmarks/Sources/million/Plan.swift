internal import Harness

/// What is measured, in which order. Engines take turns within a round, so that a slow minute of the machine hits all.
struct Plan {
  struct Row {
    var engine: EngineName
    var durability: Durability
    var batchSize: Int
    /// Kept for the reading measurements.
    var isRead = false
    /// Ends without closing.
    var isKilled = false

    var title: String { engine.title(durability) }
  }

  /// Rows that are compared with each other.
  struct Group {
    var title: String
    var isSynced: Bool
    var rows: [Row]
  }

  static let groups = [
    Group(
      title: "one event a commit, unsynced",
      isSynced: false,
      rows: [
        Row(engine: .disk, durability: .unsynced, batchSize: 1),
        Row(engine: .ledger, durability: .unsynced, batchSize: 1, isRead: true),
        Row(engine: .sqlite, durability: .unsynced, batchSize: 1, isRead: true),
        Row(engine: .sqlite, durability: .checkpointed, batchSize: 1),
      ]
    ),
    Group(
      title: "1,000 events a commit, unsynced",
      isSynced: false,
      rows: [
        Row(engine: .disk, durability: .unsynced, batchSize: 1000),
        Row(engine: .ledger, durability: .unsynced, batchSize: 1000, isKilled: true),
        Row(engine: .sqlite, durability: .unsynced, batchSize: 1000, isKilled: true),
      ]
    ),
    Group(
      title: "one event a commit, each on the disk",
      isSynced: true,
      rows: [
        Row(engine: .disk, durability: .synced, batchSize: 1),
        Row(engine: .ledger, durability: .synced, batchSize: 1),
        Row(engine: .sqlite, durability: .synced, batchSize: 1),
      ]
    ),
    Group(
      title: "1,000 events a commit, each commit on the disk",
      isSynced: false,
      rows: [
        Row(engine: .disk, durability: .synced, batchSize: 1000),
        Row(engine: .ledger, durability: .synced, batchSize: 1000),
        Row(engine: .sqlite, durability: .synced, batchSize: 1000),
      ]
    ),
  ]
}
