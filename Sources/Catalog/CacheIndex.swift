import Foundation
import Tenancy

/// Finds the id of a cache by its tenant and the bytes of its name, as they stand in a request: no `CacheName` and no
/// `String` is made for a look-up.
///
/// Tenant and bytes are hashed once, with the process's own random key, so that nobody outside can choose names that
/// collide; names that collide nevertheless share a slot and are told apart by their bytes. Branches make a change cheap
/// as they do in ``BranchedDictionary``; here the hash is at hand, and its first bits choose the branch.
struct CacheIndex: Sendable, Equatable {
    private struct Entry: Equatable, Sendable {
        let tenant: TenantID
        let name: [UInt8]
        let id: CacheID
    }

    private var branches: [[Int: [Entry]]] = Array(repeating: [:], count: 256)

    /// Called for requests: must not allocate. Cost: two hashes, one of them over the name.
    func id(tenant: TenantID, name: UnsafeRawBufferPointer) -> CacheID? {
        let hash = Self.hash(tenant: tenant, name: name)
        guard let entries = branches[Self.branch(of: hash)][hash] else { return nil }
        for entry in entries where entry.tenant == tenant && entry.name.count == name.count {
            let isEqual = entry.name.withUnsafeBytes { stored in
                guard let left = stored.baseAddress, let right = name.baseAddress else { return name.isEmpty }
                return memcmp(left, right, name.count) == 0
            }
            if isEqual { return entry.id }
        }
        return nil
    }

    func id(tenant: TenantID, name: CacheName) -> CacheID? {
        var text = name.text
        return text.withUTF8 { id(tenant: tenant, name: UnsafeRawBufferPointer($0)) }
    }

    mutating func insert(_ id: CacheID, tenant: TenantID, name: CacheName) {
        let bytes = Array(name.text.utf8)
        let hash = bytes.withUnsafeBytes { Self.hash(tenant: tenant, name: $0) }
        branches[Self.branch(of: hash)][hash, default: []].append(Entry(tenant: tenant, name: bytes, id: id))
    }

    mutating func remove(_ id: CacheID, tenant: TenantID, name: CacheName) {
        let bytes = Array(name.text.utf8)
        let hash = bytes.withUnsafeBytes { Self.hash(tenant: tenant, name: $0) }
        let branch = Self.branch(of: hash)
        let rest = branches[branch][hash, default: []].filter { $0.id != id }
        branches[branch][hash] = rest.isEmpty ? nil : rest
    }

    private static func hash(tenant: TenantID, name: UnsafeRawBufferPointer) -> Int {
        var hasher = Hasher()
        hasher.combine(tenant.rawValue)
        hasher.combine(bytes: name)
        return hasher.finalize()
    }

    private static func branch(of hash: Int) -> Int {
        Int(UInt(bitPattern: hash) >> (UInt.bitWidth - 8))
    }
}
