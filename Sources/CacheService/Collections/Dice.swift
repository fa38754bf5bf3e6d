/// Quick random numbers for choosing members: nothing that must not be guessed comes from here.
///
/// Source: xoroshiro128++, Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2021).
package struct Dice: RandomNumberGenerator {
    private var state: (UInt64, UInt64)

    /// Seeded by the system.
    package init() {
        var system = SystemRandomNumberGenerator()
        self.init(seed: (system.next(), system.next()))
    }

    /// - Parameter seed: The same gives the same numbers.
    package init(seed: (UInt64, UInt64)) {
        // All zeros would give zeros for ever.
        state = (seed.0, seed.1 | 1)
    }

    package mutating func next() -> UInt64 {
        let first = state.0
        var second = state.1
        let sum = first &+ second
        let result = (sum &<< 17 | sum &>> 47) &+ first
        second ^= first
        state.0 = (first &<< 49 | first &>> 15) ^ second ^ (second &<< 21)
        state.1 = second &<< 28 | second &>> 36
        return result
    }
}
