#if canImport(Glibc)
  import Glibc
#endif

/// Two planted bugs, one for each part of the build flags: the fuzzer has to find its way to them, and the address sanitizer has
/// to see the first. Fuzz/fuzz.sh fails if either goes unnoticed.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  guard count >= 4 else { return 0 }
  let bytes = unsafe UnsafeBufferPointer(start: start, count: count)
  if unsafe getenv("RUNLEDGER_CANARY").map({ unsafe strcmp($0, "overread") }) == 0 {
    // One byte behind the input, behind three that have to be guessed.
    if unsafe bytes[0] == 0x52, unsafe bytes[1] == 0x4C, unsafe bytes[2] == 0x21 {
      return CInt(unsafe start[count])
    }
  } else if unsafe bytes[0] == 0x4C, unsafe bytes[1] == 0x52, unsafe bytes[2] ^ bytes[3] == 0x5A {
    fatalError("planted")
  }
  return 0
}
