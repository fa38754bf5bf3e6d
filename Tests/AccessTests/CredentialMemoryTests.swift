import Access
import Testing

@Suite struct CredentialMemoryTests {
    private func look(_ memory: inout CredentialMemory<Int>, _ key: [UInt8]) -> Int? {
        key.withUnsafeBytes { memory.value(for: $0) }
    }

    private func put(_ memory: inout CredentialMemory<Int>, _ key: [UInt8], _ value: Int) {
        key.withUnsafeBytes { memory.insert(value, for: $0) }
    }

    @Test func remembersReplacesAndForgets() {
        var memory = CredentialMemory<Int>(capacity: 8)
        #expect(look(&memory, [1]) == nil)
        put(&memory, [1], 10)
        put(&memory, [1, 0], 11)
        put(&memory, [], 12)
        #expect(look(&memory, [1]) == 10)
        #expect(look(&memory, [1, 0]) == 11)
        #expect(look(&memory, []) == 12)
        put(&memory, [1], 20)
        #expect(look(&memory, [1]) == 20)
        #expect(memory.count == 3 && memory.byteCount == 3)
        [UInt8(1)].withUnsafeBytes { memory.remove($0) }
        [UInt8(9)].withUnsafeBytes { memory.remove($0) }
        #expect(look(&memory, [1]) == nil)
        #expect(memory.count == 2 && memory.byteCount == 2)
        memory.removeAll()
        #expect(look(&memory, []) == nil)
        #expect(memory.count == 0 && memory.byteCount == 0)
    }

    @Test func neverHoldsMoreThanItsCapacity() {
        var memory = CredentialMemory<Int>(capacity: 16)
        for number in 0..<1000 {
            put(&memory, Array("credential-\(number)".utf8), number)
            #expect(memory.count == min(number + 1, 16))
            #expect(look(&memory, Array("credential-\(number)".utf8)) == number)
        }
    }

    @Test func neverHoldsMoreBytesThanItMay() {
        var memory = CredentialMemory<Int>(capacity: 1000, byteCapacity: 20_000)
        for number in 0..<200 {
            put(&memory, Array(repeating: UInt8(number), count: 1000 + number), number)
            #expect(memory.byteCount <= 20_000)
        }
        #expect(memory.count == 16)
        put(&memory, Array(repeating: 1, count: CredentialMemory<Int>.entryByteCeiling + 1), 1)
        #expect(look(&memory, Array(repeating: 1, count: CredentialMemory<Int>.entryByteCeiling + 1)) == nil)
        put(&memory, Array(repeating: 1, count: CredentialMemory<Int>.entryByteCeiling), 1)
        #expect(look(&memory, Array(repeating: 1, count: CredentialMemory<Int>.entryByteCeiling)) == 1)
        #expect(memory.byteCount <= 20_000)
    }

    @Test func smallestCapacityWorks() {
        var memory = CredentialMemory<Int>(capacity: -5, byteCapacity: -5)
        #expect(memory.capacity == 1)
        for number in 0..<10 {
            put(&memory, [UInt8(number)], number)
            #expect(look(&memory, [UInt8(number)]) == number)
            #expect(memory.count == 1)
        }
    }

    /// A credential in use outlives a flood of ones that are seen once.
    @Test func whatIsUsedIsSpared() {
        var memory = CredentialMemory<Int>(capacity: 32)
        put(&memory, [1, 2, 3], 1)
        for number in 0..<10_000 {
            #expect(look(&memory, [1, 2, 3]) == 1)
            put(&memory, Array("flood-\(number)".utf8), number)
        }
    }

    /// Against a plain dictionary: what is remembered is right, and only an eviction loses anything.
    @Test(arguments: 0..<10)
    func agreesWithADictionary(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var memory = CredentialMemory<Int>(capacity: 64)
        var model: [[UInt8]: Int] = [:]
        for step in 0..<5000 {
            let key = (0..<2).map { _ in UInt8.random(in: 0..<9, using: &generator) }
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<4:
                put(&memory, key, step)
                model[key] = step
            case 4..<6:
                key.withUnsafeBytes { memory.remove($0) }
                model[key] = nil
            default:
                if let value = look(&memory, key) { #expect(value == model[key]) }
            }
            if step % 1000 == 999 {
                memory.removeAll()
                model = [:]
            }
            // 64 of 81 keys fit: forget in the model what was evicted.
            model = model.filter { look(&memory, $0.key) != nil }
            #expect(memory.count == model.count)
            #expect(memory.byteCount == 2 * model.count)
        }
    }
}
