internal import Harness

/// Everything that was found, row by row in the order of first appearance.
struct Results {
  struct Row {
    let workload: Workload
    let contender: Contender
    /// How many events were asked for; `count` says how many there were in time.
    let events: Int
    var samples: [Metric: Sample] = [:]
    var notes: [String] = []

    /// Empty if nothing was measured.
    subscript(metric: Metric) -> Sample { samples[metric] ?? Sample() }

    /// What the row is compared by: the more, the better.
    var score: Sample { workload.rateUnit == nil ? self[.seconds].map { 1 / $0 } : self[.rate] }
  }

  private(set) var rows: [Row] = []

  func row(_ workload: Workload, _ contender: Contender, _ events: Int) -> Row? {
    rows.first { $0.workload == workload && $0.contender == contender && $0.events == events }
  }

  /// Rows that are compared with each other, in the order of workloads, then of events.
  var groups: [[Row]] {
    Workload.allCases.flatMap { workload in
      let rows = rows.filter { $0.workload == workload }
      return Set(rows.map(\.events)).sorted().map { events in
        rows.filter { $0.events == events }.sorted { $0.contender < $1.contender }
      }
    }
  }

  mutating func add(
    _ findings: Findings, _ workload: Workload, _ contender: Contender, events: Int, round: Int
  ) {
    let known = rows.firstIndex {
      $0.workload == workload && $0.contender == contender && $0.events == events
    }
    let place = known ?? rows.count
    if known == nil { rows.append(Row(workload: workload, contender: contender, events: events)) }
    for metric in Metric.allCases {
      if let value = findings[metric] { rows[place].samples[metric, default: Sample()][round] = value }
    }
    rows[place].notes += findings.notes.map { "round \(round): \($0)" }
  }
}

/// An engine, and how several appenders use it.
struct Contender: Hashable, Comparable {
  enum Style: String {
    case threads
    /// Tasks, through the asynchronous interface.
    case tasks
    /// Threads that take turns with one connection behind a mutex.
    case mutex
  }

  var engine: EngineName
  var style = Style.threads

  var title: String { style == .threads ? engine.title : "\(engine.title), \(style.rawValue)" }

  private var order: (Int, String) { (EngineName.allCases.firstIndex(of: engine) ?? 0, style.rawValue) }

  static func < (left: Contender, right: Contender) -> Bool {
    (left.order.0, left.style == .threads ? "" : left.order.1)
      < (right.order.0, right.style == .threads ? "" : right.order.1)
  }

  static let ledger = Contender(engine: .ledger)
}
