/// How the topics of a server behave, as `martlet serve` was told.
package struct TopicConfiguration: Sendable, Equatable {
    /// How often a subscriber hears that its connection still lives.
    package var heartbeatMilliseconds: Int64
    /// The newest messages of one topic that are kept for subscribers who come back: so many at most.
    package var retainedMessages: Int
    /// So many bytes of them at most.
    package var retainedBytes: Int
    /// For so long at most.
    package var retainedMilliseconds: Int64

    package init(
        heartbeatMilliseconds: Int64 = ServeDefaults.topicHeartbeatMilliseconds,
        retainedMessages: Int = ServeDefaults.topicRetainedMessages,
        retainedBytes: Int = ServeDefaults.topicRetainedBytes,
        retainedMilliseconds: Int64 = Int64(ServeDefaults.topicRetainedSeconds) * 1000
    ) {
        self.heartbeatMilliseconds = heartbeatMilliseconds
        self.retainedMessages = retainedMessages
        self.retainedBytes = retainedBytes
        self.retainedMilliseconds = retainedMilliseconds
    }
}
