extension JSONText {
  /// Whether both texts are valid JSON and say the same.
  ///
  /// Objects are equal whatever the order of their members; where a name repeats, its values are compared in
  /// the order given. Arrays are ordered. Strings are compared after unescaping, code point by code point,
  /// without Unicode normalisation. Numbers are compared by their exact decimal value, whatever their size:
  /// `1.0`, `1` and `10e-1` are equal, and so are `-0` and `0`.
  ///
  /// Texts above ``EventLimits/payloadBytes``, which no event holds, are equal only byte by byte.
  ///
  /// - Complexity: O(n log n) in the sum of the sizes; memory of a fraction of that sum for ordinary texts,
  ///   and of about eight times for one made of nothing but brackets. No recursion.
  package static func haveEqualValues(_ left: RawSpan, _ right: RawSpan) -> Bool {
    guard isValid(left), isValid(right) else { return false }
    if haveEqualBytes(left, right) { return true }
    guard max(left.byteCount, right.byteCount) <= EventLimits.payloadBytes else { return false }
    do throws(JSONFault) {
      let leftTape = try JSONTape(left)
      let rightTape = try JSONTape(right)
      return haveEqualValues(left, leftTape, right, rightTape)
    } catch {
      return false
    }
  }

  /// Whether two runs of bytes are the same.
  package static func haveEqualBytes(_ left: RawSpan, _ right: RawSpan) -> Bool {
    guard left.byteCount == right.byteCount else { return false }
    var index = 0
    while left.byteCount - index >= 8 {
      guard left.word(at: index) == right.word(at: index) else { return false }
      index += 8
    }
    while index < left.byteCount {
      guard left.byte(at: index) == right.byte(at: index) else { return false }
      index += 1
    }
    return true
  }

  /// Compares from the roots on. Scalars are compared at once; pairs of containers wait on `pending`.
  private static func haveEqualValues(
    _ left: RawSpan,
    _ leftTape: JSONTape,
    _ right: RawSpan,
    _ rightTape: JSONTape
  ) -> Bool {
    var pending: [(left: UInt32, right: UInt32)] = []

    /// False if the values differ for sure; otherwise they are equal, or wait to be compared.
    func mayBeEqual(_ one: Int, _ other: Int) -> Bool {
      let kind = leftTape.kind(one, left)
      guard kind == rightTape.kind(other, right) else { return false }
      let onePosition = leftTape.position(one)
      let otherPosition = rightTape.position(other)
      switch kind {
      case .literal:
        return left.byte(at: onePosition) == right.byte(at: otherPosition)
      case .number:
        return JSONNumber.areEqual(left, onePosition, right, otherPosition)
      case .string:
        return JSONStringReader.compare(left, onePosition, right, otherPosition) == .same
      case .array, .object:
        let oneIsEmpty = leftTape.firstChild(one) == leftTape.containerEnd(one)
        let otherIsEmpty = rightTape.firstChild(other) == rightTape.containerEnd(other)
        if oneIsEmpty || otherIsEmpty { return oneIsEmpty == otherIsEmpty }
        pending.append((UInt32(one), UInt32(other)))
        return true
      }
    }

    guard mayBeEqual(0, 0) else { return false }
    while let (left: oneEntry, right: otherEntry) = pending.popLast() {
      let one = Int(oneEntry)
      let other = Int(otherEntry)
      if leftTape.kind(one, left) == .array {
        var oneItem = leftTape.firstChild(one)
        var otherItem = rightTape.firstChild(other)
        let oneEnd = leftTape.containerEnd(one)
        let otherEnd = rightTape.containerEnd(other)
        while oneItem < oneEnd, otherItem < otherEnd {
          guard mayBeEqual(oneItem, otherItem) else { return false }
          oneItem = leftTape.end(oneItem, left)
          otherItem = rightTape.end(otherItem, right)
        }
        guard oneItem == oneEnd, otherItem == otherEnd else { return false }
      } else {
        let oneNames = namesInOrder(one, left, leftTape)
        let otherNames = namesInOrder(other, right, rightTape)
        guard oneNames.count == otherNames.count else { return false }
        for (oneName, otherName) in zip(oneNames, otherNames) {
          guard
            mayBeEqual(Int(oneName), Int(otherName)),
            mayBeEqual(Int(oneName) + 1, Int(otherName) + 1)
          else { return false }
        }
      }
    }
    return true
  }

  /// An object's names in order; equal names stay in text order.
  private static func namesInOrder(_ object: Int, _ bytes: RawSpan, _ tape: JSONTape) -> [UInt32] {
    var names = tape.members(object, bytes)
    names.sort { one, other in
      switch JSONStringReader.compare(bytes, tape.position(Int(one)), bytes, tape.position(Int(other))) {
      case .before: true
      case .after: false
      // The place in the text decides, so the result is stable whatever the standard library's sort promises.
      case .same: one < other
      }
    }
    return names
  }
}
