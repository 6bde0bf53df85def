internal import LogEngine
internal import PlatformIO
internal import RunLedger

extension Command {
  static let `import` = Command(
    name: "import",
    operands: "LEDGER [FILE…]",
    operandCount: 1...Int.max,
    summary: "stores events from JSON lines, creating the ledger if it is missing",
    options: [
      .value(
        "--on-conflict",
        "error|ignore",
        "an id that is stored with other content stops the import, or is passed over"
      ),
      .sync,
      .flag("--acks", "after each durable batch, write {\"acked\":N}: N events so far, duplicates included"),
      .flag("--any-kind", "make a new ledger accept any text as an event's kind"),
      .json,
      .later("--shared"), .later("--wait", "D"),
    ],
    notes: """
      Without FILE, or for -, it reads standard input. Events are stored in atomic batches of at most 1,000. Importing the
      same lines again stores nothing twice, so an import that was stopped is continued by running it again. Bad input
      stops it at its line; everything before that line is stored.
      """
  ) { (invocation, console) throws(Failure) in
    var choices = ImportBatch.Choices()
    choices.onConflict = try invocation.choice("--on-conflict", ["error": .error, "ignore": .ignore])
    choices.syncPolicy = try invocation.syncPolicy()
    choices.hasAcks = invocation.has("--acks")
    var options = LedgerOptions()
    options.creation = .createIfMissing
    options.syncPolicy = choices.syncPolicy
    options.kindRule = invocation.has("--any-kind") ? .anyText : nil
    let files = invocation.operands.count > 1 ? Array(invocation.operands.dropFirst()) : ["-"]
    guard files.count(where: { $0 == "-" }) <= 1 else {
      throw .usage("standard input is named twice, but can be read once; leave one out")
    }
    // A mistyped file must not leave an empty ledger behind.
    let first = try open(files[0])
    Platform.catchInterrupts()
    return try invocation.withWriter(options) { (ledger) throws(Failure) in
      var importer = Importer(ImportBatch(ledger, choices, console.output), Progress(console.messages))
      let result: Result<Importer.End, Failure>
      do throws(Failure) {
        result = .success(try importer.run(first, files.dropFirst(), open))
      } catch {
        result = .failure(error)
      }
      if invocation.has("--json") {
        console.output.add(importer.report.line)
      } else if result != .failure(.outputClosed) {
        console.messages.say(importer.report.sentence)
      }
      switch try result.get() {
      case .done: return .done
      case .interrupted(let signal):
        throw Failure(
          .interrupted(by: signal),
          "interrupted at \(importer.place); run the import again to continue"
        )
      }
    }
  }

  private static func open(_ file: String) throws(Failure) -> InputStream {
    if file == "-" { return .standardInput() }
    do throws(FileSystemError) {
      return try InputStream.file(file)
    } catch {
      throw Failure(reading: file, error)
    }
  }
}
