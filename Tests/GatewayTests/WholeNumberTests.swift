import Testing

@testable import Gateway

struct WholeNumberTests {
    @Test(arguments: [
        ("0", 0), ("-0", 0), ("60", 60), ("-60", -60), ("60.0", 60), ("60.000", 60), ("6e1", 60), ("6E+1", 60),
        ("0.6e2", 60), ("1.50e1", 15), ("600e-1", 60), ("-600e-1", -60), ("0.0", 0), ("0e5", 0), ("0.000e-3", 0),
        ("9223372036854775807", Int64.max), ("9223372036854775807.0", Int64.max), ("-9223372036854775808", Int64.min),
        ("922337203685477580.7e1", Int64.max),
    ])
    func wholeNumberIsReadHoweverItIsSpelt(_ literal: String, _ value: Int64) {
        #expect(WholeNumber.value(of: literal) == value)
    }

    @Test(arguments: [
        "1.5", "-0.5", "1e-1", "15e-2", "0.01e1", "9223372036854775808", "-9223372036854775809", "1e19", "1e999",
        "1e-999", "1e99999999999999999999", "9223372036854775807.5", "922337203685477580.8e1",
    ])
    func whatIsNotWholeOrDoesNotFitIsRefused(_ literal: String) {
        #expect(WholeNumber.value(of: literal) == nil)
    }
}
