import LogEngine
import RunLedger
import StorageTesting
import Testing

@Suite("JSON text")
struct JSONTests {
  private func code(_ text: String) -> EventError.Code? {
    code(Array(text.utf8))
  }

  private func code(_ bytes: [UInt8]) -> EventError.Code? {
    EventTesting.refusal(ofJSON: bytes)?.code
  }

  private func isEqual(_ left: String, _ right: String) -> Bool {
    let forth = EventTesting.haveEqualValues(left, right)
    let back = EventTesting.haveEqualValues(right, left)
    #expect(forth == back, "equality is symmetric: \(left) \(right)")
    return forth
  }

  // MARK: The grammar

  @Test(
    "Valid JSON is accepted",
    arguments: [
      "{}", "[]", "0", "-0", "1", "-1", "10", "1.0", "0.1", "-0.0", "1e1", "1E1", "1e+1", "1e-1", "1.5E-10",
      "0e0",
      "1e999999999", "1e-999999999", "123456789012345678901234567890.123456789012345678901234567890", "true",
      "false",
      "null", "\"\"", "\"a\"", "\"\u{7F}\"", "\"\u{2028}\u{2029}\"", "\"\u{10FFFF}\"", "\"\u{FEFF}\"",
      "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u0000\\uFFFF\\uabCD\"", "\"\\ud800\"", "\"\\uDC00\\uD800\"",
      "\"\\uD83D\\uDE00\"", " \t\r\n{ \t\r\n} \t\r\n", "[1,2,3]", "[ 1 , 2 ]", "[[],{},[{}]]", "{\"a\":1}",
      "{\"a\":1,\"a\":2}", "{\"\":{\"\":[]}}", "{ \"a\" : [ 1 , { \"b\" : null } ] , \"c\" : \"\" }",
      "[[[[[[1]]]]]]",
      "\"12345678\"", "\"1234567\\n\"", "\"123456é89012345\"", "[\"asd\",\"\\\\\"]",
    ]
  )
  func accepted(_ text: String) {
    #expect(code(text) == nil)
  }

  @Test(
    "What is not JSON is refused",
    arguments: [
      "", " ", "\n", "nul", "nulll", "True", "truefalse", "undefined", "NaN", "-NaN", "Infinity", "-Infinity",
      "+1",
      ".5", "-.5", "1.", "1.e1", "01", "-01", "00", "--1", "-", "1e", "1e+", "1e-", "1e1.5", "1ee1", "0x10",
      "1_000",
      "1 2", "1,", ",", "[", "]", "{", "}", "[}", "{]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1", "[1,",
      "{\"a\"}",
      "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{a:1}", "{'a':1}", "{1:1}",
      "{\"a\":1",
      "{\"a\":1,", "{\"a\"", "{\"a\":", "{null:1}", "'a'", "\"", "\"a", "\"\\\"", "\"\\", "\"\\x\"",
      "\"\\'\"",
      "\"\\u\"", "\"\\u0\"", "\"\\u000\"", "\"\\u00g0\"", "\"\\U0000\"", "\"\\u00", "\"a\nb\"", "\"a\tb\"",
      "\"\u{0}\"", "\"\u{1F}\"", "\u{FEFF}{}", "{}{}", "[][]", "{} x", "// c\n1", "/* c */1", "1 // c",
      "\u{0}",
      "1\u{0}", "\u{A0}1", "\u{C}1", "[\"a\" \"b\"]", "\"a\"b", "[1]]", "{}}", "１", "é", "\\u0031", "tru",
      "f", "n",
      "\"12345678", "\"1234567\u{1}\"",
    ]
  )
  func refused(_ text: String) {
    #expect(code(text) == .malformedJSON)
  }

