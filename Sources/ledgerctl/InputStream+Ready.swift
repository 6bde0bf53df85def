internal import PlatformIO

extension InputStream {
  /// Stands in until PlatformIO can wait for input with a time limit.
  func isReady(withinMilliseconds _: Int32) -> Bool { true }
}
