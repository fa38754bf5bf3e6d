import Tenancy

/// The `IMF-fixdate` form of a time, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
enum HTTPDate {
    static let byteCount = 29

    private static let days: StaticString = "SunMonTueWedThuFriSat"
    private static let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"

    /// Writes 29 bytes to `memory`.
    static func render(seconds: Int64, into memory: UnsafeMutableRawPointer) {
        let time = CivilTime(seconds: seconds)
        var position = 0
        func put(_ byte: UInt8) {
            memory.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
            position += 1
        }
        func put(_ text: StaticString, _ index: Int) {
            for offset in 0..<3 { put(text.utf8Start[index * 3 + offset]) }
        }
        func putTwo(_ number: Int) {
            put(UInt8(truncatingIfNeeded: 0x30 + number / 10 % 10))
            put(UInt8(truncatingIfNeeded: 0x30 + number % 10))
        }
        put(days, time.weekday)
        put(0x2C)
        put(0x20)
        putTwo(time.day)
        put(0x20)
        put(months, time.month - 1)
        put(0x20)
        putTwo(time.year / 100)
        putTwo(time.year % 100)
        put(0x20)
        putTwo(time.hour)
        put(0x3A)
        putTwo(time.minute)
        put(0x3A)
        putTwo(time.second)
        for byte in [0x20, 0x47, 0x4D, 0x54] as [UInt8] { put(byte) }
    }
}
