#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A place on Earth, in degrees.
struct GeoPoint: Equatable {
    var longitude: Double
    var latitude: Double

    static let longitudes = -180.0...180.0
    /// What the Web Mercator projection (EPSG:3857) shows as a square.
    static let latitudes = -85.05112878...85.05112878

    /// In metres: the radius that the servers that clients know reckon with.
    static let earthRadius = 6_372_797.560856

    var isValid: Bool {
        Self.longitudes.contains(longitude) && Self.latitudes.contains(latitude)
    }

    static func radians(_ degrees: Double) -> Double { degrees * (.pi / 180) }
    static func degrees(_ radians: Double) -> Double { radians / (.pi / 180) }

    /// The way along the great circle, in metres, by the haversine formula: R. W. Sinnott, "Virtues of the Haversine",
    /// Sky and Telescope 68 (1984).
    func distance(to other: GeoPoint) -> Double {
        let (latitude1, latitude2) = (Self.radians(latitude), Self.radians(other.latitude))
        let u = sin((latitude2 - latitude1) / 2)
        let v = sin((Self.radians(other.longitude) - Self.radians(longitude)) / 2)
        return 2 * Self.earthRadius * asin(min(1, (u * u + cos(latitude1) * cos(latitude2) * v * v).squareRoot()))
    }
}

/// A unit of length.
struct GeoUnit {
    let metres: Double

    /// Nil: none that is known.
    init?(_ call: CommandCall, _ index: Int) {
        let arguments = call.arguments
        if arguments.isWord(index, "M") {
            metres = 1
        } else if arguments.isWord(index, "KM") {
            metres = 1000
        } else if arguments.isWord(index, "FT") {
            metres = 0.3048
        } else if arguments.isWord(index, "MI") {
            metres = 1609.34
        } else {
            return nil
        }
    }

    private init(metres: Double) {
        self.metres = metres
    }

    static let metre = GeoUnit(metres: 1)
}

/// Numbers as commands on places write them.
enum GeoText {
    /// A length: with four decimals.
    static func distance(_ value: Double) -> String { text("%.4f", value) }

    /// A coordinate: with up to seventeen decimals, without zeros at their end.
    static func coordinate(_ value: Double) -> String {
        var text = text("%.17f", value)
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    /// In an error: with six decimals.
    static func plain(_ value: Double) -> String { text("%f", value) }

    private static func text(_ format: StaticString, _ value: Double) -> String {
        // The largest double has 309 digits before its point.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 352) { text in
            guard let start = text.baseAddress else { return "" }
            let count = format.withUTF8Buffer { format in
                withVaList([value]) { list in
                    format.withMemoryRebound(to: CChar.self) { format in
                        format.baseAddress.map { vsnprintf(start, 352, $0, list) } ?? 0
                    }
                }
            }
            return String(decoding: UnsafeRawBufferPointer(start: start, count: Int(count)), as: UTF8.self)
        }
    }
}
