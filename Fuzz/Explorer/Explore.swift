import LogEngine
import PlatformIO
import StorageTesting

/// Lets the power fail in all ways after every file operation of lives of a log, lets every operation fail in every way, damages
/// logs at rest, and checks after each that the engine keeps its promises. Ends with a table of what it did; exits with 1 at the
/// first broken promise, or if a kind of crash state was hardly met.
@main
struct Explore {
  static let usage = """
    usage: explore [--seconds N] [--threads N] [--seed N] [--only crashes|faults|rot|lies] [--json FILE]
           explore --calibrate DIR

      --seconds   the time for all parts together; 60 unless given
      --threads   as many as there are processors unless given
      --seed      of everything random; 1 unless given
      --only      one part, with all the time for itself
      --json      the table's numbers, in a file
      --calibrate instead of all that: says of each image that Fuzz/block-replay.py --keep DIR has left whether the simulated disk
                  can produce it too, and exits with 1 if it cannot

    """

  static func main() {
    let arguments: Arguments
    do {
      arguments = try Arguments(CommandLine.arguments.dropFirst())
    } catch {
      print("explore: \(error)\n\(usage)", terminator: "")
      exit(2)
    }
    if let directory = arguments.calibration { calibrate(directory) }
    var report = Report()
    do {
      for part in Part.allCases where arguments.only == nil || arguments.only == part {
        let clock = Stopwatch()
        try part.run(
          arguments, seconds: arguments.only == nil ? arguments.seconds * part.share : arguments.seconds,
          &report)
        report.add("\(part) seconds", Int(clock.seconds))
      }
    } catch {
      tell(report, arguments)
      print("explore: a promise is broken\n\(error)")
      exit(1)
    }
    tell(report, arguments)
    if !report.shortfalls.isEmpty {
      print("explore: " + report.shortfalls.joined(separator: "; "))
      exit(1)
    }
  }
}

extension Explore {
  private static func tell(_ report: Report, _ arguments: Arguments) {
    print(report.text, terminator: "")
    do {
      if let file = arguments.json { try report.write(to: file) }
    } catch {
      print("explore: \(error)")
      exit(1)
    }
  }

  private static func calibrate(_ directory: String) -> Never {
    do {
      let result = try Calibration(directory)
      print("\(result.explained) images explained, \(result.unexplained) not")
      exit(result.unexplained == 0 ? 0 : 1)
    } catch {
      print("explore: \(error)")
      exit(2)
    }
  }
}

enum Part: String, CaseIterable {
  case crashes, faults, rot, lies

  /// Of all the time there is.
  var share: Double {
    switch self {
    case .crashes: 0.82
    case .faults: 0.1
    case .rot, .lies: 0.04
    }
  }

  func run(_ arguments: Arguments, seconds: Double, _ report: inout Report) throws {
    let clock = Stopwatch()
    let goesOn: @Sendable () -> Bool = { clock.seconds < seconds }
    switch self {
    case .crashes:
      var exploration = Exploration(threads: arguments.threads)
      // What comes last may be cut short by the clock, so first what is shortest.
      for count in 0...2 { exploration.addAll(count) }
      exploration.addOthers(behind: 1)
      for count in 0...2 { exploration.addAll(count, policy: .always) }
      for count in 0...2 { exploration.addAll(count, profile: .orderedJournal) }
      exploration.addRandom(60, seed: arguments.seed)
      if seconds > 300 {
        exploration.addAll(3)
        exploration.addAll(3, policy: .always)
        exploration.addAll(3, profile: .orderedJournal)
        exploration.addAll(4)
        exploration.addRandom(1_000_000, seed: arguments.seed &+ 1)
      } else {
        exploration.addRandom(100_000, seed: arguments.seed &+ 1)
      }
      report.add(try exploration.run(goesOn), seconds: clock.seconds)
    case .faults:
      report.add(try FaultCampaign(threads: arguments.threads, seed: arguments.seed).run(goesOn))
    case .rot: report.add(try RotCampaign(threads: arguments.threads, seed: arguments.seed).run(goesOn))
    case .lies:
      var exploration = Exploration(threads: arguments.threads)
      for count in 0...2 { exploration.addAll(count, policy: .always, profile: .lyingSync) }
      exploration.addRandom(100_000, seed: arguments.seed, profile: .lyingSync)
      report.add(lies: try exploration.run(goesOn))
    }
  }
}

/// Time since it was made.
struct Stopwatch: Sendable {
  private let start = SystemEnvironment.monotonicNanoseconds()
  var seconds: Double { Double(SystemEnvironment.monotonicNanoseconds() - start) / 1e9 }
}
