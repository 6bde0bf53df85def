internal import AgentEvents
internal import Harness

/// Reads a store that is closed: once for the digest of what it answers, once to be warm, and once on the clock.
struct ReadCell {
  let context: CellContext
  let workload: Workload
  private let runCount: Int

  init(_ context: CellContext) throws {
    self.context = context
    guard let workload = Workload(rawValue: try context.settings.text("workload")) else {
      throw BenchmarkError("no such workload")
    }
    self.workload = workload
    runCount = try context.settings.number("runs")
  }

  /// One operation: what it is done with, and whether the store must have it.
  private typealias Operation = (any Engine, Int, RowBody) throws -> Void

  /// How often, if there is time, and how often for the digest.
  private var repetitions: (timed: Int, digested: Int) {
    switch workload {
    case .getHit, .getMiss: (min(200_000, context.count), 1000)
    case .readRun, .tail: (min(10_000, context.count / 10), 100)
    case .filterKind, .filterActor: (5, 1)
    default: (1, 1)
    }
  }

  private static let tailCount = 100

  private func makeOperation() throws -> Operation {
    let (count, seed, limit) = (context.count, context.seed, repetitions.timed)
    switch workload {
    case .getHit, .getMiss:
      let isHit = workload == .getHit
      let ids = (0..<limit).map {
        EventGenerator.eventID(scattered($0, below: count) + (isHit ? 0 : count), seed: seed)
      }
      return { store, number, body in
        guard try store.find(id: ids[number], body) == isHit else {
          throw BenchmarkError("the store is wrong about the id \(ids[number])")
        }
      }
    case .readRun:
      let runs = (0..<limit).map {
        EventGenerator.runID(scattered($0, below: runCount), seed: seed)
      }
      return { store, number, body in try store.read(run: runs[number], body) }
    case .filterKind: return { store, _, body in try store.filter(.kind, "repo.discussed", body) }
    case .filterActor: return { store, _, body in try store.filter(.actor, "bash", body) }
    case .tail:
      return { store, number, body in
        let offset = UInt64(scattered(number, below: max(1, count - Self.tailCount)))
        try store.scan(after: offset, limit: Self.tailCount, body)
      }
    default: return { store, _, body in try store.scan(after: 0, limit: .max, body) }
    }
  }

  func run(_ findings: inout Findings) throws {
    let store = try context.open(.reading)
    let operation = try makeOperation()
    let (timed, digested) = repetitions
    var digest = RowDigest()
    for number in 0..<min(digested, timed) {
      try operation(store, number) { digest.add(id: $0, run: $1, payload: $2) }
    }
    findings.digest = digest.value

    // What is not timed ends after as long at most as what is.
    _ = try pass(operation, store, timed)
    let (rows, operations, stopwatch) = try pass(operation, store, timed)
    let perSecond = 1e9 / Double(stopwatch.busy)
    findings[.rate] = Double(workload.rateUnit == "gets/s" ? operations : rows) * perSecond
    if operations >= 100 { stopwatch.latencies.report(to: &findings) }
    findings[.count] = Double(context.count)
    try store.close()
  }

  private func pass(
    _ operation: Operation, _ store: any Engine, _ limit: Int
  ) throws -> (rows: Int, operations: Int, Stopwatch) {
    var (rows, operations, sum) = (0, 0, UInt64(0))
    var (digest, stopwatch) = (RowDigest(), Stopwatch())
    let readsAll = workload == .scanBytes
    stopwatch.start()
    while operations < limit, stopwatch.busy < context.limitNanoseconds / 4 {
      try operation(store, operations) { id, run, payload in
        rows += 1
        if readsAll {
          digest.add(id: id, run: run, payload: payload)
        } else {
          // Enough that no engine may leave out finding the fields.
          sum &+= UInt64(id.byteCount &+ run.byteCount &+ payload.byteCount)
          if payload.byteCount > 0 { sum &+= UInt64(unsafe payload.unsafeLoad(as: UInt8.self)) }
        }
      }
      operations += 1
      stopwatch.lap()
    }
    guard sum != .max, digest.count >= 0 else { throw BenchmarkError("nothing was read") }
    return (rows, operations, stopwatch)
  }
}
