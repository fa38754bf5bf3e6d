import Tenancy

/// The calls that are under way, counted against the limits. Hosts are counted for each payer apart: one that floods a
/// service that others use too takes nothing from them.
struct OutboundSlots: Sendable {
    struct Place: Hashable, Sendable {
        let payer: TenantID
        let host: String
    }

    private let limits: OutboundLimits
    private(set) var count = 0
    private var byPayer: [TenantID: Int] = [:]
    private var byPlace: [Place: Int] = [:]

    init(_ limits: OutboundLimits) {
        self.limits = limits
    }

    /// - Returns: whether there was room.
    mutating func take(_ place: Place) -> Bool {
        let ofPayer = byPayer[place.payer] ?? 0
        let ofPlace = byPlace[place] ?? 0
        guard count < limits.calls, ofPayer < limits.callsPerPayer, ofPlace < limits.callsPerHost else { return false }
        count += 1
        byPayer[place.payer] = ofPayer + 1
        byPlace[place] = ofPlace + 1
        return true
    }

    mutating func giveBack(_ place: Place) {
        count -= 1
        Self.decrement(&byPayer[place.payer])
        Self.decrement(&byPlace[place])
    }

    /// An entry that nobody needs goes, so that hosts that were called once are not remembered.
    private static func decrement(_ count: inout Int?) {
        count = count.flatMap { $0 > 1 ? $0 - 1 : nil }
    }
}
