internal import AgentEvents
internal import Glibc
internal import RunLedger

// `events --count N --seed S`: the generator's events as JSON lines, for `ledgerctl import`.

func write(_ bytes: [UInt8], to file: Int32) {
  var start = 0
  while start < bytes.count {
    let count = unsafe bytes.withUnsafeBytes {
      unsafe Glibc.write(file, $0.baseAddress! + start, $0.count - start)
    }
    if count < 0 {
      // Whoever read has enough.
      exit(errno == EPIPE ? 0 : 74)
    }
    start += count
  }
}

func usage() -> Never {
  write(Array("usage: events [--count N] [--seed S] > FILE\n".utf8), to: 2)
  exit(64)
}

var count = 1_000_000
var seed: UInt64 = 1
var arguments = CommandLine.arguments.dropFirst()
while let name = arguments.popFirst() {
  guard let text = arguments.popFirst(), let value = UInt64(text) else { usage() }
  switch name {
  case "--count": count = Int(value)
  case "--seed": seed = value
  default: usage()
  }
}

var lines: [UInt8] = []
for event in EventGenerator(seed: seed).prefix(count) {
  event.appendJSONLine(to: &lines)
  if lines.count > 1 << 20 {
    write(lines, to: 1)
    lines.removeAll(keepingCapacity: true)
  }
}
write(lines, to: 1)
