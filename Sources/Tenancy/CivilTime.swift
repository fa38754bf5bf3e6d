/// A time as a calendar and a clock show it, in UTC.
///
/// The conversion is the days-to-civil algorithm over 400-year eras of the proleptic Gregorian calendar (Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms"): arithmetic alone, no time zone files, no locks.
package struct CivilTime: Equatable, Sendable {
    package let year: Int
    /// 1 to 12.
    package let month: Int
    /// 1 to 31.
    package let day: Int
    package let hour: Int
    package let minute: Int
    package let second: Int
    /// 0 is Sunday.
    package let weekday: Int

    /// - Parameter seconds: Since 1970-01-01 00:00 UTC.
    package init(seconds: Int64) {
        let days = Int(Self.floor(seconds, 86_400))
        let ofDay = Int(seconds - Int64(days) * 86_400)
        // Days since 0000-03-01, so that a leap day is the last of its year.
        let shifted = days + 719_468
        let era = Int(Self.floor(Int64(shifted), 146_097))
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        hour = ofDay / 3600
        minute = ofDay / 60 % 60
        second = ofDay % 60
        weekday = Int(Int64(days) + 4 - Self.floor(Int64(days) + 4, 7) * 7)
    }

    private static func floor(_ dividend: Int64, _ divisor: Int64) -> Int64 {
        let (quotient, remainder) = dividend.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
