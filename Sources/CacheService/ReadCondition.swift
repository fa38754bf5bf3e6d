import Tenancy

/// Under which hash of the stored value a caller wants that value sent (RFC 9110 section 13).
package struct ReadCondition: Sendable {
    /// Some hashes, or every one.
    package enum Hashes: Sendable {
        case every
        case these([ValueHash])

        package func contains(_ hash: ValueHash) -> Bool {
            switch self {
            case .every: true
            case .these(let hashes): hashes.contains(hash)
            }
        }
    }

    package enum Outcome: Sendable {
        case send
        /// The caller has this value already.
        case notModified
        /// The caller wanted another value.
        case failed
    }

    package var mustBeAmong: Hashes?
    package var mustNotBeAmong: Hashes?

    package init(mustBeAmong: Hashes? = nil, mustNotBeAmong: Hashes? = nil) {
        self.mustBeAmong = mustBeAmong
        self.mustNotBeAmong = mustNotBeAmong
    }

    /// The first condition is decided first, as RFC 9110 section 13.2.2 orders them.
    package func outcome(of hash: ValueHash) -> Outcome {
        if let mustBeAmong, !mustBeAmong.contains(hash) { return .failed }
        if let mustNotBeAmong, mustNotBeAmong.contains(hash) { return .notModified }
        return .send
    }
}
