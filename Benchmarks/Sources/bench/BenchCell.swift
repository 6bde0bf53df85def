internal import Harness

/// The measurements, each of them a process of its own. The name and the settings are what the child is told.
enum BenchCell: String {
  case append, check, concurrent, read, duplicate, mixed, open, kill, snapshot, load, retention, verify,
    recovery

  func run(_ settings: Settings, reportingTo report: String) async throws {
    let context = try CellContext(settings)
    var findings = Findings()
    switch self {
    case .append: try AppendCell(context).run(&findings)
    case .check: try CheckCell(context: context).run(&findings)
    case .concurrent: try await ConcurrentCell(context).run(&findings)
    case .read: try ReadCell(context).run(&findings)
    case .duplicate: try DuplicateCell(context: context).run(&findings)
    case .mixed: try MixedCell(context: context).run(&findings)
    case .open: try OpenCell(context).run(&findings)
    case .kill: try KillCell(context: context).run(reportingTo: report)
    case .snapshot: try SnapshotCell(context: context).run(&findings)
    case .load: try SnapshotLoadCell(context).run(&findings)
    case .retention: try RetentionCell(context: context).run(&findings)
    case .verify: try LedgerReadingCell(context: context, isRecovery: false).run(&findings)
    case .recovery: try LedgerReadingCell(context: context, isRecovery: true).run(&findings)
    }
    try SystemCall.write(findings.text, to: report)
  }
}
