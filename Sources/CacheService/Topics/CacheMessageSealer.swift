import Engine
import Topics

/// Seals what the topics of a cache retain with the key of the cache's values, so that it goes with them.
struct CacheMessageSealer: MessageSealer {
    let items: EngineCache

    func seal(_ message: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]? {
        items.seal(message: message, context: context)
    }

    func open(_ sealed: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer) -> [UInt8]? {
        items.openMessage(sealed, context: context)
    }
}
