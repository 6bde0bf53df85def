internal import Glibc
internal import Harness

/// A logarithmic axis over values, from one power of ten to another.
private struct LogAxis {
  private let first: Int
  private let last: Int
  private let start: Double
  private let length: Double

  init(_ values: [Double], start: Double, length: Double) {
    let exponents = values.filter { $0 > 0 }.map { log10($0) }
    first = Int((exponents.min() ?? 0).rounded(.down))
    last = max(first + 1, Int((exponents.max() ?? 1).rounded(.up)))
    self.start = start
    self.length = length
  }

  func place(_ value: Double) -> String {
    let share = (log10(max(value, 1e-9)) - Double(first)) / Double(last - first)
    return Layout.decimals(start + length * max(0, share), 1)
  }

  var powers: [Double] { (first...last).map { pow(10, Double($0)) } }

  static func label(_ power: Double) -> String {
    switch power {
    case 1e9...: "\(Layout.grouped(power / 1e9)) G"
    case 1e6...: "\(Layout.grouped(power / 1e6)) M"
    case 1e3...: "\(Layout.grouped(power / 1e3)) k"
    case 1...: Layout.grouped(power)
    default: Layout.decimals(power, max(1, Int(-log10(power).rounded())))
    }
  }
}

private func svg(width: Int, height: Int, _ parts: [String]) -> String {
  "<svg width=\"\(width)\" height=\"\(height)\" viewBox=\"0 0 \(width) \(height)\">\(parts.joined())</svg>"
}

private func text(_ x: String, _ y: Int, _ text: String, anchor: String = "start", color: String = "#666")
  -> String
{
  "<text x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\" fill=\"\(color)\">\(HTMLReport.escaped(text))</text>"
}

/// A line with dots for each engine, over a logarithmic axis.
struct LogPlot {
  struct Line {
    var label: String
    var color: String
    var ends: (Double, Double)
    var dots: [Double]
  }

  var title: String
  var lines: [Line]

  var svg: String {
    let (left, width, step) = (150, 900, 20)
    let bottom = 24 + step * lines.count
    let axis = LogAxis(
      lines.flatMap { $0.dots + [$0.ends.0, $0.ends.1] }, start: Double(left),
      length: Double(width - left - 40))
    var parts = [text("0", 14, title)]
    for power in axis.powers {
      let x = axis.place(power)
      parts.append("<line x1=\"\(x)\" x2=\"\(x)\" y1=\"20\" y2=\"\(bottom)\" stroke=\"#ddd\"/>")
      parts.append(text(x, bottom + 14, LogAxis.label(power), anchor: "middle"))
    }
    for (number, line) in lines.enumerated() {
      let y = 32 + step * number
      parts.append(text("\(left - 10)", y + 4, line.label, anchor: "end", color: line.color))
      parts.append(
        "<line x1=\"\(axis.place(line.ends.0))\" x2=\"\(axis.place(line.ends.1))\" y1=\"\(y)\" y2=\"\(y)\" stroke=\"\(line.color)\" stroke-width=\"2\"/>"
      )
      for dot in line.dots {
        parts.append("<circle cx=\"\(axis.place(dot))\" cy=\"\(y)\" r=\"4\" fill=\"\(line.color)\"/>")
      }
    }
    return bench.svg(width: width, height: bottom + 20, parts)
  }
}

/// A curve for each engine, over two logarithmic axes.
struct GrowthPlot {
  struct Curve {
    var label: String
    var color: String
    var isDashed: Bool
    var points: [(Double, Double)]
  }

  var title: String
  var curves: [Curve]

  var svg: String {
    let (left, right, top, bottom) = (70, 640, 24, 260)
    let points = curves.flatMap(\.points)
    let xAxis = LogAxis(points.map(\.0), start: Double(left), length: Double(right - left))
    let yAxis = LogAxis(points.map(\.1), start: Double(bottom), length: Double(top - bottom))
    var parts = [text("0", 14, title)]
    for power in xAxis.powers {
      let x = xAxis.place(power)
      parts.append("<line x1=\"\(x)\" x2=\"\(x)\" y1=\"\(top)\" y2=\"\(bottom)\" stroke=\"#ddd\"/>")
      parts.append(text(x, bottom + 16, LogAxis.label(power), anchor: "middle"))
    }
    for power in yAxis.powers {
      let y = yAxis.place(power)
      parts.append("<line x1=\"\(left)\" x2=\"\(right)\" y1=\"\(y)\" y2=\"\(y)\" stroke=\"#ddd\"/>")
      parts.append(
        "<text x=\"\(left - 8)\" y=\"\(y)\" text-anchor=\"end\" fill=\"#666\">\(LogAxis.label(power))</text>")
    }
    for (number, curve) in curves.enumerated() {
      let places = curve.points.map { "\(xAxis.place($0.0)),\(yAxis.place($0.1))" }
      let dash = curve.isDashed ? " stroke-dasharray=\"5 3\"" : ""
      parts.append(
        "<polyline fill=\"none\" stroke=\"\(curve.color)\" stroke-width=\"2\"\(dash) points=\"\(places.joined(separator: " "))\"/>"
      )
      parts.append(text("\(right + 20)", top + 12 + 18 * number, curve.label, color: curve.color))
    }
    return bench.svg(width: 820, height: bottom + 24, parts)
  }
}
