import Synchronization

/// What became of one message that was published to the topic of a webhook.
package enum WebhookFate: String, CaseIterable, Sendable {
    /// The receiver answered with a status of 2xx.
    case delivered
    /// It answered with another, redirects among them.
    case rejected
    /// It did not answer in time.
    case timedOut = "timed_out"
    /// It could not be reached, or what it said was no reply.
    case failed
    /// It lies where calls may not go.
    case refused
    /// Not sent: more than the webhook may send a second, or too much under way.
    case dropped
}

/// How often which since the start. Any thread may use it.
package final class WebhookCounters: Sendable {
    private let counts = Mutex<[WebhookFate: UInt64]>([:])

    package init() {}

    package subscript(fate: WebhookFate) -> UInt64 {
        counts.withLock { $0[fate] ?? 0 }
    }

    func add(_ count: UInt64, _ fate: WebhookFate) {
        counts.withLock { $0[fate, default: 0] += count }
    }
}
