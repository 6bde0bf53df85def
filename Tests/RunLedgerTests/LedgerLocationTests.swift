import RunLedger
import Testing

@Suite("Ledger locations")
struct LedgerLocationTests {
  private func resolve(_ argument: String?, variable: String? = nil) throws(LocationError) -> LedgerLocation {
    try LedgerLocation.resolve(argument) { $0 == "DATABASE_URL" ? variable : nil }
  }

  private func refusal(_ argument: String?, variable: String? = nil) -> LocationError? {
    do throws(LocationError) {
      _ = try resolve(argument, variable: variable)
      return nil
    } catch {
      return error
    }
  }

  @Test("Case 24: without argument and variable, or with empty ones, the error names DATABASE_URL")
  func nothingGiven() {
    for (argument, variable) in [(nil, nil), ("", nil), (nil, ""), ("", "")] as [(String?, String?)] {
      let error = refusal(argument, variable: variable)
      #expect(error?.code == .notGiven)
      #expect(error?.description.contains("DATABASE_URL") == true)
    }
  }

  @Test("Case 24: the variable counts if there is no argument, and the argument counts before it")
  func precedence() throws {
    #expect(try resolve(nil, variable: "runs/a") == .directory("runs/a"))
    #expect(try resolve("", variable: ":memory:") == .memory)
    #expect(try resolve("runs/b", variable: "runs/a") == .directory("runs/b"))
    #expect(try resolve("runs/b", variable: "postgres://u:p@h/d") == .directory("runs/b"))
  }

  @Test(
    "Text without a scheme is a path",
    arguments: [
      "ledger", "./ledger", "/var/lib/ledger", "C:\\x", "C:/x", "a:b", "sqlite:ledger", "sqlite:/ledger",
      "memory",
      " :memory:", "a/b://c", "/x://y", "é😀", "~", "100%25", "a?b#c", "//server/share", ":/x",
    ]
  )
  func path(_ text: String) throws {
    #expect(try resolve(text) == .directory(text))
  }

  @Test(
    "Memory is asked for by name or by a sqlite URL without a path",
    arguments: [
      ":memory:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:", "SQLite://",
      "sqlite:///%3Amemory%3A",
    ]
  )
  func memory(_ text: String) throws {
    #expect(try resolve(text) == .memory)
  }

  @Test("A sqlite URL with a path is that path, percent-decoded")
  func sqlitePaths() throws {
    let pairs = [
      ("sqlite:///rel/path", "rel/path"), ("sqlite:////abs/path", "/abs/path"),
      ("sqlite+aiosqlite:////abs/path.db", "/abs/path.db"), ("SQLITE:///X.db", "X.db"),
      ("sqlite:///a%20b%2Fc", "a b/c"), ("sqlite:///%F0%9F%98%80", "😀"), ("sqlite:///C:\\x", "C:\\x"),
      ("sqlite:///a#b", "a#b"), ("sqlite:///a%3Fb", "a?b"),
    ]
    for (text, path) in pairs {
      #expect(try resolve(text) == .directory(path), "\(text)")
    }
  }

  @Test(
    "A scheme without a backend is unsupported, and the error lists what is supported",
    arguments: [
      "postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "mysql", "file", "https",
      "sqlitex",
    ]
  )
  func unsupportedScheme(_ scheme: String) {
    let error = refusal("\(scheme)://alice:s3cret@db.example.org:5432/ledger?password=s3cret")
    #expect(error?.code == .unsupportedScheme)
    #expect(error?.scheme == scheme)
    let text = error?.description ?? ""
    #expect(text.contains(scheme))
    #expect(text.contains("sqlite:///PATH"))
    #expect(!text.contains("s3cret"))
    #expect(!text.contains("alice"))
    #expect(!text.contains("example"))
  }

  @Test(
    "A mistyped URL is never taken for a path, and gives nothing away",
    arguments: [
      " postgres://alice:s3cret@h/d", "post gres://alice:s3cret@h/d", "alice:s3cret://h", "é://s3cret",
      "1a://s3cret",
      "sqlite://alice:s3cret@h/d", "sqlite://:s3cret@/d", "sqlite:///d?key=s3cret", "sqlite://:memory:",
    ]
  )
  func malformed(_ text: String) {
    let error = refusal(text)
    #expect(error?.code == .malformedURL)
    #expect(error?.description.contains("s3cret") == false)
    #expect(error?.scheme?.contains("s3cret") != true)
  }

  @Test(
    "A path that no file can have is refused",
    arguments: [
      "a\u{0}b", "sqlite:///a%00b", "sqlite:///%", "sqlite:///%4", "sqlite:///%zz", "sqlite:///%FF",
    ]
  )
  func invalidPath(_ text: String) {
    #expect(refusal(text)?.code == .invalidPath)
  }
}
