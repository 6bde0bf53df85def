import Foundation
import PlatformIO
import StorageTesting
import Testing

@Suite struct WorkerTests {
  @Test(.timeLimit(.minutes(1))) func `jobs are done one after another, in order, on another thread`() {
    let worker = Worker()
    let done = Monitor([Int]())
    for number in 0..<100 { #expect(worker.perform { done.update { $0.append(number) } }) }
    let order = done.wait { $0.count == 100 ? $0 : nil }
    #expect(order == Array(0..<100))
  }

  @Test(.timeLimit(.minutes(1))) func `a job with a time is not done before it, and holds up no other`() {
    let worker = Worker()
    let done = Monitor([String]())
    let start = SystemEnvironment.monotonicNanoseconds()
    #expect(worker.perform(at: start + 60_000_000) { done.update { $0.append("late") } })
    #expect(worker.perform(at: start + 30_000_000) { done.update { $0.append("early") } })
    #expect(worker.perform { done.update { $0.append("now") } })
    let order = done.wait { $0.count == 3 ? $0 : nil }
    #expect(order == ["now", "early", "late"])
    #expect(SystemEnvironment.monotonicNanoseconds() - start >= 60_000_000)
  }

  @Test(.timeLimit(.minutes(1)))
  func `jobs whose time has come go before those without one, the earliest first`() {
    let worker = Worker()
    let isHeld = Monitor(true)
    let done = Monitor([String]())
    #expect(worker.perform { isHeld.wait { $0 ? nil : () } })
    for number in 1...3 { #expect(worker.perform { done.update { $0.append("\(number)") } }) }
    #expect(worker.perform(at: 2) { done.update { $0.append("due second") } })
    #expect(worker.perform(at: 1) { done.update { $0.append("due first") } })
    isHeld.update { $0 = false }
    #expect(done.wait { $0.count == 5 ? $0 : nil } == ["due first", "due second", "1", "2", "3"])
  }

  @Test(.timeLimit(.minutes(1)), arguments: [nil, 0] as [UInt64?])
  func `a job for which there is no thread is refused, and never done`(time: UInt64?) {
    let environment = SeededEnvironment(seed: 1)
    let worker = Worker(environment)
    let done = Monitor([String]())
    environment.setThreads(false)
    for _ in 0..<2 { #expect(!worker.perform(at: time) { done.update { $0.append("refused") } }) }
    environment.setThreads(true)
    #expect(worker.perform(at: time) { done.update { $0.append("taken") } })
    #expect(done.wait { $0.isEmpty ? nil : $0 } == ["taken"])
  }

  @Test(.timeLimit(.minutes(1)))
  func `a worker that goes ends its thread, and what was due later is not done`() {
    let done = Monitor(0)
    final class Witness: Sendable {
      let done: Monitor<Int>
      init(_ done: Monitor<Int>) { self.done = done }
      deinit { done.update { $0 += 1 } }
    }
    do {
      let worker = Worker()
      let witness = Witness(done)
      #expect(worker.perform(at: .max) { _ = witness })
      #expect(worker.perform {})
    }
    // The thread has ended when it has let go of the job.
    done.wait { $0 == 1 ? () : nil }
  }

  @Test func `a forked child lets go of a worker without waiting for the thread it does not have`() async {
    await #expect(processExitsWith: .success) {
      // Often enough that the thread holds the worker's lock at the moment of some fork.
      for _ in 0..<150 {
        var worker: Worker? = Worker()
        for _ in 0..<2000 { _ = worker?.perform {} }
        let child = try WorkerTests.fork()
        if child == 0 {
          worker = nil
          _exit(0)
        }
        var status: Int32 = -1
        var attempts = 0
        while unsafe waitpid(child, &status, WNOHANG) == 0 {
          attempts += 1
          if attempts == 5000 { kill(child, SIGKILL) }
          usleep(1000)
        }
        #expect(status == 0)
        guard status == 0 else { return }
      }
    }
  }

  /// Swift hides fork, and embedders written in other languages do not.
  private static func fork() throws -> Int32 {
    typealias Fork = @convention(c) () -> Int32
    let symbol = unsafe try #require(dlsym(nil, "fork"))
    return unsafe unsafeBitCast(symbol, to: Fork.self)()
  }
}

@Suite struct MountTableTests {
  @Test func `network file systems are told from local ones by their device`() {
    let table = MountTable(
      """
      25 30 0:23 / /proc rw,nosuid - proc proc rw
      30 1 254:1 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw
      41 30 0:45 / /home/a\\040b rw,relatime - nfs4 server:/export rw,vers=4.2
      nonsense
      42 30 0:600 / /mnt rw - cifs //server/share rw
      """)
    #expect(!table.isRemote(device: 254 << 8 | 1))
    #expect(table.isRemote(device: 45))
    #expect(!table.isRemote(device: 46))
    // 600 = 0x258: the high bits of a minor number stand above the major's.
    #expect(table.isRemote(device: 0x58 | 0x2 << 20))
    #expect(!MountTable("").isRemote(device: 45))
  }
}
