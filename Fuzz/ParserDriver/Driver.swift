import ParserTargets

/// What libFuzzer feeds.
private let target = ParserTarget.chosen()

/// What libFuzzer calls first.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutableRawPointer?, _ arguments: UnsafeMutableRawPointer?) -> CInt {
  _ = target
  return 0
}

/// What libFuzzer calls with each input. The bytes are handed on in place, so that reading one behind them is noticed.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafeRawPointer, _ count: Int) -> CInt {
  target.run(unsafe RawSpan(_unsafeStart: start, byteCount: count))
  return 0
}
