/// Counts the syncs of a cell's appends through strace, which stops the cell at these calls alone. The cell marks beginning and
/// end by syncs of no file.
package struct SyncTrace {
  private let path: String

  /// nil where strace is missing or may not trace.
  package init?(in directory: String) {
    path = "\(directory)/trace"
    do {
      guard try SystemCall.run(tracer + ["true"]).status == 0 else { return nil }
    } catch {
      return nil
    }
  }

  package var tracer: [String] {
    ["strace", "-f", "--seccomp-bpf", "-qq", "-o", path, "-e", "trace=fsync,fdatasync"]
  }

  /// How many syncs began between the marks.
  package func count() throws -> Int {
    defer { SystemCall.removeTree(path) }
    var (marks, syncs) = (0, 0)
    for line in try SystemCall.read(path).split(separator: "\n") {
      // "PID fdatasync(5) = 0", or "… <unfinished ...>" and later "PID <... fdatasync resumed> …", which is no other call.
      let call = line.drop { $0 != " " }.drop { $0 == " " }
      if call.hasPrefix("fsync(-1)") {
        marks += 1
      } else if marks == 1, call.hasPrefix("fdatasync(") || call.hasPrefix("fsync(") {
        syncs += 1
      }
    }
    guard marks == 2 else { throw BenchmarkError("strace saw \(marks) marks, and not 2") }
    return syncs
  }
}
