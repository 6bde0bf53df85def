internal import LogEngine
internal import PlatformIO
internal import RunLedger

/// Why a command ends early: an exit code and one sentence for stderr, or none where nobody need be told.
struct Failure: Error, Sendable, Equatable {
  let code: ExitCode
  let message: String?

  init(_ code: ExitCode, _ message: String?) {
    self.code = code
    self.message = message
  }

  static func usage(_ message: String) -> Failure { Failure(.usage, message) }

  /// The reader of stdout has gone, which is its right.
  static let outputClosed = Failure(.done, nil)
}

/// What a path was for; it decides between "not found" and "cannot be created".
enum Purpose {
  /// A ledger that has to be there.
  case existing
  /// A ledger to be made, or a place for its files.
  case creating
}

extension Failure {
  init(_ error: LedgerError, _ purpose: Purpose = .existing) {
    if error.code == .log, let log = error.log {
      self.init(log, purpose)
    } else if error.code == .foreignDatabase, purpose == .creating {
      self.init(.cannotCreate, error.description)
    } else {
      self.init(.badData, error.description)
    }
  }

  /// Of a command that reads one ledger and makes another: what is wrong with the first is not said of the second.
  init(_ error: LedgerError, reading source: String) {
    var isOfSource = error.code == .foreignDatabase
    if let path = error.log?.path {
      do throws(LogError) {
        isOfSource = (path + "/").hasPrefix(try LogLocation.absolute(source) + "/")
      } catch {}
    }
    self.init(error, isOfSource ? .existing : .creating)
  }

  init(_ error: LogError, _ purpose: Purpose = .existing) {
    self.init(Self.code(of: error, purpose), error.description)
  }

  private static func code(of error: LogError, _ purpose: Purpose) -> ExitCode {
    switch error.code {
    case .fileSystem: error.cause.map { code(of: $0, purpose) } ?? .inputOutput
    case .noSuchLog, .notASnapshot, .offsetNotKept, .offsetBeyondEnd: .notFound
    case .notALog: purpose == .creating ? .cannotCreate : .notFound
    case .alreadyExists, .badDestination: .cannotCreate
    case .locked, .changedMeanwhile: .locked
    case .invalidOption: .usage
    case .outcomeUnknown, .outOfOffsets, .quotaExceeded: .inputOutput
    case .networkFileSystem: .cannotCreate
    case .readOnly, .closed, .forked: .bug
    default: .badData
    }
  }

  private static func code(of error: FileSystemError, _ purpose: Purpose) -> ExitCode {
    switch error.code {
    case .permissionDenied, .readOnlyFileSystem: .permission
    case .notFound, .notADirectory, .invalidPath, .notRegularFile:
      purpose == .creating ? .cannotCreate : .notFound
    case .exists: .cannotCreate
    default: .inputOutput
    }
  }

  /// A file of the user's that is to be read.
  init(reading name: String, _ error: FileSystemError) {
    switch error.code {
    case .notRegularFile:
      self.init(.notFound, "cannot read \(name): it is a directory or a device; give a file of JSON lines")
    default: self.init(Self.code(of: error, .existing), error.description)
    }
  }

  /// Standard output.
  init(writing error: FileSystemError) {
    self = error.code == .brokenPipe ? .outputClosed : Failure(.inputOutput, error.description)
  }
}

/// Runs ledger operations and turns their errors into the command's.
@discardableResult
func onLedger<R>(_ purpose: Purpose = .existing, _ body: () throws(LedgerError) -> R) throws(Failure) -> R {
  do throws(LedgerError) {
    return try body()
  } catch {
    throw Failure(error, purpose)
  }
}
