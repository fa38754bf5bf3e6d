/// Looks for the keys of commands that have come and are not executed yet, so that memory can be asked for what they will
/// touch while others are executed. What it finds is a guess and decides nothing: the decoder reads every command itself.
enum RESPLookahead {
    /// Finds the second arguments of whole commands, as far as they come one after the other as arrays of strings.
    ///
    /// - Parameters:
    ///   - bytes: Begin with a command.
    ///   - keys: Where they are put, at most as many as there is room for.
    /// - Returns: How many were found.
    /// Cost: some 20 ns for each command of two arguments.
    static func keys(
        in bytes: UnsafeRawBufferPointer, into keys: UnsafeMutableBufferPointer<UnsafeRawBufferPointer>
    ) -> Int {
        var place = 0
        var found = 0
        while found < keys.count {
            guard let count = number(0x2A, bytes, &place), count >= 2, count <= 32 else { break }
            var key: Range<Int>?
            for index in 0..<count {
                guard let length = number(0x24, bytes, &place), length <= bytes.count - place - 2 else { return found }
                if index == 1 { key = place..<place + length }
                place += length + 2
            }
            guard let key else { break }
            keys.initializeElement(at: found, to: UnsafeRawBufferPointer(rebasing: bytes[key]))
            found += 1
        }
        return found
    }

    /// A number of at most seven digits behind a letter, and its line end.
    @inline(__always)
    private static func number(_ letter: UInt8, _ bytes: UnsafeRawBufferPointer, _ place: inout Int) -> Int? {
        guard place < bytes.count, bytes[place] == letter else { return nil }
        var value = 0
        var end = place + 1
        while end < bytes.count, end - place <= 8 {
            let digit = bytes[end] &- 0x30
            if digit <= 9 {
                value = value &* 10 &+ Int(digit)
                end += 1
                continue
            }
            guard end > place + 1, bytes[end] == 0x0D, end + 1 < bytes.count else { return nil }
            place = end + 2
            return value
        }
        return nil
    }
}
