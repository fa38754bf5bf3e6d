import Synchronization
import Tenancy

/// Makes false credentials cheap to refuse: it remembers those whose check failed, and limits how many checks an
/// address may cause. Shared by all event loops; used only for credentials that ``CredentialMemory`` does not know.
///
/// ```
///   contains(hash)?  ──yes──▶ refused, nothing spent
///   charge(address)  ──no───▶ refused with the time after which to try again
///   VerificationQueue ──────▶ good: refund(address)        false: insert(hash)
/// ```
///
/// An address pays for failures only, so many good callers behind one address do not hinder each other. Both tables are
/// bounded. When the table of addresses is full of addresses that still owe, all newcomers share one allowance: an
/// attacker with very many addresses cannot make it forget them, and does not get a fresh allowance for each.
package final class FailureMemory: Sendable {
    package struct Configuration: Sendable {
        /// How many failed credentials are remembered.
        package var credentialCapacity = 4096
        /// For how long. Short, for a failure may be cured: a signing key arrives, a clock is set.
        package var credentialMilliseconds: Int64 = 10_000
        /// How many addresses have an allowance of their own.
        package var addressCapacity = 4096
        /// What one address may spend on failures.
        package var rate = CheckAllowance.Rate(burst: 50, perSecond: 10)
        /// What all addresses without an allowance of their own may spend together.
        package var sharedRate = CheckAllowance.Rate(burst: 200, perSecond: 100)

        package init() {}
    }

    private let configuration: Configuration
    private let failures: Mutex<Failures>
    private let addresses: Mutex<Addresses>

    package init(_ configuration: Configuration = Configuration(), now: Timestamp) {
        self.configuration = configuration
        failures = Mutex(Failures(capacity: max(configuration.credentialCapacity, 1)))
        addresses = Mutex(
            Addresses(
                capacity: max(configuration.addressCapacity, 1), rate: configuration.rate,
                shared: CheckAllowance(configuration.sharedRate, now: now)
            ))
    }

    /// Whether the credential with this hash failed a short time ago, and how.
    package func failure(_ hash: SecretHash, now: Timestamp) -> MartletError? {
        failures.withLock { $0.failure(hash, now: now) }
    }

    /// Remembers that the credential with this hash failed.
    package func insert(_ hash: SecretHash, failure: MartletError, now: Timestamp) {
        let until = now.adding(milliseconds: configuration.credentialMilliseconds)
        failures.withLock { $0.insert(hash, failure, until: until) }
    }

    /// Forgets all failed credentials, as after a new signing key.
    package func removeAllFailures() {
        failures.withLock { $0.removeAll() }
    }

    /// Takes one check from the allowance of an address. Nil when it is granted, else after how many milliseconds it is
    /// worth to try again.
    ///
    /// - Parameter address: the peer's IP address in network order: 4 or 16 bytes.
    package func charge(_ address: some Collection<UInt8>, now: Timestamp) -> UInt64? {
        let network = NetworkPrefix(address)
        return addresses.withLock { $0.charge(network, now: now) }
    }

    /// Gives the check back: the credential was good.
    package func refund(_ address: some Collection<UInt8>) {
        let network = NetworkPrefix(address)
        addresses.withLock { $0.refund(network) }
    }

    /// How much is remembered, for tests and metrics.
    package var counts: (credentials: Int, addresses: Int) {
        (failures.withLock { $0.count }, addresses.withLock { $0.count })
    }
}

/// Failed credentials, the oldest forgotten first.
private struct Failures {
    private struct Failure {
        let error: MartletError
        let until: Timestamp
        /// The place in `order` that is this entry's, apart from those of earlier entries of the same hash.
        let sequence: Int
    }

    private let capacity: Int
    private var byHash: [SecretHash: Failure] = [:]
    /// A ring: the place of number n is n modulo the capacity.
    private var order: [SecretHash?]
    private var sequence = 0

    var count: Int { byHash.count }

    init(capacity: Int) {
        self.capacity = capacity
        order = Array(repeating: nil, count: capacity)
    }

    func failure(_ hash: SecretHash, now: Timestamp) -> MartletError? {
        guard let failure = byHash[hash], now < failure.until else { return nil }
        return failure.error
    }

    mutating func insert(_ hash: SecretHash, _ error: MartletError, until: Timestamp) {
        let place = sequence % capacity
        if let oldest = order[place], byHash[oldest]?.sequence == sequence - capacity {
            byHash[oldest] = nil
        }
        order[place] = hash
        byHash[hash] = Failure(error: error, until: until, sequence: sequence)
        sequence += 1
    }

    mutating func removeAll() {
        byHash.removeAll(keepingCapacity: true)
        for place in order.indices { order[place] = nil }
    }
}

/// The allowances of the addresses that owe something.
private struct Addresses {
    private struct Entry {
        var network: NetworkPrefix
        var allowance: CheckAllowance
    }

    private let capacity: Int
    private let rate: CheckAllowance.Rate
    private var shared: CheckAllowance
    private var entries: [Entry] = []
    private var places: [NetworkPrefix: Int] = [:]
    private var hand = 0

    /// How many entries a newcomer may look at for one that owes nothing.
    private static let searchLimit = 8

    var count: Int { places.count }

    init(capacity: Int, rate: CheckAllowance.Rate, shared: CheckAllowance) {
        self.capacity = capacity
        self.rate = rate
        self.shared = shared
    }

    mutating func charge(_ network: NetworkPrefix, now: Timestamp) -> UInt64? {
        guard let place = places[network] ?? makePlace(network, now) else {
            return shared.charge(now: now)
        }
        return entries[place].allowance.charge(now: now)
    }

    mutating func refund(_ network: NetworkPrefix) {
        if let place = places[network] {
            entries[place].allowance.refund()
        } else {
            shared.refund()
        }
    }

    private mutating func makePlace(_ network: NetworkPrefix, _ now: Timestamp) -> Int? {
        let entry = Entry(network: network, allowance: CheckAllowance(rate, now: now))
        if entries.count < capacity {
            entries.append(entry)
            places[network] = entries.count - 1
            return entries.count - 1
        }
        for _ in 0..<min(Self.searchLimit, capacity) {
            hand = (hand + 1) % capacity
            if entries[hand].allowance.isFull(now: now) {
                places[entries[hand].network] = nil
                entries[hand] = entry
                places[network] = hand
                return hand
            }
        }
        return nil
    }
}
