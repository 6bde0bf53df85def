internal import LogEngine

/// What became of the events of an import so far.
struct ImportReport: Sendable, Equatable {
  var appended: UInt64 = 0
  var duplicates: UInt64 = 0
  var conflicts: UInt64 = 0
  var latest: Offset

  var line: JSONLine {
    JSONLine { line in
      line.member("appended", appended)
      line.member("duplicates", duplicates)
      line.member("conflicts", conflicts)
      line.member("latest_offset", latest)
    }
  }

  var sentence: String {
    "\(appended) appended, \(duplicates) duplicates, \(conflicts) conflicts; the latest offset is \(latest)"
  }
}
