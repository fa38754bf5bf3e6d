/// Byte strings one behind the other: the elements of a request or a reply, in two allocations however many they are.
///
/// ```
/// bytes │ red │ green │ blue │
/// ends        3       8      12
/// ```
package struct Elements: Equatable, Sendable {
    package private(set) var bytes: [UInt8] = []
    /// Where each element ends in ``bytes``.
    private var ends: [Int] = []

    package init() {}

    package init(_ elements: some Sequence<some Collection<UInt8>>) {
        for element in elements { append(element) }
    }

    package var count: Int { ends.count }
    package var isEmpty: Bool { ends.isEmpty }
    /// The sum of the lengths.
    package var byteCount: Int { bytes.count }

    package mutating func reserveCapacity(_ count: Int, byteCount: Int) {
        ends.reserveCapacity(count)
        bytes.reserveCapacity(byteCount)
    }

    package mutating func append(_ element: some Collection<UInt8>) {
        bytes.append(contentsOf: element)
        ends.append(bytes.count)
    }

    package func range(_ index: Int) -> Range<Int> {
        (index == 0 ? 0 : ends[index - 1])..<ends[index]
    }

    /// A copy of one element.
    package subscript(index: Int) -> [UInt8] { Array(bytes[range(index)]) }

    /// Lends each element in order.
    package func forEach<Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        try bytes.withUnsafeBufferPointer { buffer throws(Failure) in
            let memory = UnsafeRawBufferPointer(buffer)
            var start = 0
            for end in ends {
                try body(UnsafeRawBufferPointer(rebasing: memory[start..<end]))
                start = end
            }
        }
    }

    /// Lends all elements at once. Cost: one allocation.
    package func withPointers<Result, Failure: Error>(
        _ body: ([UnsafeRawBufferPointer]) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try bytes.withUnsafeBufferPointer { buffer throws(Failure) in
            let memory = UnsafeRawBufferPointer(buffer)
            return try body(ends.indices.map { UnsafeRawBufferPointer(rebasing: memory[range($0)]) })
        }
    }
}
