internal import Harness

/// The measurements, each of them a process of its own. The name and the settings are what the child is told.
enum BenchCell: String {
  case append, check, read

  func run(_ settings: Settings, _ findings: inout Findings) async throws {
    let context = try CellContext(settings)
    switch self {
    case .append: try AppendCell(context).run(&findings)
    case .check: try CheckCell(context: context).run(&findings)
    case .read: try ReadCell(context).run(&findings)
    }
  }
}
