public import LogEngine

/// Which events are asked for: those that meet every condition that is set. Without conditions, all.
public struct EventFilter: Sendable, Hashable {
  /// Of this run.
  public var run: String?
  /// Of this kind, or of the kinds below a name.
  public var kind: KindFilter?
  /// Emitted by this actor.
  public var actor: String?
  /// Of this session.
  public var session: String?
  /// Of the acting model with this id.
  public var model: String?
  /// With a turn in this range, bounds included.
  public var turns: ClosedRange<Int64>?
  /// Made at this time or later, by ``Event/createdAt``.
  public var since: Timestamp?
  /// Made before this time.
  public var until: Timestamp?
  /// At offsets in this range, bounds included.
  public var offsets: ClosedRange<Offset>?

  /// A filter with these conditions.
  public init(
    run: String? = nil, kind: KindFilter? = nil, actor: String? = nil, session: String? = nil,
    model: String? = nil, turns: ClosedRange<Int64>? = nil, since: Timestamp? = nil, until: Timestamp? = nil,
    offsets: ClosedRange<Offset>? = nil
  ) {
    self.run = run
    self.kind = kind
    self.actor = actor
    self.session = session
    self.model = model
    self.turns = turns
    self.since = since
    self.until = until
    self.offsets = offsets
  }
}

/// Which kinds are asked for.
public enum KindFilter: Sendable, Hashable {
  /// This one.
  case exactly(String)
  /// All that begin with this name and a dot: `.below("tool")` are `tool.call` and `tool.result.late`, but neither `tool` nor
  /// `toolbox.open`.
  case below(String)

  /// As it is written on a command line: `tool.call`, or `tool.*` for those below `tool`.
  public init(_ text: String) {
    self = text.hasSuffix(".*") ? .below(String(text.dropLast(2))) : .exactly(text)
  }
}

/// A value that a posting field must have.
struct PostingCondition {
  let field: PostingField
  /// The value, or what it begins with.
  let name: String
  let isPrefix: Bool

  func holds(_ value: RawSpan) -> Bool {
    let name = name.utf8Span.span.rawBytes
    guard isPrefix else { return value.isEqual(to: name) }
    return value.byteCount > name.byteCount && value.extracting(0..<name.byteCount).isEqual(to: name)
  }
}

extension EventFilter {
  /// Those that the index knows.
  var postingConditions: [PostingCondition] {
    var conditions: [PostingCondition] = []
    func add(_ field: PostingField, _ name: String?, isPrefix: Bool = false) {
      if let name { conditions.append(PostingCondition(field: field, name: name, isPrefix: isPrefix)) }
    }
    add(.run, run)
    switch kind {
    case .exactly(let name)?: add(.kind, name)
    case .below(let name)?: add(.kind, name + ".", isPrefix: true)
    case nil: break
    }
    add(.actor, actor)
    add(.session, session)
    add(.model, model)
    return conditions
  }

  /// Must a record be looked at to know?
  var looksAtRecords: Bool { turns != nil || since != nil || until != nil }

  /// Does an event meet what only its record says?
  func allows(_ view: borrowing EventView) -> Bool {
    if let turns, !turns.contains(view.turn) { return false }
    if let since, view.createdAt < since { return false }
    if let until, view.createdAt >= until { return false }
    return true
  }
}

extension EventView {
  /// The value of a field, if the event has one.
  @_lifetime(copy self)
  func value(of field: PostingField) -> RawSpan? {
    switch field {
    case .run: runID
    case .kind: kind
    case .actor: actor
    case .session: sessionID
    case .model: modelID
    }
  }
}
