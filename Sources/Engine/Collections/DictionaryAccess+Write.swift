import Tenancy

extension ItemAccess {
    /// Sets fields, creating the dictionary if need be; of equal fields in one call the last one stays. Returns how many
    /// fields were new. No pairs: nothing happens.
    package mutating func dictionarySet(
        _ pairs: Span<DictionaryPair>, expiry: CollectionExpiry
    ) throws(MartletError) -> Int {
        try setHashed(pairs.count, .dictionary, expiry: expiry) { index in (pairs[index].field, pairs[index].value) }
    }

    /// Sets one field. True: it is new.
    package mutating func dictionarySet(
        _ field: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, expiry: CollectionExpiry
    ) throws(MartletError) -> Bool {
        try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: false) { _ in value } == .added
    }

    /// Sets a field that is not there. False: it is, and nothing was changed, its time included.
    mutating func dictionarySetIfAbsent(
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
    /// Throws `notAnInteger`, `integerOverflow`.
    package mutating func dictionaryIncrement(
        _ field: UnsafeRawBufferPointer, by amount: Int64, expiry: CollectionExpiry
    ) throws(MartletError) -> Int64 {
        var text = ScratchBytes(capacity: 32)
        var sum: Int64 = 0
        _ = try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: true) {
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
    mutating func dictionaryIncrement(
        _ field: UnsafeRawBufferPointer, byFraction amount: Double, expiry: CollectionExpiry,
        _ body: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws(MartletError) -> Double {
        var text = ScratchBytes(capacity: 32)
        var sum = 0.0
        _ = try changeHashed(field, .dictionary, expiry: expiry, readsCurrent: true) {
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
}
