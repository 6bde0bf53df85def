internal import Harness
internal import RunLedger

extension Ledger {
  #if RUNLEDGER_SNAPSHOT
    /// Whether the ledger can take snapshots yet.
    static let takesSnapshots = true

    func takeSnapshot(to path: String) throws(LedgerError) { _ = try snapshot(to: path) }
  #else
    // Until the engine has `Ledger.snapshot(to:)`; then this branch and the condition go.
    static let takesSnapshots = false

    func takeSnapshot(to path: String) throws {
      throw BenchmarkError("this version of the ledger takes no snapshots")
    }
  #endif
}