  @Test("UTF-8 is strict: no overlong forms, surrogates, strays, cuts, or code points above U+10FFFF")
  func strictUTF8() {
    let bad: [[UInt8]] = [
      [0x80], [0xBF], [0xC0, 0x80], [0xC1, 0xBF], [0xC2], [0xC2, 0x20], [0xC2, 0xC2], [0xE0, 0x80, 0x80],
      [0xE0, 0x9F, 0xBF], [0xE2, 0x82], [0xE2, 0x28, 0xA1], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF],
      [0xF0, 0x80, 0x80, 0x80], [0xF0, 0x8F, 0xBF, 0xBF], [0xF0, 0x9F, 0x98], [0xF4, 0x90, 0x80, 0x80],
      [0xF5, 0x80, 0x80, 0x80], [0xFE], [0xFF],
    ]
    let good: [[UInt8]] = [
      [0xC2, 0x80], [0xDF, 0xBF], [0xE0, 0xA0, 0x80], [0xED, 0x9F, 0xBF], [0xEE, 0x80, 0x80],
      [0xEF, 0xBF, 0xBF],
      [0xF0, 0x90, 0x80, 0x80], [0xF4, 0x8F, 0xBF, 0xBF],
    ]
    let quote = UInt8(ascii: "\"")
    // Before and behind the words of eight bytes that the scanner skips at once.
    for padding in 0..<20 {
      let plain = [UInt8](repeating: UInt8(ascii: "a"), count: padding)
      for bytes in bad {
        let error = EventTesting.refusal(ofJSON: [quote] + plain + bytes + plain + [quote])
        #expect(error?.code == .invalidUTF8, "\(bytes)")
        #expect(error?.column == padding + 2)
      }
      for bytes in good {
        #expect(code([quote] + plain + bytes + plain + [quote]) == nil, "\(bytes)")
      }
    }
  }

  @Test("An invalid byte is refused at every place of a document")
  func invalidByteEverywhere() {
    let document = Array("{\"key\":[1,-2.5e3,\"a long enough string\",true,null],\"é😀\":{}}".utf8)
    #expect(code(document) == nil)
    for index in 0...document.count {
      var bytes = document
      bytes.insert(0xFF, at: index)
      #expect(code(bytes) != nil, "at \(index)")
      #expect(code(Array(document[..<min(index, document.count - 1)])) != nil, "cut at \(index)")
    }
  }

  @Test("A control character in a string is refused at every place of a word")
  func controlCharacters() {
    for control in UInt8(0)..<0x20 {
      for padding in 0..<17 {
        let text = [UInt8](repeating: UInt8(ascii: "a"), count: padding)
        let error = EventTesting.refusal(ofJSON: [0x22] + text + [control] + text + [0x22])
        #expect(error?.code == .malformedJSON)
        #expect(error?.column == padding + 2)
      }
    }
  }

  @Test("512 levels of nesting are accepted and 513 are not")
  func nesting() {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    func nestedObjects(_ depth: Int) -> String {
      String(repeating: "{\"a\":", count: depth) + "0" + String(repeating: "}", count: depth)
    }
    #expect(code(nested(512)) == nil)
    #expect(code(nested(513)) == .nestedTooDeep)
    #expect(code(nestedObjects(512)) == nil)
    #expect(code(nestedObjects(513)) == .nestedTooDeep)
    #expect(code("[" + nested(511) + "," + nestedObjects(511) + "," + nested(511) + "]") == nil)
  }

  @Test("100,000 opening brackets are refused without harm")
  func hostileNesting() {
    let brackets = String(repeating: "[", count: 100_000)
    #expect(code(brackets) == .nestedTooDeep)
    #expect(code(String(repeating: "{\"a\":", count: 100_000)) == .nestedTooDeep)
    #expect(!EventTesting.haveEqualValues(brackets, brackets))
  }

  @Test("Mixed nesting closes only with the right bracket")
  func mixedNesting() {
    #expect(code("[{\"a\":[{\"b\":[]}]}]") == nil)
    #expect(code("[{\"a\":[{\"b\":[}]}]}]") == .malformedJSON)
    #expect(code("{\"a\":[1}") == .malformedJSON)
    #expect(code("[{\"a\":1]") == .malformedJSON)
    #expect(code("[[1],2:3]") == .malformedJSON)
  }

  @Test("The column is the offending byte, counted from 1")
  func columns() {
    let expected = [
      ("", 1), ("  x", 3), ("[1,2,x]", 6), ("{\"a\":1 x", 8), ("\"ab", 4), ("01", 2), ("{} {}", 4),
      ("[1,]", 4),
      ("\"a\\q\"", 3),
    ]
    for (text, column) in expected {
      #expect(EventTesting.refusal(ofJSON: Array(text.utf8))?.column == column, "\(text)")
    }
  }

  // MARK: Equality of values

  @Test(
    "Numbers are equal if their exact decimal values are",
    arguments: [
      ("1", "1.0"), ("1", "10e-1"), ("1", "0.1e1"), ("-0", "0"), ("-0.0e5", "0"),
      ("0e999999999999999999999", "0"),
      ("100", "1e2"), ("100", "1E+2"), ("0.001", "1e-3"), ("12.5", "125e-1"), ("12.50", "1.25e1"),
      ("1e999999999999", "10e999999999998"),
      ("1e99999999999999999999999999", "100e99999999999999999999999997"),
      ("1e-99999999999999999999999999", "0.1e-99999999999999999999999998"),
      ("1e00000000000000000000000001", "10"),
      ("123456789012345678901234567890", "1.23456789012345678901234567890e29"),
      ("9223372036854775807", "9223372036854775807.000"), ("1000000000e-9", "1"), ("-5e-1", "-0.5"),
    ]
  )
  func equalNumbers(_ left: String, _ right: String) {
    #expect(isEqual(left, right))
    #expect(isEqual("[\(left)]", "[ \(right) ]"))
  }

  @Test(
    "Numbers that differ anywhere differ",
    arguments: [
      ("1", "-1"), ("1", "2"), ("1", "10"), ("0", "1"), ("0", "1e-999999999999"), ("1.0", "1.01"),
      ("9223372036854775807", "9223372036854775806"), ("9007199254740993", "9007199254740992"),
      ("18446744073709551616", "18446744073709551617"), ("1e999999999999", "1e999999999998"),
      ("1e99999999999999999999999999", "1e99999999999999999999999998"),
      ("1e99999999999999999999", "1e-99999999999999999999"),
      ("1e18446744073709551616", "1"), ("12", "1.3e1"), ("101", "11"), ("1.05", "1.5"), ("123", "12"),
    ]
  )
  func differentNumbers(_ left: String, _ right: String) {
    #expect(!isEqual(left, right))
  }

  @Test(
    "Strings are equal if their code points are",
    arguments: [
      ("\"A\"", "\"\\u0041\""), ("\"/\"", "\"\\/\""), ("\"é\"", "\"\\u00e9\""), ("\"é\"", "\"\\u00E9\""),
      ("\"😀\"", "\"\\ud83d\\ude00\""), ("\"\\n\"", "\"\\u000a\""), ("\"\\ud800\"", "\"\\uD800\""),
      ("\"\\ud83dx\"", "\"\\uD83D\\u0078\""),
      ("\"a long plain prefix \\u0041\"", "\"a long plain prefix A\""),
      ("\"\\u0000\"", "\"\\u0000\""),
      ("\"\\b\\f\\r\\t\\\\\\\"\"", "\"\\u0008\\u000C\\u000D\\u0009\\u005c\\u0022\""),
    ]
  )
  func equalStrings(_ left: String, _ right: String) {
    #expect(isEqual(left, right))
    #expect(isEqual("{\(left):1}", "{\(right):1.0}"))
  }

  @Test(
    "Strings that differ in a code point differ, and nothing is normalised",
    arguments: [
      ("\"a\"", "\"b\""), ("\"a\"", "\"ab\""), ("\"\"", "\"\\u0000\""), ("\"\u{E9}\"", "\"e\u{301}\""),
      ("\"\\ud800\"", "\"\\ud801\""), ("\"\\ud83d\"", "\"\\ud83d\\ude00\""), ("\"\\ud800\"", "\"\u{FFFD}\""),
      ("\"\\ude00\\ud83d\"", "\"\\ud83d\\ude00\""), ("\"12345678\"", "\"12345679\""),
    ]
  )
  func differentStrings(_ left: String, _ right: String) {
    #expect(!isEqual(left, right))
  }

  @Test("Objects are unordered, arrays are ordered")
  func containers() {
    #expect(isEqual("{\"a\":1,\"b\":[2,{}]}", " { \"b\" : [ 2.0 , { } ] , \"a\" : 1 } "))
    #expect(isEqual("[1,[],{}]", "[1, [ ], { }]"))
    #expect(isEqual("{\"a\":{\"c\":3,\"b\":2}}", "{\"\\u0061\":{\"b\":2,\"c\":3}}"))
    #expect(!isEqual("[1,2]", "[2,1]"))
    #expect(!isEqual("[1]", "[1,1]"))
    #expect(!isEqual("[]", "{}"))
    #expect(!isEqual("[[]]", "[[[]]]"))
    #expect(!isEqual("{\"a\":1}", "{\"a\":2}"))
    #expect(!isEqual("{\"a\":1}", "{\"b\":1}"))
    #expect(!isEqual("{\"a\":1}", "{\"a\":1,\"b\":1}"))
    #expect(!isEqual("{\"a\":1}", "{}"))
    #expect(!isEqual("{\"a\":\"b\"}", "{\"b\":\"a\"}"))
    #expect(!isEqual("[[1],[2]]", "[[1],[3]]"))
    #expect(!isEqual("[{\"a\":[1]},{\"a\":[2]}]", "[{\"a\":[2]},{\"a\":[1]}]"))
  }

  @Test("Values of different types differ")
  func types() {
    let values = [
      "null", "true", "false", "0", "1", "\"\"", "\"1\"", "\"true\"", "[]", "{}", "[null]", "{\"\":null}",
    ]
    for (leftIndex, left) in values.enumerated() {
      for (rightIndex, right) in values.enumerated() {
        #expect(isEqual(left, right) == (leftIndex == rightIndex), "\(left) \(right)")
      }
    }
  }

  @Test("Repeated names compare in the order given")
  func repeatedNames() {
    #expect(isEqual("{\"a\":1,\"b\":0,\"a\":2}", "{\"b\":0,\"a\":1,\"\\u0061\":2}"))
    #expect(!isEqual("{\"a\":1,\"a\":2}", "{\"a\":2,\"a\":1}"))
    #expect(!isEqual("{\"a\":1,\"a\":1}", "{\"a\":1}"))
    #expect(!isEqual("{\"a\":1,\"a\":1,\"b\":1}", "{\"a\":1,\"b\":1,\"b\":1}"))
  }

  @Test("What is not JSON equals nothing, not even itself")
  func invalidEqualsNothing() {
    #expect(!isEqual("nope", "nope"))
    #expect(!isEqual("{} x", "{}"))
    #expect(!isEqual("", ""))
  }

  @Test("Large objects and deep values are compared in good time")
  func largeValues() {
    let count = 5_000
    let prefix = String(repeating: "k", count: 20)
    let members = (0..<count).map { "\"\(prefix)\($0)\":\($0)" }
    let forth = "{" + members.joined(separator: ",") + "}"
    let back = "{" + members.reversed().joined(separator: ", ") + "}"
    #expect(isEqual(forth, back))
    let deep = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
    #expect(isEqual(deep, " " + deep))
    let objects = String(repeating: "{\"a\":", count: 511) + "1.0" + String(repeating: "}", count: 511)
    #expect(isEqual(objects, objects.replacing("1.0", with: "1")))
    #expect(!isEqual(objects, objects.replacing("1.0", with: "2")))
  }

  @Test("Random values equal themselves with other spacing, and equal values are found by equal bytes")
  func randomValues() {
    var numbers = SeededGenerator(seed: 8_259)
    for _ in 0..<1_000 {
      let text = EventTesting.randomJSON(using: &numbers)
      #expect(isEqual(text, " \(text)\n"), "\(text)")
      #expect(!isEqual(text, "[\(text)]"), "\(text)")
    }
  }

  // MARK: One line

  @Test("Line breaks between tokens become spaces, and nothing else changes")
  func oneLine() {
    let pairs = [
      ("{}", "{}"), ("{\n}", "{ }"), ("\r\n[1,\r\n2]\n", "  [1,  2] "), ("\"a\\n\\r\"", "\"a\\n\\r\""),
      ("[\t1 ,\n\n\n\n\n\n\n\n\n\n2]", "[\t1 ,          2]"), ("", ""),
      ("12345678\n12345678", "12345678 12345678"),
      ("\"éééééééé😀\"\n", "\"éééééééé😀\" "),
    ]
    for (text, expected) in pairs {
      var output = Array(">".utf8)
      JSONText.copyOnOneLine(Array(text.utf8).span.rawBytes, into: &output)
      #expect(String(decoding: output, as: UTF8.self) == ">" + expected)
    }
  }
}
