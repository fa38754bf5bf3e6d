import Access
import Tenancy
import Testing

@Suite struct FailureMemoryTests {
    private let start = Vectors.now

    private func configuration(
        credentials: Int = 4, addresses: Int = 4, rate: CheckAllowance.Rate = .init(burst: 3, perSecond: 2),
        shared: CheckAllowance.Rate = .init(burst: 2, perSecond: 1)
    ) -> FailureMemory.Configuration {
        var configuration = FailureMemory.Configuration()
        configuration.credentialCapacity = credentials
        configuration.credentialMilliseconds = 1000
        configuration.addressCapacity = addresses
        configuration.rate = rate
        configuration.sharedRate = shared
        return configuration
    }

    @Test func remembersAFailureForAShortTimeOnly() {
        let memory = FailureMemory(configuration(), now: start)
        let hash = SecretHash(of: "false")
        #expect(memory.failure(hash, now: start) == nil)
        memory.insert(hash, failure: .invalidCredential, now: start)
        #expect(memory.failure(hash, now: start.adding(milliseconds: 999)) == .invalidCredential)
        #expect(memory.failure(hash, now: start.adding(milliseconds: 1000)) == nil)
        memory.insert(hash, failure: .expiredCredential, now: start.adding(milliseconds: 2000))
        #expect(memory.failure(hash, now: start.adding(milliseconds: 2000)) == .expiredCredential)
        memory.removeAllFailures()
        #expect(memory.failure(hash, now: start.adding(milliseconds: 2000)) == nil)
    }

    @Test func forgetsTheOldestFailureFirstAndStaysBounded() {
        let memory = FailureMemory(configuration(), now: start)
        for number in 0..<100 {
            memory.insert(SecretHash(of: "\(number)"), failure: .invalidCredential, now: start)
            #expect(memory.counts.credentials <= 4)
        }
        for number in 0..<100 {
            let isRemembered = memory.failure(SecretHash(of: "\(number)"), now: start) != nil
            #expect(isRemembered == (number >= 96))
        }
        // One that fails again and again does not push out the others.
        for _ in 0..<3 { memory.insert(SecretHash(of: "99"), failure: .invalidCredential, now: start) }
        #expect(memory.failure(SecretHash(of: "99"), now: start) != nil)
        #expect(memory.counts.credentials <= 4)
    }

    @Test func addressPaysAndIsToldWhenToComeBack() {
        let memory = FailureMemory(configuration(), now: start)
        let address: [UInt8] = [192, 0, 2, 1]
        for _ in 0..<3 { #expect(memory.charge(address, now: start) == nil) }
        #expect(memory.charge(address, now: start) == 500)
        #expect(memory.charge(address, now: start.adding(milliseconds: 200)) == 300)
        #expect(memory.charge(address, now: start.adding(milliseconds: 499)) == 1)
        #expect(memory.charge(address, now: start.adding(milliseconds: 500)) == nil)
        #expect(memory.charge(address, now: start.adding(milliseconds: 500)) == 500)
        // Another address is another allowance.
        #expect(memory.charge([192, 0, 2, 2], now: start) == nil)
    }

    @Test func goodCredentialsCostAnAddressNothing() {
        let memory = FailureMemory(configuration(), now: start)
        let address: [UInt8] = [192, 0, 2, 1]
        for _ in 0..<1000 {
            #expect(memory.charge(address, now: start) == nil)
            memory.refund(address)
        }
        // Refunds never make more than there was.
        for _ in 0..<10 { memory.refund(address) }
        for _ in 0..<3 { #expect(memory.charge(address, now: start) == nil) }
        #expect(memory.charge(address, now: start) != nil)
    }

    @Test func timeThatRunsBackwardsOrVeryFarRefillsNoMoreThanAll() {
        var allowance = CheckAllowance(.init(burst: 2, perSecond: 1), now: start)
        #expect(allowance.charge(now: start) == nil)
        #expect(allowance.charge(now: start.adding(milliseconds: -5000)) == nil)
        #expect(allowance.charge(now: start.adding(milliseconds: -5000)) == 1000)
        for _ in 0..<2 { #expect(allowance.charge(now: Timestamp(milliseconds: .max)) == nil) }
        #expect(allowance.charge(now: Timestamp(milliseconds: .max)) == 1000)
        var other = CheckAllowance(.init(burst: 1, perSecond: 1), now: Timestamp(milliseconds: .min))
        #expect(other.charge(now: Timestamp(milliseconds: .max)) == nil)
    }

    @Test func aWholeVersion6NetworkIsOneAddress() {
        let memory = FailureMemory(configuration(), now: start)
        func address(_ network: UInt8, _ host: UInt8) -> [UInt8] {
            [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, host]
        }
        for host in 0..<3 { #expect(memory.charge(address(1, UInt8(host)), now: start) == nil) }
        #expect(memory.charge(address(1, 200), now: start) != nil)
        #expect(memory.charge(address(2, 200), now: start) == nil)
    }

    @Test func mappedVersion4AddressIsTheVersion4Address() {
        let memory = FailureMemory(configuration(), now: start)
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]
        for _ in 0..<3 { #expect(memory.charge(mapped, now: start) == nil) }
        #expect(memory.charge([192, 0, 2, 1], now: start) != nil)
        #expect(memory.counts.addresses == 1)
        // All other mapped addresses are not one network.
        #expect(memory.charge(Array(mapped.dropLast()) + [2], now: start) == nil)
    }

    @Test func veryManyAddressesShareOneAllowanceAndMakeNobodyForgotten() {
        let memory = FailureMemory(configuration(addresses: 4), now: start)
        let debtor: [UInt8] = [10, 0, 0, 0]
        for _ in 0..<3 { _ = memory.charge(debtor, now: start) }
        var granted = 0
        for number in 1..<1000 {
            let address: [UInt8] = [10, 0, UInt8(number >> 8), UInt8(number & 255)]
            if memory.charge(address, now: start) == nil { granted += 1 }
            #expect(memory.counts.addresses <= 4)
        }
        // Three had a place of their own, the others had two checks together.
        #expect(granted == 3 + 2)
        #expect(memory.charge(debtor, now: start) != nil)
    }

    @Test func addressThatOwesNothingGivesItsPlace() {
        let memory = FailureMemory(configuration(addresses: 4), now: start)
        for number in 0..<4 { _ = memory.charge([10, 0, 0, UInt8(number)], now: start) }
        let later = start.adding(milliseconds: 10_000)
        for number in 0..<4 {
            for _ in 0..<3 { #expect(memory.charge([10, 0, 1, UInt8(number)], now: later) == nil) }
            #expect(memory.counts.addresses == 4)
        }
    }

    @Test func oddAddressesNeverTrap() {
        let memory = FailureMemory(configuration(), now: start)
        for count in 0..<40 {
            _ = memory.charge(Array(repeating: 0xFF, count: count), now: start)
            memory.refund(Array(repeating: 0, count: count))
        }
    }
}
