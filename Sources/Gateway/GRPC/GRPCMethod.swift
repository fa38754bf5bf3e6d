import Access

/// Every procedure that is answered, by what it takes to answer it.
enum GRPCMethod: Equatable {
    case unknown
    case get
    case set
    case getBatch
    case setBatch
    case scalar(ScalarRPC)
    case collection(CollectionRPC)
    case publish
    case subscribe
    case control(ControlRPC)
    case ping
    case healthCheck
    case healthWatch
    case reflection
}

extension GRPCMethod {
    /// For procedures on items of the cache that the metadata names: what the caller has to be allowed, as far as that is
    /// known without the message.
    @inline(__always)
    var itemOperation: CacheOperation? {
        switch self {
        case .get, .getBatch: .get
        case .set, .setBatch: .set
        case .scalar(let rpc): rpc.operation
        case .collection(let rpc): rpc.operation
        default: nil
        }
    }
}

extension GRPCMethod {
    /// Whether the message is a key and little more.
    var namesOneKey: Bool {
        switch self {
        case .get, .scalar(.getWithHash), .scalar(.delete), .scalar(.increment), .scalar(.updateTTL),
            .scalar(.itemGetTTL), .scalar(.itemGetType):
            true
        default: false
        }
    }

    /// By what an order to fail calls the procedure; empty for one that no order can name.
    var faultName: StaticString {
        switch self {
        case .get: "get"
        case .set: "set"
        case .getBatch: "get-batch"
        case .setBatch: "set-batch"
        case .scalar(let rpc): rpc.faultName
        case .collection(let rpc): rpc.faultName
        case .publish: "topic-publish"
        case .subscribe: "topic-subscribe"
        case .control, .ping, .healthCheck, .healthWatch, .reflection, .unknown: ""
        }
    }
}

/// The table of paths. Cost of a look-up: a hash of the path and one comparison; for the two hot ones a comparison alone.
struct GRPCMethods {
    private let methods: [UInt64: (path: StaticString, method: GRPCMethod)]

    static let shared = GRPCMethods()

    private init() {
        var methods: [UInt64: (path: StaticString, method: GRPCMethod)] = [:]
        for (path, method) in Self.table {
            let hash = Self.hash(UnsafeRawBufferPointer(start: path.utf8Start, count: path.utf8CodeUnitCount))
            precondition(methods[hash] == nil, "two paths of one hash")  // the table is constant
            methods[hash] = (path, method)
        }
        self.methods = methods
    }

    private static var table: [(StaticString, GRPCMethod)] {
        var table: [(StaticString, GRPCMethod)] = [
            ("/cache_client.Scs/Get", .get),
            ("/cache_client.Scs/Set", .set),
            ("/cache_client.Scs/GetBatch", .getBatch),
            ("/cache_client.Scs/SetBatch", .setBatch),
            ("/cache_client.pubsub.Pubsub/Publish", .publish),
            ("/cache_client.pubsub.Pubsub/Subscribe", .subscribe),
            ("/cache_client.Ping/Ping", .ping),
            ("/grpc.health.v1.Health/Check", .healthCheck),
            ("/grpc.health.v1.Health/Watch", .healthWatch),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", .reflection),
            // The same messages under their older name.
            ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", .reflection),
        ]
        table += ScalarRPC.allCases.map { ($0.path, .scalar($0)) }
        table += CollectionRPC.allCases.map { ($0.path, .collection($0)) }
        table += ControlRPC.allCases.map { ($0.path, .control($0)) }
        return table
    }

    @inline(__always)
    func method(_ path: UnsafeRawBufferPointer) -> GRPCMethod {
        if path.matches("/cache_client.Scs/Get") { return .get }
        if path.matches("/cache_client.Scs/Set") { return .set }
        return find(path)
    }

    private func find(_ path: UnsafeRawBufferPointer) -> GRPCMethod {
        guard let found = methods[Self.hash(path)], path.matches(found.path) else { return .unknown }
        return found.method
    }

    /// FNV-1a: the paths are constants and a wrong one only misses.
    private static func hash(_ path: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in path { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return hash
    }
}
