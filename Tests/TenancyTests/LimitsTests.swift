import Testing

@testable import Tenancy

@Suite struct LimitsTests {
    @Test func everyLimitHasAPlaceOfItsOwn() {
        #expect(LimitName.allCases.map(\.index) == Array(0..<LimitName.allCases.count))
    }

    @Test func nothingThatIsSetIsRight() throws {
        try Limits().validate()
    }

    @Test(arguments: [
        (LimitName.weight, UInt64(0)), (.weight, 10_001), (.burstOperations, 0), (.burstBytesIn, 0),
        (.burstBytesOut, 0), (.maxBytes, LimitName.largestValue + 1),
    ])
    func aLimitOutOfItsRangeIsNamed(_ name: LimitName, _ value: UInt64) {
        var limits = Limits()
        limits[name] = value
        let error = #expect(throws: MartletError.self) { try limits.validate() }
        #expect(error?.field == "limits.\(name.rawValue)" && error?.row.code == "InvalidArgument")
    }

    @Test(arguments: LimitName.allCases) func theEndsOfARangeAreInIt(_ name: LimitName) throws {
        for value in [name.range.lowerBound, name.range.upperBound] {
            var limits = Limits()
            limits[name] = value
            try limits.validate()
        }
    }

    @Test func itsOwnLimitsStandOverThePlans() {
        var own = Limits()
        var plan = Limits()
        own[.maxItems] = 1
        plan[.maxItems] = 2
        plan[.maxBytes] = 3
        let both = own.over(plan)
        #expect(both[.maxItems] == 1 && both[.maxBytes] == 3 && both.set.count == 2)
        #expect(Limits().over(plan) == plan && own.over(Limits()) == own)
    }
}
