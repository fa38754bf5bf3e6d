import Tenancy

extension ItemAccess {
    /// Sets fields, creating the dictionary if need be; of equal fields in one call the last one stays. Returns how many
    /// fields were new. No pairs: nothing happens.
    ///
    /// - Parameter keepingFieldTimes: whether a field that is there keeps its own time; if not, it loses it.
    package mutating func dictionarySet(
        _ pairs: Span<DictionaryPair>, expiry: CollectionExpiry, keepingFieldTimes: Bool = false
    ) throws(MartletError) -> Int {
        try setHashed(pairs.count, .dictionary, expiry: expiry, keepsTimes: keepingFieldTimes) { index in
            (pairs[index].field, pairs[index].value)
        }
    }

    /// Sets one field, which loses its own time if it has one. True: it is new.
    package mutating func dictionarySet(
        _ field: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, expiry: CollectionExpiry
    ) throws(MartletError) -> Bool {
        try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: false) { _ in value } == .added
    }

    /// Sets a field that is not there. False: it is, and nothing was changed, its time included.
    package mutating func dictionarySetIfAbsent(
        _ field: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, expiry: CollectionExpiry
    ) throws(MartletError) -> Bool {
        // A value in a tree is not opened only to see that it is there.
        if isLarge, try dictionaryContains(field) == true { return false }
        return try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: !isLarge) { current in
            current == nil ? value : nil
        } == .added
    }

    /// Removes fields, and the dictionary with the last. Returns how many were there; nil: no dictionary.
    package mutating func dictionaryRemove(_ fields: Span<UnsafeRawBufferPointer>) throws(MartletError) -> Int? {
        try removeHashed(fields.count, .dictionary) { fields[$0] }
    }

    /// Removes the dictionary. False: there was none.
    package mutating func dictionaryRemoveAll() throws(MartletError) -> Bool {
        guard try holdsHashed(.dictionary) else { return false }
        remove()
        return true
    }

    /// Adds to the number that a field holds as decimal text; one that is not there counts as 0. Returns the sum.
    /// The field keeps its own time. Throws `notAnInteger`, `integerOverflow`.
    package mutating func dictionaryIncrement(
        _ field: UnsafeRawBufferPointer, by amount: Int64, expiry: CollectionExpiry
    ) throws(MartletError) -> Int64 {
        var text = ScratchBytes(capacity: 32)
        var sum: Int64 = 0
        _ = try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: true, keepsTimes: true) {
            (current) throws(MartletError) in
            var number: Int64 = 0
            if let current {
                guard let parsed = IntegerText.parse(current) else { throw .notAnInteger }
                number = parsed
            }
            let (result, overflow) = number.addingReportingOverflow(amount)
            guard !overflow else { throw .integerOverflow }
            sum = result
            IntegerText(result).withBytes { text.append($0) }
            return text.bytes
        }
        return sum
    }

    /// The same for a number with a fraction. Returns the sum; `body` is lent its text, as it is stored.
    /// Throws `notAnInteger` if the field holds no number, `integerOverflow` if the sum is none.
    @discardableResult
    package mutating func dictionaryIncrement(
        _ field: UnsafeRawBufferPointer, byFraction amount: Double, expiry: CollectionExpiry,
        _ body: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws(MartletError) -> Double {
        var text = ScratchBytes(capacity: 32)
        var sum = 0.0
        _ = try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: true, keepsTimes: true) {
            (current) throws(MartletError) in
            guard let result = DictionaryDecimal.sum(of: current, and: amount) else { throw .notAnInteger }
            guard result.isFinite else { throw .integerOverflow }
            sum = result
            DictionaryDecimal.append(result, to: &text)
            return text.bytes
        }
        body(text.bytes)
        return sum
    }

    /// Changes one field by what it holds, creating field and dictionary if need be. It keeps its own time.
    ///
    /// - Parameter decide: gets the value, nil if there is none, and gives the one to write, or nil to leave everything
    ///   as it is. The bytes must not be those that it got, and live until this returns.
    /// - Returns: whether something was written.
    package mutating func dictionaryUpdate(
        _ field: UnsafeRawBufferPointer, expiry: CollectionExpiry,
        _ decide: (UnsafeRawBufferPointer?) throws(MartletError) -> UnsafeRawBufferPointer?
    ) throws(MartletError) -> Bool {
        try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: true, keepsTimes: true, decide)
            != .unchanged
    }
}
