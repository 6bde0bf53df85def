/// Where a ledger lives.
public enum LedgerLocation: Sendable, Equatable {
  /// In memory, gone with the process.
  case memory

  /// In a directory, by its path.
  case directory(String)

  /// The variable that gives the location when no argument does.
  public static let environmentVariable = "DATABASE_URL"

  /// Finds the location from an argument, or else from the environment variable ``environmentVariable``.
  ///
  /// Empty text counts as absent, and nothing is ever assumed. `:memory:` and `sqlite` URLs without a path or
  /// with the path `:memory:` mean memory. The path of any other `sqlite` URL (`sqlite:///relative`,
  /// `sqlite:////absolute`, with a driver as in `sqlite+aiosqlite:` too) is percent-decoded and means that
  /// directory. Text without a scheme is a path, taken literally. Nothing is looked up on disk.
  ///
  /// - Parameters:
  ///   - argument: What the user asked for, if anything.
  ///   - environment: Gives the value of an environment variable; called once at most.
  /// - Throws: ``LocationError``; its text never holds more of a URL than its scheme.
  /// - Complexity: O(length of the text). May be called from any thread.
  public static func resolve(
    _ argument: String?,
    environment: (String) -> String?
  ) throws(LocationError) -> LedgerLocation {
    if let argument, !argument.isEmpty { return try parse(argument) }
    if let value = environment(environmentVariable), !value.isEmpty { return try parse(value) }
    throw LocationError(.notGiven)
  }

  private static func parse(_ text: String) throws(LocationError) -> LedgerLocation {
    if text == memoryName { return .memory }
    let bytes = Array(text.utf8)
    guard let schemeEnd = schemeEnd(bytes) else {
      guard !bytes.contains(0) else { throw LocationError(.invalidPath) }
      return .directory(text)
    }
    guard isScheme(bytes[..<schemeEnd]) else { throw LocationError(.malformedURL) }
    let scheme = String(decoding: bytes[..<schemeEnd], as: UTF8.self).lowercased()
    guard scheme == "sqlite" || scheme.hasPrefix("sqlite+") else {
      throw LocationError(.unsupportedScheme, scheme: scheme)
    }
    return try parseSQLite(bytes[(schemeEnd + 3)...], scheme)
  }

  private static let memoryName = ":memory:"

  /// The index of the first `://` that no slash precedes. Whatever comes before it, such text is a URL and
  /// not a path: a mistyped scheme must not turn a URL with a password into a file name.
  private static func schemeEnd(_ bytes: [UInt8]) -> Int? {
    guard
      let slash = bytes.firstIndex(of: UInt8(ascii: "/")), slash > 0, slash + 1 < bytes.count,
      bytes[slash - 1] == UInt8(ascii: ":"), bytes[slash + 1] == UInt8(ascii: "/")
    else { return nil }
    return slash - 1
  }

  private static func isScheme(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard let first = bytes.first, isLetter(first) else { return false }
    return bytes.allSatisfy { byte in
      isLetter(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  /// Reads what follows `sqlite://`: nothing, or a slash and the path.
  private static func parseSQLite(
    _ rest: ArraySlice<UInt8>,
    _ scheme: String
  ) throws(LocationError) -> LedgerLocation {
    guard let slash = rest.first else { return .memory }
    // A host, a user or options: SQLite drivers know some of these, a ledger knows none, and ignoring them
    // would lie.
    guard slash == UInt8(ascii: "/"), !rest.contains(UInt8(ascii: "?")) else {
      throw LocationError(.malformedURL, scheme: scheme)
    }
    guard let path = percentDecoded(rest.dropFirst()), !path.contains(0), isWellFormed(path) else {
      throw LocationError(.invalidPath, scheme: scheme)
    }
    let text = String(decoding: path, as: UTF8.self)
    return text.isEmpty || text == memoryName ? .memory : .directory(text)
  }

  private static func percentDecoded(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    var rest = bytes
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%") {
        guard
          let high = rest.popFirst().flatMap(JSONScanner.hexValue),
          let low = rest.popFirst().flatMap(JSONScanner.hexValue)
        else { return nil }
        result.append(UInt8(high << 4 | low))
      } else {
        result.append(byte)
      }
    }
    return result
  }

  private static func isWellFormed(_ bytes: [UInt8]) -> Bool {
    String(validating: bytes, as: UTF8.self) != nil
  }
}

/// Why no ledger location could be made out.
///
/// A value, safe to pass between threads. It holds nothing of a URL but its scheme, so no password can leak
/// from it.
public struct LocationError: Error, Sendable, Equatable {
  /// What went wrong, as something a program can compare.
  public struct Code: Sendable, Hashable {
    fileprivate enum Kind: Sendable, Hashable {
      case notGiven, unsupportedScheme, malformedURL, invalidPath
    }

    fileprivate let kind: Kind

    /// Neither argument nor environment variable says where the ledger is.
    public static let notGiven = Code(kind: .notGiven)
    /// The URL's scheme names a store that this library has no backend for.
    public static let unsupportedScheme = Code(kind: .unsupportedScheme)
    /// The text looks like a URL but is not one that names a ledger.
    public static let malformedURL = Code(kind: .malformedURL)
    /// The path holds a zero byte, a broken percent escape, or is not UTF-8.
    public static let invalidPath = Code(kind: .invalidPath)
  }

  /// What went wrong.
  public let code: Code

  /// The URL's scheme, in lower case and clipped, if it had one.
  public let scheme: String?

  fileprivate init(_ code: Code, scheme: String? = nil) {
    self.code = code
    self.scheme = scheme.map { Excerpt.of($0) }
  }
}

extension LocationError: CustomStringConvertible {
  /// One sentence: what, and what to do.
  public var description: String {
    let supported = "a directory's path, :memory:, or sqlite:///PATH"
    return switch code.kind {
    case .notGiven:
      "no ledger is given: name one as the argument, or set \(LedgerLocation.environmentVariable), to \(supported)."
    case .unsupportedScheme:
      "unsupported scheme \"\(scheme ?? "")\": use \(supported)."
    case .malformedURL:
      "the ledger's URL is malformed: use \(supported), without user, host or options."
    case .invalidPath:
      "the ledger's path holds a zero byte, a broken percent escape, or bytes that are not UTF-8: use \(supported)."
    }
  }
}
