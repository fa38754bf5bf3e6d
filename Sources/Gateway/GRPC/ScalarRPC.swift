import Access

/// The procedures on single items of any kind, beside Get, Set and the batches.
enum ScalarRPC: CaseIterable {
    case getWithHash, setIf, setIfHash, setIfNotExists, delete, keysExist, increment, updateTTL, itemGetTTL, itemGetType

    var path: StaticString {
        switch self {
        case .getWithHash: "/cache_client.Scs/GetWithHash"
        case .setIf: "/cache_client.Scs/SetIf"
        case .setIfHash: "/cache_client.Scs/SetIfHash"
        case .setIfNotExists: "/cache_client.Scs/SetIfNotExists"
        case .delete: "/cache_client.Scs/Delete"
        case .keysExist: "/cache_client.Scs/KeysExist"
        case .increment: "/cache_client.Scs/Increment"
        case .updateTTL: "/cache_client.Scs/UpdateTtl"
        case .itemGetTTL: "/cache_client.Scs/ItemGetTtl"
        case .itemGetType: "/cache_client.Scs/ItemGetType"
        }
    }

    /// What the caller has to be allowed, the least of it where that depends on the message.
    var operation: CacheOperation {
        switch self {
        case .getWithHash: .getWithHash
        case .setIf, .setIfNotExists: .setIf
        case .setIfHash: .setIfHash
        case .delete: .delete
        case .keysExist: .keysExist
        case .increment: .increment
        case .updateTTL: .updateTTLOverwrite
        case .itemGetTTL: .itemGetTTL
        case .itemGetType: .itemGetType
        }
    }

    /// The name under which the emulator makes the procedure fail.
    var faultName: StaticString {
        switch self {
        case .getWithHash: "get-with-hash"
        case .setIf, .setIfNotExists: "set-if"
        case .setIfHash: "set-if-hash"
        case .delete: "delete"
        case .keysExist: "keys-exist"
        case .increment: "increment"
        case .updateTTL: "update-ttl"
        case .itemGetTTL: "item-get-ttl"
        case .itemGetType: "item-get-type"
        }
    }
}
