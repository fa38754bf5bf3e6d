import Tenancy

/// Seals the elements of one large dictionary or list, one by one. They are bound to a number that the collection was
/// given when it became large, and not to its key: so it can be renamed, and copied without a copy.
struct ElementSealer: Sendable {
    /// Nil when sealing is off: stored elements are as they are.
    let sealer: CacheSealer?
    let binding: UInt64
    let lane: Int

    var isSealing: Bool { sealer != nil }

    /// Appends the stored form of an element to `out`.
    /// - Parameter context: what binds it to its place: a field's name, or nothing.
    /// - Throws: ``MartletError/internalFailure(_:)`` when it cannot be sealed.
    func seal(
        _ plain: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer, into out: inout ScratchBytes
    ) throws(MartletError) {
        guard let sealer else { return out.append(plain) }
        let target = out.extend(by: plain.count + CacheSealer.overhead)
        let isSealed = withUnsafeBytes(of: binding.littleEndian) { key in
            sealer.seal(plain, key: key, context: context, lane: lane, into: target)
        }
        guard isSealed else { throw EngineCache.unsealable }
    }

    /// Appends the plain bytes of a stored element to `out`.
    /// - Throws: ``MartletError/internalFailure(_:)`` when it does not authenticate.
    func open(
        _ stored: UnsafeRawBufferPointer, context: UnsafeRawBufferPointer, into out: inout ScratchBytes
    ) throws(MartletError) {
        guard let sealer else { return out.append(stored) }
        guard stored.count >= CacheSealer.overhead else { throw EngineCache.unreadable }
        let target = out.extend(by: stored.count - CacheSealer.overhead)
        let isAuthentic = withUnsafeBytes(of: binding.littleEndian) { key in
            sealer.open(stored, key: key, context: context, lane: lane, into: target)
        }
        guard isAuthentic else { throw EngineCache.unreadable }
    }
}

extension ItemAccess {
    /// Whether stored elements differ from their plain form.
    var isSealing: Bool { stripe.contents.pointee.sealer != nil }
}
