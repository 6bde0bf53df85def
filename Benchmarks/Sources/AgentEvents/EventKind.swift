/// A kind of event: how often it comes, who emits it and how long its payloads are.
///
/// Shares and sizes were taken from 9,236 real events: coding-agent sessions, tool-using dialogues, software-engineering
/// trajectories and repository events.
struct EventKind {
  let name: String
  /// Of all events that neither start nor finish a run.
  let share: Int
  let actors: [String]
  /// Percent of these events that name the model that acted.
  let modelPercent: Int
  /// Payload bytes at each of `EventKind.thousandths` of all payloads of this kind.
  private let sizes: [Int]

  private static let thousandths = [0, 100, 250, 500, 750, 900, 950, 980, 990, 995, 1000]

  private init(_ name: String, _ share: Int, _ actors: [String], modelPercent: Int = 0, sizes: [Int]) {
    self.name = name
    self.share = share
    self.actors = actors
    self.modelPercent = modelPercent
    self.sizes = sizes
  }

  /// A payload's length. Between two points of the table short ones are likelier, as they are in life; whole numbers only,
  /// so that every platform draws the same.
  func size(_ random: inout SplitMix64) -> Int {
    let draw = random.below(1000)
    var place = 1
    while Self.thousandths[place] <= draw { place += 1 }
    let fraction = random.below(1 << 12)
    return sizes[place - 1] + ((sizes[place] - sizes[place - 1]) * ((fraction * fraction) >> 12)) >> 12
  }

  static let started = EventKind(
    "run.started",
    0,
    ["scheduler"],
    sizes: [226, 485, 636, 930, 1143, 1569, 1867, 3292, 3292, 3292, 3292]
  )
  static let finished = EventKind(
    "run.finished",
    0,
    ["scheduler"],
    sizes: [75, 222, 307, 610, 756, 920, 1037, 2030, 2343, 2355, 2355]
  )

  private static let agents = ["planner", "coder", "reviewer", "researcher", "writer", "tester", "critic"]
  private static let tools = [
    "bash", "edit", "read", "grep", "fetch", "search.flights", "reservation", "python",
  ]

  /// Everything between a run's start and its finish.
  static let inner = [
    EventKind(
      "tool.returned",
      220,
      tools,
      sizes: [90, 107, 321, 875, 1159, 2140, 3918, 7741, 10099, 27424, 116_196]
    ),
    EventKind(
      "user.message",
      198,
      ["user", "operator"],
      sizes: [38, 74, 97, 136, 188, 326, 964, 3124, 4352, 7171, 31926]
    ),
    EventKind(
      "agent.spoke",
      165,
      agents,
      modelPercent: 75,
      sizes: [77, 166, 226, 318, 502, 764, 916, 1253, 1490, 1964, 3410]
    ),
    EventKind(
      "tool.called",
      126,
      agents,
      modelPercent: 75,
      sizes: [164, 194, 199, 200, 371, 497, 646, 742, 926, 1033, 1243]
    ),
    EventKind(
      "agent.replied",
      101,
      agents,
      modelPercent: 100,
      sizes: [385, 574, 620, 750, 1159, 2279, 4014, 9057, 12968, 23637, 57572]
    ),
    EventKind(
      "repo.pushed",
      66,
      ["webhook"],
      sizes: [20, 62, 132, 451, 479, 589, 1025, 3209, 5949, 6201, 14626]
    ),
    EventKind(
      "agent.stepped",
      25,
      agents,
      modelPercent: 50,
      sizes: [318, 501, 768, 1261, 2774, 7689, 15870, 26092, 26837, 28127, 29818]
    ),
    EventKind(
      "agent.prompted",
      24,
      ["system"],
      sizes: [192, 6263, 6263, 6263, 6263, 6263, 6263, 6458, 6575, 6576, 8783]
    ),
    EventKind(
      "repo.discussed",
      20,
      ["webhook", "bot"],
      sizes: [1791, 2828, 4860, 15458, 18264, 20748, 22792, 26983, 31443, 34909, 34909]
    ),
    EventKind(
      "level.changed",
      13,
      ["system"],
      modelPercent: 100,
      sizes: [93, 93, 93, 94, 97, 97, 115, 124, 219, 375, 375]
    ),
  ]

  /// A number of `inner` for each unit of share, so that drawing a kind is one look.
  static let wheel: [UInt8] = inner.enumerated().flatMap { number, kind in
    Array(repeating: UInt8(number), count: kind.share)
  }
}
