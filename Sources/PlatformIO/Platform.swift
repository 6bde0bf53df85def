// The one file that knows which operating system this is. Thin, typed wrappers: EINTR is retried where that is sound,
// full reads and writes are looped, and every error number becomes a `FileSystemError`.

internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// The last signal that asked the process to stop; 0 for none. A lock-free atomic, so a signal handler may store to it.
private let interruptFlag = Atomic<Int32>(0)

/// How often this process was forked off another.
private let forks = Atomic<UInt32>(0)

package enum Platform {
  // MARK: Errors

  static func lastError(
    _ operation: FileSystemError.Operation, _ path: String, position: UInt64? = nil
  ) -> FileSystemError {
    error(errno, operation, path, position: position)
  }

  static func error(
    _ number: Int32, _ operation: FileSystemError.Operation, _ path: String, position: UInt64? = nil
  ) -> FileSystemError {
    FileSystemError(code(of: number), operation, path: path, position: position, errorNumber: number)
  }

  static func code(of number: Int32) -> FileSystemError.Code {
    switch number {
    case ENOENT: .notFound
    case EEXIST: .exists
    case EACCES, EPERM: .permissionDenied
    case EROFS: .readOnlyFileSystem
    case ENOSPC: .noSpace
    case EDQUOT: .quotaExceeded
    case EFBIG: .fileTooLarge
    case EMFILE, ENFILE: .tooManyOpenFiles
    case ELOOP, EISDIR, ENXIO: .notRegularFile
    case ENOTDIR: .notADirectory
    case ENOTEMPTY: .notEmpty
    case ENAMETOOLONG: .invalidPath
    case EXDEV: .crossDevice
    case EMLINK: .tooManyLinks
    case ENOLCK: .noLocks
    case EOPNOTSUPP, ENOSYS, ENOTTY, ENODEV: .notSupported
    case ENOMEM: .outOfMemory
    case EIO: .io
    case EPIPE: .brokenPipe
    case EINTR: .interrupted
    default: .other
    }
  }

  /// A path as the kernel will read it: a NUL inside would silently name something else.
  static func checkPath(_ path: String, _ operation: FileSystemError.Operation) throws(FileSystemError) {
    if path.isEmpty || path.utf8.contains(0) { throw FileSystemError(.invalidPath, operation, path: path) }
  }

  // MARK: Names

  /// The working directory, for `path` to start from.
  static func workingDirectory(_ path: String) throws(FileSystemError) -> String {
    guard let name = unsafe getcwd(nil, 0) else { throw lastError(.status, path) }
    defer { unsafe free(name) }
    return unsafe String(cString: name)
  }

  static func makeDirectory(_ path: String) throws(FileSystemError) -> Bool {
    try checkPath(path, .createDirectory)
    if unsafe mkdir(path, 0o700) == 0 { return true }
    if errno == EEXIST { return false }
    throw lastError(.createDirectory, path)
  }

  static func entries(of path: String) throws(FileSystemError) -> [String] {
    try checkPath(path, .list)
    let directory = unsafe try openDirectory(path)
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = unsafe readdir(directory) else {
        if errno != 0 { throw lastError(.list, path) }
        return names
      }
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        unsafe tuple.withMemoryRebound(to: CChar.self, capacity: 1) { unsafe String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
  }

  #if canImport(Darwin)
    private typealias DirectoryStream = UnsafeMutablePointer<DIR>
  #else
    private typealias DirectoryStream = OpaquePointer
  #endif

  private static func openDirectory(_ path: String) throws(FileSystemError) -> DirectoryStream {
    while true {
      if let directory = unsafe opendir(path) { return unsafe directory }
      if errno != EINTR { throw lastError(.list, path) }
    }
  }

  static func status(of path: String) throws(FileSystemError) -> FileStatus? {
    try checkPath(path, .status)
    var raw = stat()
    if unsafe lstat(path, &raw) == 0 { return fileStatus(raw) }
    if errno == ENOENT { return nil }
    throw lastError(.status, path)
  }

  static func status(of descriptor: Int32, _ path: String) throws(FileSystemError) -> FileStatus {
    var raw = stat()
    guard unsafe fstat(descriptor, &raw) == 0 else { throw lastError(.status, path) }
    return fileStatus(raw)
  }

  private static func fileStatus(_ raw: stat) -> FileStatus {
    let kind: FileStatus.Kind =
      switch raw.st_mode & S_IFMT {
      case S_IFREG: .regular
      case S_IFDIR: .directory
      default: .other
      }
    return FileStatus(
      kind: kind,
      length: UInt64(max(raw.st_size, 0)),
      linkCount: UInt64(raw.st_nlink),
      identity: .init(
        device: UInt64(truncatingIfNeeded: raw.st_dev), inode: UInt64(truncatingIfNeeded: raw.st_ino)))
  }

  /// Is the file system of a path one that other machines share? False where that cannot be told.
  static func isRemote(_ path: String) throws(FileSystemError) -> Bool {
    try checkPath(path, .status)
    #if canImport(Darwin)
      var raw = statfs()
      if unsafe statfs(path, &raw) != 0 { throw lastError(.status, path) }
      return raw.f_flags & UInt32(MNT_LOCAL) == 0
    #else
      var raw = stat()
      if unsafe stat(path, &raw) != 0 { throw lastError(.status, path) }
      return MountTable(readTextFile("/proc/self/mountinfo")).isRemote(device: UInt64(raw.st_dev))
    #endif
  }

  /// Empty if it cannot be read: for what the system says of itself, which may be hidden.
  private static func readTextFile(_ path: String) -> String {
    var text: [UInt8] = []
    do throws(FileSystemError) {
      let descriptor = FileDescriptor(owning: try openForStreaming(path))
      var chunk = [UInt8](repeating: 0, count: 64 << 10)
      while true {
        var result: Result<Int, FileSystemError> = .success(0)
        unsafe chunk.withUnsafeMutableBytes { buffer in
          do throws(FileSystemError) {
            result = .success(try unsafe readSome(descriptor.raw, into: buffer, path))
          } catch {
            result = .failure(error)
          }
        }
        let count = try result.get()
        if count == 0 { return String(decoding: text, as: UTF8.self) }
        text += chunk[..<count]
      }
    } catch {
      return ""
    }
  }

  static func makeLink(_ path: String, as newPath: String) throws(FileSystemError) {
    try checkPath(path, .link)
    try checkPath(newPath, .link)
    if unsafe link(path, newPath) != 0 { throw lastError(.link, newPath) }
  }

  static func moveName(_ path: String, to newPath: String) throws(FileSystemError) {
    try checkPath(path, .rename)
    try checkPath(newPath, .rename)
    if Platform.rename(path, newPath) != 0 { throw lastError(.rename, path) }
  }

  static func removeName(_ path: String) throws(FileSystemError) {
    try checkPath(path, .unlink)
    if unsafe unlink(path) != 0 { throw lastError(.unlink, path) }
  }

  static func removeDirectory(_ path: String) throws(FileSystemError) {
    try checkPath(path, .removeDirectory)
    if unsafe rmdir(path) != 0 { throw lastError(.removeDirectory, path) }
  }

  static func resolvedPath(_ path: String) throws(FileSystemError) -> String {
    try checkPath(path, .status)
    guard let name = unsafe realpath(path, nil) else { throw lastError(.status, path) }
    defer { unsafe free(name) }
    return unsafe String(cString: name)
  }

  // MARK: Renames that rename(2) cannot do

  /// Where the system cannot refuse to replace in the same step, it is looked first.
  static func moveNameWithoutReplacing(_ path: String, to newPath: String) throws(FileSystemError) {
    try checkPath(path, .rename)
    try checkPath(newPath, .rename)
    if try rename(path, newPath, .withoutReplacing) { return }
    if try status(of: newPath) != nil { throw FileSystemError(.exists, .rename, path: newPath) }
    if Platform.rename(path, newPath) != 0 { throw lastError(.rename, path) }
  }

  static func exchangeNames(_ path: String, _ otherPath: String) throws(FileSystemError) {
    try checkPath(path, .exchange)
    try checkPath(otherPath, .exchange)
    if try !rename(path, otherPath, .exchanging) {
      throw FileSystemError(.notSupported, .exchange, path: otherPath)
    }
  }

  private enum RenameManner {
    case withoutReplacing
    case exchanging

    var flag: UInt32 {
      #if canImport(Darwin)
        self == .withoutReplacing ? 4 : 2  // RENAME_EXCL, RENAME_SWAP
      #else
        self == .withoutReplacing ? 1 : 2  // RENAME_NOREPLACE, RENAME_EXCHANGE
      #endif
    }
  }

  /// False if the system or the file system has no such rename.
  private static func rename(
    _ path: String, _ newPath: String, _ manner: RenameManner
  ) throws(FileSystemError) -> Bool {
    #if canImport(Darwin)
      let result = unsafe renamex_np(path, newPath, manner.flag)
    #else
      guard let renameat2 = unsafe renameat2 else { return false }
      let result = unsafe renameat2(AT_FDCWD, path, AT_FDCWD, newPath, manner.flag)
    #endif
    if result == 0 { return true }
    switch errno {
    case EINVAL, ENOSYS, EOPNOTSUPP: return false
    case EEXIST, ENOTEMPTY: throw lastError(.rename, newPath)
    default: throw lastError(manner == .exchanging ? .exchange : .rename, path)
    }
  }

  private static func rename(_ path: String, _ newPath: String) -> Int32 {
    #if canImport(Glibc)
      unsafe Glibc.rename(path, newPath)
    #elseif canImport(Musl)
      unsafe Musl.rename(path, newPath)
    #else
      unsafe Darwin.rename(path, newPath)
    #endif
  }

  #if !canImport(Darwin)
    private typealias RenameAt2 =
      @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32

    /// Not in Swift's view of the C library; nil in an old one.
    private static let renameat2: RenameAt2? = {
      guard let symbol = unsafe dlsym(nil, "renameat2") else { return nil }
      return unsafe unsafeBitCast(symbol, to: RenameAt2.self)
    }()
  #endif

  // MARK: Descriptors

  /// Opens without following a link and without waiting on a FIFO; the caller checks what it got.
  static func openFile(_ path: String, _ mode: FileOpenMode) throws(FileSystemError) -> Int32 {
    try checkPath(path, .open)
    let flags: Int32 =
      switch mode {
      case .readOnly: O_RDONLY
      case .readWrite: O_RDWR
      case .createIfMissing: O_RDWR | O_CREAT
      case .createNew: O_RDWR | O_CREAT | O_EXCL
      }
    while true {
      let descriptor = unsafe Platform.open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
      if descriptor >= 0 { return descriptor }
      if errno != EINTR { throw lastError(.open, path) }
    }
  }

  /// Opens any readable file of the user's for streaming, links followed.
  static func openForStreaming(_ path: String) throws(FileSystemError) -> Int32 {
    try checkPath(path, .open)
    while true {
      let descriptor = unsafe Platform.open(path, O_RDONLY | O_CLOEXEC, 0)
      if descriptor >= 0 { return descriptor }
      if errno != EINTR { throw lastError(.open, path) }
    }
  }

  private static func open(_ path: UnsafePointer<CChar>, _ flags: Int32, _ mode: mode_t) -> Int32 {
    #if canImport(Glibc)
      unsafe Glibc.open(path, flags, mode)
    #elseif canImport(Musl)
      unsafe Musl.open(path, flags, mode)
    #else
      unsafe Darwin.open(path, flags, mode)
    #endif
  }

  static func closeDescriptor(_ descriptor: Int32) -> Int32 {
    #if canImport(Glibc)
      Glibc.close(descriptor)
    #elseif canImport(Musl)
      Musl.close(descriptor)
    #else
      Darwin.close(descriptor)
    #endif
  }

  static func syncDirectory(_ path: String) throws(FileSystemError) {
    try checkPath(path, .syncDirectory)
    var raw = unsafe Platform.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    // Only the sync itself must not be tried again.
    while raw < 0, errno == EINTR { raw = unsafe Platform.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
    guard raw >= 0 else { throw lastError(.syncDirectory, path) }
    let descriptor = FileDescriptor(owning: raw)
    guard fsync(descriptor.raw) == 0 else { throw lastError(.syncDirectory, path) }
    try descriptor.close(path)
  }

  // MARK: Bytes

  static func readFully(
    _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: UInt64, _ path: String
  ) throws(FileSystemError) -> Int {
    guard let start = buffer.baseAddress else { return 0 }
    var done = 0
    while done < buffer.count {
      let count = unsafe pread(descriptor, start + done, buffer.count - done, off_t(position) + off_t(done))
      if count > 0 {
        done += count
      } else if count == 0 {
        break
      } else if errno != EINTR {
        throw lastError(.read, path, position: position + UInt64(done))
      }
    }
    return done
  }

  static func writeFully(
    _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at position: UInt64, _ path: String
  ) throws(FileSystemError) {
    guard let start = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let count = unsafe pwrite(descriptor, start + done, bytes.count - done, off_t(position) + off_t(done))
      if count > 0 {
        done += count
      } else if count == 0 {
        throw error(ENOSPC, .write, path, position: position + UInt64(done))
      } else if errno != EINTR {
        throw lastError(.write, path, position: position + UInt64(done))
      }
    }
  }

  static func preallocate(_ descriptor: Int32, _ length: UInt64, _ path: String) throws(FileSystemError) {
    #if canImport(Darwin)
      var store = fstore_t(
        fst_flags: UInt32(F_ALLOCATEALL), fst_posmode: F_PEOFPOSMODE, fst_offset: 0,
        fst_length: off_t(length),
        fst_bytesalloc: 0)
      guard unsafe fcntl(descriptor, F_PREALLOCATE, &store) == 0, ftruncate(descriptor, off_t(length)) == 0
      else {
        throw lastError(.preallocate, path)
      }
    #else
      while true {
        let number = posix_fallocate(descriptor, 0, off_t(length))
        if number == 0 { return }
        if number != EINTR { throw error(number, .preallocate, path) }
      }
    #endif
  }

  static func setLength(_ descriptor: Int32, _ length: UInt64, _ path: String) throws(FileSystemError) {
    while ftruncate(descriptor, off_t(length)) != 0 {
      if errno != EINTR { throw lastError(.truncate, path, position: length) }
    }
  }

  /// Not retried, not even after EINTR: whether the first try lost pages is not known.
  static func sync(_ descriptor: Int32, _ path: String) throws(FileSystemError) {
    #if canImport(Darwin)
      guard fcntl(descriptor, F_FULLFSYNC) == 0 else { throw lastError(.sync, path) }
    #else
      guard fdatasync(descriptor) == 0 else { throw lastError(.sync, path) }
    #endif
  }

  /// Of the flags only the one that starts writing: the ones that wait would take an error that the next fdatasync has to tell.
  static func startWriteback(_ descriptor: Int32, from start: UInt64, to end: UInt64) {
    #if !canImport(Darwin)
      let startsWriting: UInt32 = 2
      _ = syncFileRange?(descriptor, Int64(start), Int64(end - start), startsWriting)
    #endif
  }

  #if !canImport(Darwin)
    private typealias SyncFileRange = @convention(c) (Int32, Int64, Int64, UInt32) -> Int32

    /// Not in Swift's view of the C library.
    private static let syncFileRange: SyncFileRange? = {
      guard let symbol = unsafe dlsym(nil, "sync_file_range") else { return nil }
      return unsafe unsafeBitCast(symbol, to: SyncFileRange.self)
    }()
  #endif

  static func nextData(
    _ descriptor: Int32, from position: UInt64, _ path: String
  ) throws(FileSystemError) -> UInt64? {
    #if canImport(Darwin)
      let seekData: Int32 = 4
    #else
      let seekData: Int32 = 3
      // Reserved space counts as data as long as the cache holds zeros of it that were read, or read ahead; each look at
      // it would make more of them. So what is clean goes from the cache; if it does not, more is reported, never less.
      _ = posix_fadvise(descriptor, off_t(position), 0, POSIX_FADV_DONTNEED)
    #endif
    let found = lseek(descriptor, off_t(position), seekData)
    if found >= 0 { return UInt64(found) }
    if errno == ENXIO { return nil }
    if errno == EINVAL || errno == EOPNOTSUPP { return position }
    throw lastError(.read, path, position: position)
  }

  static func tryLock(_ descriptor: Int32, _ path: String) throws(FileSystemError) -> Bool {
    while true {
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
      if errno == EWOULDBLOCK { return false }
      if errno != EINTR { throw lastError(.lock, path) }
    }
  }

  static func unlock(_ descriptor: Int32) {
    while flock(descriptor, LOCK_UN) != 0, errno == EINTR {}
  }

  // MARK: Memory

  static func mapFile(_ descriptor: Int32, _ length: Int, _ path: String) throws(FileSystemError)
    -> MemoryRegion
  {
    let base = unsafe mmap(nil, length, PROT_READ, MAP_SHARED, descriptor, 0)
    guard let base = unsafe base, unsafe base != MAP_FAILED else { throw lastError(.map, path) }
    return unsafe MemoryRegion(ofFile: base, count: length)
  }

  /// False if these bytes of a mapped file cannot be read: a bad sector, or the file is shorter by now.
  static func bring(_ start: UnsafeMutableRawPointer, _ count: Int) -> Bool {
    #if canImport(Darwin)
      return true
    #else
      // In Linux since 5.14, and not in every libc's headers; before, the kernel does not know it.
      let populateRead: Int32 = 22
      let begun = Int(bitPattern: start) % pageByteCount
      return unsafe madvise(start - begun, count + begun, populateRead) == 0
        || (errno != EFAULT && errno != EHWPOISON)
    #endif
  }

  #if !canImport(Darwin)
    private static let pageByteCount = sysconf(Int32(_SC_PAGESIZE))
  #endif

  /// Memory that cannot be had ends the process, as it does for every other Swift allocation.
  package static func mapZeroed(_ length: Int) -> UnsafeMutableRawPointer {
    #if canImport(Darwin)
      let flags = MAP_PRIVATE | MAP_ANON
    #else
      let flags = MAP_PRIVATE | MAP_ANONYMOUS
    #endif
    let base = unsafe mmap(nil, length, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let base = unsafe base, unsafe base != MAP_FAILED else {
      preconditionFailure("the system gave no \(length) bytes of memory (errno \(errno))")
    }
    return unsafe base
  }

  /// Small zeroed memory, from the heap.
  static func allocateZeroed(_ length: Int) -> UnsafeMutableRawPointer {
    guard let base = unsafe calloc(max(length, 1), 1) else {
      preconditionFailure("the system gave no \(length) bytes of memory")
    }
    return unsafe base
  }

  static func deallocate(_ base: UnsafeMutableRawPointer) { unsafe free(base) }

  /// Sets bytes to zero, at memset's speed in every build.
  package static func clear(_ base: UnsafeMutableRawPointer, _ length: Int) { unsafe memset(base, 0, length) }

  package static func unmap(_ base: UnsafeMutableRawPointer, _ length: Int) {
    let result = unsafe munmap(base, length)
    precondition(result == 0, "munmap of an owned region cannot fail")
  }

  // MARK: Clock, process

  static func clock(_ id: ClockID) -> (seconds: Int64, nanoseconds: UInt32) {
    var time = timespec()
    let result = unsafe clock_gettime(id == .wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, &time)
    precondition(result == 0, "the system's clocks cannot fail")
    return (Int64(time.tv_sec), UInt32(time.tv_nsec))
  }

  enum ClockID { case wall, monotonic }

  package static var processID: Int32 { getpid() }

  /// How often this process was forked off another since ``watchForks()`` was first called. Costs one load.
  package static var forkCount: UInt32 { forks.load(ordering: .relaxed) }

  /// Lets ``forkCount`` count. What a fork copies, locks among it, is not the child's to use.
  package static func watchForks() { _ = forkHandler }

  private static let forkHandler: Int32 = {
    let result = pthread_atfork(nil, nil) { forks.add(1, ordering: .relaxed) }
    precondition(result == 0, "a process has memory for one more fork handler")
    return result
  }()

  static var processorCount: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

  /// An environment variable's value.
  package static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  /// Runs `body` on a thread of its own, which ends with it. `false` if the system gives no more threads.
  static func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Start {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let start = unsafe Unmanaged.passRetained(Start(body))
    #if canImport(Darwin)
      var thread: pthread_t?
      let result = unsafe pthread_create(
        &thread, nil,
        { context in
          unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body()
          return nil
        }, start.toOpaque())
      if let thread, result == 0 { unsafe pthread_detach(thread) }
    #else
      var thread = pthread_t()
      let result = unsafe pthread_create(
        &thread, nil,
        { context in
          if let context = unsafe context {
            unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue().body()
          }
          return nil
        }, start.toOpaque())
      if result == 0 { pthread_detach(thread) }
    #endif
    if result != 0 { unsafe start.release() }
    return result == 0
  }

  // MARK: Streams and signals, for the command line

  static func readSome(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, _ path: String)
    throws(FileSystemError) -> Int
  {
    while true {
      let count = unsafe read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      if errno != EINTR { throw lastError(.read, path) }
    }
  }

  /// Waits up to a time until a read would not: something has come, or the end, or an error that the read will tell. A
  /// signal ends the wait early.
  static func isReady(_ descriptor: Int32, withinMilliseconds milliseconds: Int32) -> Bool {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    let count = unsafe poll(&waiting, 1, milliseconds)
    return count > 0 || count < 0 && errno != EINTR
  }

  static func writeStream(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ path: String)
    throws(FileSystemError)
  {
    guard let start = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let count = unsafe write(descriptor, start + done, bytes.count - done)
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&waiting, 1, -1)
      } else if errno != EINTR {
        throw lastError(.write, path)
      }
    }
  }

  package static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// From here on a write to a closed pipe, or beyond the limit of a file's size, is an error for this process, not a signal.
  /// For programs, never called by the library: an embedder's signals are its own.
  package static func ignoreWriteSignals() {
    _ = signal(SIGPIPE, SIG_IGN)
    _ = signal(SIGXFSZ, SIG_IGN)
  }

  /// Calls nothing, but remembers that Ctrl-C or a termination was asked for; a second one ends the process.
  ///
  /// Both signals are let through: a parent that spawns from a worker thread, as Foundation's `Process` does under
  /// Dispatch, hands its blocked signals down.
  package static func catchInterrupts() {
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe sigaddset(&signals, SIGINT)
    unsafe sigaddset(&signals, SIGTERM)
    unsafe sigprocmask(SIG_UNBLOCK, &signals, nil)
    _ = signal(SIGINT) { number in
      interruptFlag.store(number, ordering: .relaxed)
      _ = signal(number, SIG_DFL)
    }
    _ = signal(SIGTERM) { number in
      interruptFlag.store(number, ordering: .relaxed)
      _ = signal(number, SIG_DFL)
    }
  }

  /// The signal that asked this process to stop, if one has.
  package static var interrupt: Int32? {
    let number = interruptFlag.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }

  package static func exitProcess(_ code: Int32) -> Never { exit(code) }
}

