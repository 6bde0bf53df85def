import FuzzTargets

#if canImport(Glibc)
  import Glibc
#endif

/// Which target libFuzzer feeds.
private let target: FuzzTarget = {
  guard let name = unsafe getenv("RUNLEDGER_FUZZ_TARGET"),
    let target = FuzzTarget(rawValue: unsafe String(cString: name))
  else { fatalError("set RUNLEDGER_FUZZ_TARGET to one of \(FuzzTarget.allCases.map(\.rawValue))") }
  return target
}()

/// What libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  target.run(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}
