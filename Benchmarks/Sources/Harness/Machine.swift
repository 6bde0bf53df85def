/// Where figures were taken: without this they say nothing.
package struct Machine {
  package private(set) var facts: [(name: String, value: String)] = []

  package init(dataDirectory: String) {
    facts.append(("cores", "\(SystemCall.coreCount()) × \(Self.field("model name", of: "/proc/cpuinfo"))"))
    facts.append(("memory", Self.field("MemTotal", of: "/proc/meminfo")))
    facts.append(("system", SystemCall.systemName()))
    facts.append(("file system", Self.output(["stat", "-f", "-c", "%T", dataDirectory])))
    facts.append(
      ("disk", Self.output(["df", "--output=source,fstype", dataDirectory], lastLine: true))
    )
    facts.append(("commit", Self.output(["git", "describe", "--always", "--dirty", "--abbrev=12"])))
    facts.append(("load before", Self.load()))
  }

  /// Takes the load again, once everything is measured.
  package mutating func finish() { facts.append(("load after", Self.load())) }

  private static func load() -> String {
    do {
      return try SystemCall.read("/proc/loadavg").split(separator: " ").prefix(3).joined(separator: " ")
    } catch {
      return "unknown"
    }
  }

  private static func field(_ name: String, of path: String) -> String {
    do {
      for line in try SystemCall.read(path).split(separator: "\n") where line.hasPrefix(name) {
        let value = line.drop { $0 != ":" }.dropFirst()
        return value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
      }
    } catch {}
    return "unknown"
  }

  private static func output(_ words: [String], lastLine: Bool = false) -> String {
    do {
      let result = try SystemCall.run(words)
      let lines = result.output.split(separator: "\n")
      guard result.status == 0, let line = lastLine ? lines.last : lines.first else { return "unknown" }
      return line.split(separator: " ").joined(separator: " ")
    } catch {
      return "unknown"
    }
  }
}
