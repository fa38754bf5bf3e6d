import Synchronization
import Tenancy

extension EngineCache {
    /// Adds to the integer that is stored as text under a key, in one step; an absent item counts from zero.
    ///
    /// - Parameters:
    ///   - amount: what is added; may be negative.
    ///   - expiresAt: for an item that is created. One that exists keeps its own.
    /// - Returns: the new number.
    /// - Throws: ``MartletError/notAnInteger`` when the value is not the text of a signed 64-bit integer,
    ///   ``MartletError/integerOverflow`` when the sum is not one, and as ``set(_:value:expiresAt:condition:now:)``. The
    ///   item is unchanged then.
    ///
    /// Cost: as a read when the text keeps its length, and it is changed in place; else as a write.
    package func increment(
        _ key: UnsafeRawBufferPointer, by amount: Int64, expiresAt: Timestamp?, now: Timestamp
    ) throws(MartletError) -> Int64 {
        try checkFits(keyBytes: key.count, valueBytes: 20)
        let hash = SipHash.placement(of: key, key: core.configuration.indexKey)
        var attempts = 0
        while true {
            let attempt = withStripe(of: hash) { contents -> Attempt<Sum> in
                guard !contents.isClosed else { return .closed }
                return add(amount, to: key, hash: hash, creatingUntil: expiresAt, in: &contents, now: now)
            }
            switch attempt {
            case .done(.number(let number), let removed, let isCrowded):
                removed?.deallocate()
                if isCrowded { divide(now: now) }
                return number
            case .done(.failed(let error), _, _):
                throw error
            case .refused, .closed:
                throw .cacheNotFound
            case .full(let shortage):
                attempts += 1
                try makeRoom(for: shortage, attempts: attempts)
            }
        }
    }

    private enum Sum: Sendable {
        case number(Int64)
        case failed(MartletError)
    }

    private func add(
        _ amount: Int64, to key: UnsafeRawBufferPointer, hash: UInt64, creatingUntil expiresAt: Timestamp?,
        in contents: inout StripeContents, now: Timestamp
    ) -> Attempt<Sum> {
        let found = contents.index.find(key, hash: hash)
        let live = found.flatMap { $0.isExpired(at: now) ? nil : $0 }
        var before: Int64 = 0
        if let live {
            guard let number = IntegerText.parse(live.value) else {
                return .done(.failed(.notAnInteger), removed: nil, isCrowded: false)
            }
            before = number
        }
        let (sum, overflow) = before.addingReportingOverflow(amount)
        guard !overflow else { return .done(.failed(.integerOverflow), removed: nil, isCrowded: false) }
        let text = IntegerText(sum)
        if let live, live.valueLength == text.count {
            text.withBytes { live.mutableValue.copyMemory(from: $0) }
            live.markVisited()
            return .done(.number(sum), removed: nil, isCrowded: false)
        }
        let item = text.withBytes {
            Item.make(
                key: key, value: $0, expiresAt: live.map { $0.expiresAt } ?? expiresAt,
                valueHashKey: core.configuration.valueHashKey)
        }
        switch store(item, replacing: found, in: &contents, hash: hash, now: now) {
        case .done(_, let removed, let isCrowded):
            return .done(.number(sum), removed: removed, isCrowded: isCrowded)
        case .full(let shortage):
            item.deallocate()
            return .full(shortage)
        case .refused, .closed:
            // `store` neither checks a condition nor finds a stripe closed; the caller did.
            item.deallocate()
            return .closed
        }
    }
}
