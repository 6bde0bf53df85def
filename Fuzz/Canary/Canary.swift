#if canImport(Glibc)
  import Glibc
#endif

/// Two planted bugs, one for each part of the build flags. Both stand behind a word that nobody guesses: only who is told of each
/// branch that is taken gets there, one letter at a time. The overread is then no crash, unless the address sanitizer sees it.
/// Fuzz/fuzz.sh fails if either goes unnoticed, or is noticed as something else.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let bytes = unsafe UnsafeBufferPointer(start: start, count: count)
  guard count >= 6, unsafe bytes[0] == UInt8(ascii: "l"), unsafe bytes[1] == UInt8(ascii: "e"),
    unsafe bytes[2] == UInt8(ascii: "d"), unsafe bytes[3] == UInt8(ascii: "g"),
    unsafe bytes[4] == UInt8(ascii: "e"), unsafe bytes[5] == UInt8(ascii: "r")
  else { return 0 }
  if unsafe getenv("RUNLEDGER_CANARY").map({ unsafe strcmp($0, "overread") }) == 0 {
    // One byte behind the input, and the answer hangs on it.
    return -CInt(unsafe start[count] & 1)
  }
  fatalError("planted")
}
