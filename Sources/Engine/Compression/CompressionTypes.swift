/// How a cache holds its values.
package enum CompressionMode: String, CaseIterable, Sendable {
    case off
    /// Each value by itself, as a frame that any client of zstd reads.
    case zstd
    /// With a dictionary that is trained on the cache's own values: for many small values that are alike.
    case zstdDictionary = "zstd-dictionary"
}

/// What the stored bytes of one value are.
package enum StoredEncoding: UInt8, Sendable {
    /// The value itself.
    case identity
    /// One standard zstd frame (RFC 8878) that says its content's size.
    case zstd
    /// One frame without a magic number and without a dictionary's id, which the item's version stands for.
    case zstdDictionary
}

/// What compression does for one cache.
package struct CompressionStatistics: Equatable, Sendable {
    /// Bytes of the values that were stored compressed since the cache was opened.
    package var plainBytes: UInt64 = 0
    /// What these took compressed.
    package var storedBytes: UInt64 = 0
    /// Memory of dictionaries and of samples for the next one.
    package var dictionaryBytes = 0
    /// The dictionary that new values are compressed with; 0 while there is none.
    package var dictionaryVersion: UInt8 = 0
    /// Dictionaries that came into use since the cache was opened.
    package var trainings: UInt64 = 0

    package init() {}
}
