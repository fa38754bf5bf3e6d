import Tenancy
import Testing

@Suite struct CivilTimeTests {
    @Test(arguments: [
        (0, 1970, 1, 1, 0, 0, 0, 4),
        (784_111_777, 1994, 11, 6, 8, 49, 37, 0),
        (951_782_400, 2000, 2, 29, 0, 0, 0, 2),
        (4_107_542_399, 2100, 2, 28, 23, 59, 59, 0),
        (-1, 1969, 12, 31, 23, 59, 59, 3),
        (-62_135_596_800, 1, 1, 1, 0, 0, 0, 1),
    ])
    func knownInstantsAreShownAsTheCalendarHasThem(
        seconds: Int64, year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int, weekday: Int
    ) {
        let time = CivilTime(seconds: seconds)
        #expect([time.year, time.month, time.day] == [year, month, day])
        #expect([time.hour, time.minute, time.second, time.weekday] == [hour, minute, second, weekday])
    }

    @Test func theEndsOfTheRangeDoNotTrap() {
        for milliseconds in [Int64.min, .max] {
            let seconds = Timestamp(milliseconds: milliseconds).seconds
            #expect((1...12).contains(CivilTime(seconds: seconds).month))
        }
    }
}
