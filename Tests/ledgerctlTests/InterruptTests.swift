import Foundation
import Testing

/// Input that comes slowly, from a program that waits for its acknowledgements, and signals that end the wait.
@Suite struct InterruptTests {
  private func stopAfterTwoBatches(
    _ stop: (Running) -> Void
  ) throws -> (result: Tool.Result, exported: [String], lines: [String]) {
    let place = try Scratch()
    let lines = Line.events(1...2500)
    let pipe = try place.pipe("in")
    let running = try Running(Tool.path, ["import", place.ledger, "--acks"], place, input: pipe.file)
    try pipe.handle.write(contentsOf: Data((lines.joined(separator: "\n") + "\n{").utf8))
    try running.waitForAcknowledgement(of: 2000)
    stop(running)
    let hasEnded = running.endsSoon()
    try pipe.handle.close()
    try #require(hasEnded)
    #expect(try Tool.run("verify", place.ledger).code == 0)
    return (try running.end(), try Tool.run("export", place.ledger).lines, lines)
  }

  @Test func anInterruptLeavesACleanPrefixAndSaysSo() throws {
    let stopped = try stopAfterTwoBatches { $0.send(SIGINT) }
    #expect(stopped.result.code == 130)
    #expect(stopped.result.messages.contains("interrupted at <stdin>:"))
    #expect(stopped.lines.starts(with: stopped.exported))
    #expect(stopped.result.lines.last == "{\"acked\":\(stopped.exported.count)}")
  }

  @Test func aTerminationDoesTheSame() throws {
    let stopped = try stopAfterTwoBatches { $0.send(SIGTERM) }
    #expect(stopped.result.code == 143)
    #expect(stopped.lines.starts(with: stopped.exported))
  }

  @Test func whatWasReadIsStoredAndAcknowledgedWhenTheInputPauses() throws {
    let place = try Scratch()
    let pipe = try place.pipe("in")
    let running = try Running(Tool.path, ["import", place.ledger, "--acks"], place, input: pipe.file)
    for count in 1...3 {
      // Half of the next line is there already.
      let half = "\(Line.event("e-\(count)"))\n{\"id\":"
      try pipe.handle.write(
        contentsOf: Data((count == 1 ? half : String(half.dropFirst(6))).utf8)
      )
      try running.waitForAcknowledgement(of: count)
    }
    running.send(SIGINT)
    let hasEnded = running.endsSoon()
    try pipe.handle.close()
    try #require(hasEnded)
    #expect(try running.end().code == 130)
    #expect(try Tool.run("export", place.ledger).lines == (1...3).map { Line.event("e-\($0)") })
  }
}
