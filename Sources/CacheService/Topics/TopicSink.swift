import Tenancy
import Topics

/// Where a subscription's messages go: a stream of some door. Called on its lane's thread only, and not any more once
/// ``end(_:)`` was called or the subscription was cancelled.
package protocol TopicSink: AnyObject {
    /// Whether more may be sent now. A sink that has turned this off calls ``CacheSubscription/resume()`` when it is ready
    /// again.
    var isReady: Bool { get }
    func send(_ batch: TopicBatch, of subscription: CacheSubscription)
    func send(_ discontinuity: TopicDiscontinuity, of subscription: CacheSubscription)
    func sendHeartbeat(of subscription: CacheSubscription)
    /// The subscription is over, for a reason of the service's: the credential, the permission or the cache is gone.
    func end(_ subscription: CacheSubscription, _ error: MartletError)
}
