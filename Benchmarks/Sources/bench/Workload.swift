internal import Harness

/// What is measured, in the order in which it is: what changes a store comes behind what reads it.
enum Workload: String, CaseIterable {
  case appendNever = "append-never"
  case appendInterval = "append-interval"
  case appendAlways = "append-always"
  case batchedNever = "append-batched-never"
  case batchedInterval = "append-batched-interval"
  case batchedAlways = "append-batched-always"
  case concurrent1 = "append-concurrent-1"
  case concurrent8 = "append-concurrent-8"
  case concurrent64 = "append-concurrent-64"
  case getHit = "get-hit"
  case getMiss = "get-miss"
  case readRun = "read-run"
  case filterKind = "filter-kind"
  case filterActor = "filter-actor"
  case scan
  case scanBytes = "scan-bytes"
  case tail
  case verify
  case recovery
  // A store is opened for reading only until here, so that what is opened is what filling and closing left.
  case reopenRead = "reopen-read"
  case coldRead = "reopen-cold-read"
  case reopenAppend = "reopen-append"
  case coldAppend = "reopen-cold-append"
  case killedRead = "reopen-killed-read"
  case killedAppend = "reopen-killed-append"
  case duplicate = "append-duplicate"
  case mixed
  case snapshot
  case snapshotLoad = "snapshot-load"
  case retention

  /// What fills a store of its own; the others work on the one that `batchedNever` fills.
  enum Shape {
    case fill(Policy, batch: Int)
    case concurrent(appenders: Int)
    case onStore
  }

  var shape: Shape {
    switch self {
    case .appendNever: .fill(.never, batch: 1)
    case .appendInterval: .fill(.interval, batch: 1)
    case .appendAlways: .fill(.always, batch: 1)
    case .batchedNever: .fill(.never, batch: 1000)
    case .batchedInterval: .fill(.interval, batch: 1000)
    case .batchedAlways: .fill(.always, batch: 1000)
    case .concurrent1: .concurrent(appenders: 1)
    case .concurrent8: .concurrent(appenders: 8)
    case .concurrent64: .concurrent(appenders: 64)
    default: .onStore
    }
  }

  /// Which engines have it.
  var engines: [EngineName] {
    switch self {
    case .appendNever, .appendAlways, .batchedNever, .batchedAlways, .concurrent1, .concurrent8,
      .concurrent64:
      EngineName.allCases
    case .appendInterval, .batchedInterval: [.ledger, .sqlite]
    case .verify, .recovery, .snapshotLoad: [.ledger]
    case .snapshot: EngineName.allCases.filter { $0 != .disk && $0 != .leveldb }
    default: EngineName.allCases.filter { $0 != .disk }
    }
  }

  /// The unit of `rate`; nil where `seconds` is what counts.
  var rateUnit: String? {
    switch self {
    case .getHit, .getMiss: "gets/s"
    case .mixed: "operations/s"
    case .verify, .recovery: "bytes/s"
    case .snapshot, .snapshotLoad, .reopenRead, .reopenAppend, .killedRead, .killedAppend, .coldRead,
      .coldAppend:
      nil
    default: "events/s"
    }
  }

  var title: String {
    switch self {
    case .appendNever: "one event an append, unsynced"
    case .appendInterval: "one event an append, synced a while later"
    case .appendAlways: "one event an append, each synced"
    case .batchedNever: "1,000 events an append, unsynced"
    case .batchedInterval: "1,000 events an append, synced a while later"
    case .batchedAlways: "1,000 events an append, each synced"
    case .concurrent1: "one appender, one event an append, each synced"
    case .concurrent8: "8 appenders at once, one event an append, each synced"
    case .concurrent64: "64 appenders at once, one event an append, each synced"
    case .duplicate: "appends of events that are stored"
    case .getHit: "an event by its id"
    case .getMiss: "an id that is not stored"
    case .readRun: "the events of a run"
    case .filterKind: "the events of a kind"
    case .filterActor: "the events of an actor"
    case .scan: "every event in order; fields found, one byte of the payload read"
    case .scanBytes: "every event in order; every byte of id, run and payload read"
    case .tail: "100 events after an offset"
    case .verify: "everything checked"
    case .recovery: "opened without any index, everything read and indexed again"
    case .snapshot: "a copy, durable"
    case .reopenRead: "closed; opened until the first event and its run are read"
    case .reopenAppend: "closed; opened until an append is durable"
    case .killedRead: "killed; opened until the first event and its run are read"
    case .killedAppend: "killed; opened until an append is durable"
    case .coldRead: "closed, page cache empty; opened until the first event and its run are read"
    case .coldAppend: "closed, page cache empty; opened until an append is durable"
    case .snapshotLoad: "the longest of some snapshots while 8 threads append; appends that one touched"
    case .mixed: "nine gets, one unsynced append"
    case .retention: "the oldest half dropped, durable"
    }
  }
}

/// What a row's figures are of, and how they are written.
enum Metric: String, CaseIterable {
  case rate, seconds
  case p50, p99, p999 = "p99.9", max
  case heap, resident, disk, allocated, written
  case elsewhere
  case syncs, perCore, memoryRead
  case count

  func unit(_ workload: Workload) -> String {
    switch self {
    case .rate: workload.rateUnit ?? ""
    case .seconds: "s"
    case .p50, .p99, .p999, .max, .elsewhere: "µs"
    case .heap, .resident, .disk, .allocated, .written: "B/event"
    case .syncs: "syncs/append"
    case .perCore, .memoryRead: "bytes/s"
    case .count: "events"
    }
  }

  /// A column's heading.
  func title(_ workload: Workload) -> String {
    switch self {
    case .rate, .seconds: unit(workload)
    case .p50, .p99, .p999, .max: "\(rawValue) µs"
    case .heap, .resident, .disk, .allocated, .written: "\(rawValue) B/ev"
    case .elsewhere: "max of others µs"
    case .syncs: "syncs/append"
    case .perCore: "bytes/s a core"
    case .memoryRead: "memory read"
    case .count: workload == .retention ? "dropped" : "events"
    }
  }
}