/// A mutex for what many threads want at once, and hold for longer than a moment.
///
/// `Synchronization.Mutex` is handed to whoever has waited longest, and sleeps: once there is a queue, it stays, and each change of
/// hands waits for a thread to be run. This one is taken by whoever runs. 64 threads that append with it get three to four times as
/// much done.
///
/// `@unchecked Sendable`: there is nothing in it but the mutex.
@safe package final class UnfairLock: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  package init() {
    unsafe mutex.initialize(to: pthread_mutex_t())
    precondition(unsafe pthread_mutex_init(mutex, nil) == 0, "the system gave no mutex")
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  package func withLock<R: ~Copyable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body()
  }
}

/// A value that threads wait for: a mutex with a condition, which the standard library does not have.
///
/// `@unchecked Sendable`: the value is touched only between lock and unlock.
@safe package final class Monitor<Value: ~Copyable>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var value: Value

  package init(_ value: consuming sending Value) {
    self.value = value
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition.initialize(to: pthread_cond_t())
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    #if !canImport(Darwin)
      unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    #endif
    let results = unsafe (pthread_mutex_init(mutex, nil), pthread_cond_init(condition, &attributes))
    unsafe pthread_condattr_destroy(&attributes)
    precondition(results == (0, 0), "the system gave no mutex")
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Changes the value and lets everybody who waits look at it again.
  package func update<R: ~Copyable>(_ body: (inout Value) -> R) -> R {
    unsafe pthread_mutex_lock(mutex)
    let result = body(&value)
    unsafe pthread_mutex_unlock(mutex)
    // Not before: who wakes up would have to wait for the mutex.
    unsafe pthread_cond_broadcast(condition)
    return result
  }

  /// Waits until `body` answers something, and takes that.
  package func wait<R: ~Copyable>(_ body: (inout Value) -> R?) -> R {
    unsafe pthread_mutex_lock(mutex)
    while true {
      if let result = body(&value) {
        unsafe pthread_mutex_unlock(mutex)
        return result
      }
      unsafe pthread_cond_wait(condition, mutex)
    }
  }

  /// As ``wait(_:)``, but nil once the monotonic clock has passed `deadline`, in nanoseconds.
  package func wait<R: ~Copyable>(until deadline: UInt64, _ body: (inout Value) -> R?) -> R? {
    unsafe pthread_mutex_lock(mutex)
    while true {
      if let result = body(&value) {
        unsafe pthread_mutex_unlock(mutex)
        return result
      }
      let now = Platform.clock(.monotonic)
      let passed = UInt64(now.seconds) * 1_000_000_000 + UInt64(now.nanoseconds)
      guard passed < deadline else {
        unsafe pthread_mutex_unlock(mutex)
        return nil
      }
      #if canImport(Darwin)
        var rest = timespec(
          tv_sec: Int((deadline - passed) / 1_000_000_000), tv_nsec: Int((deadline - passed) % 1_000_000_000))
        unsafe pthread_cond_timedwait_relative_np(condition, mutex, &rest)
      #else
        var end = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        unsafe pthread_cond_timedwait(condition, mutex, &end)
      #endif
    }
  }
}
