/// A counter that ends on the bill. The raw value is its place in a row of the counter file and its name, in
/// ``Meter/name``, is a column of the ledger and a field of a usage row: neither ever changes its meaning.
///
/// Source of the billing inputs: the metering contract, section 3.
package enum Meter: Int, CaseIterable, Sendable {
    /// Billed operations under the policy in force.
    case operations = 0
    /// Payload received: keys and values, in the form in which they came.
    case bytesIn
    /// Payload sent: values, in the form in which they went.
    case bytesOut
    /// Calls by validly identified callers, whatever their outcome.
    case calls
    /// Reads that found their item.
    case hits
    /// Reads that did not.
    case misses
    /// Calls that were refused for what they asked: 4xx other than limits.
    case clientErrors
    /// Calls that were refused by a limit.
    case throttled
    /// Calls that failed for a reason of ours.
    case serverErrors
    /// Σ ceil(size / 1024) over the items and elements of requests: raw input of other billing policies.
    case requestChunks
    /// The same over responses.
    case responseChunks
    /// Operations of calls with a condition, which some policies bill twice.
    case conditionalOperations
    /// Elements received in and sent from collections.
    case elementsIn
    case elementsOut
    /// Messages published to and delivered from topics.
    case publishes
    case deliveries
    /// The time for which subscriptions were open, summed over them: long polls too.
    case subscriptionMilliseconds

    package var name: String {
        switch self {
        case .operations: "operations"
        case .bytesIn: "bytes_in"
        case .bytesOut: "bytes_out"
        case .calls: "calls"
        case .hits: "hits"
        case .misses: "misses"
        case .clientErrors: "client_errors"
        case .throttled: "throttled"
        case .serverErrors: "server_errors"
        case .requestChunks: "request_chunks"
        case .responseChunks: "response_chunks"
        case .conditionalOperations: "conditional_operations"
        case .elementsIn: "elements_in"
        case .elementsOut: "elements_out"
        case .publishes: "publishes"
        case .deliveries: "deliveries"
        case .subscriptionMilliseconds: "subscription_milliseconds"
        }
    }

    package static let count = Meter.allCases.count
}
