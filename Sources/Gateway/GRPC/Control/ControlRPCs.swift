import Access
import CacheService
import Catalog
import SwiftProtobuf
import Tenancy

/// The control plane over gRPC: reads a message, calls the ``ControlPlane``, writes a message. It decides nothing
/// itself.
///
/// The order of refusals is that of the other doors: who may not do something learns nothing of what is wrong with the
/// request, so every call asks for permission before it reads its message. No message of the contract names a tenant: a
/// super-user acts in its own, root in `default`.
package struct ControlRPCs: Sendable {
    let control: ControlPlane

    package init(control: ControlPlane) {
        self.control = control
    }

    /// Answers one call. It may wait for the disk: not to be called on an event loop.
    ///
    /// - Parameters:
    ///   - message: The request, without its frame and its compression.
    ///   - caller: Who calls; needed by every call but those whose ``ControlRPC/credentialPlace`` is none.
    /// - Returns: the response, without a frame.
    /// - Throws: ``MartletError/missingCredential`` without a caller; ``MartletError/unimplemented(_:)``;
    ///   ``MartletError/malformed(_:)`` for what is no message, ``MartletError/invalidArgument(field:reason:)`` with
    ///   the name that the field has in the contract; and what the control plane throws.
    func respond(to rpc: ControlRPC, message: [UInt8], caller: Caller?) throws(MartletError) -> [UInt8] {
        switch rpc {
        case .refreshApiToken: return try refreshAPIToken(message)
        case .login: throw .unimplemented("a login in a browser")
        default: break
        }
        guard let caller else { throw .missingCredential }
        switch rpc {
        case .createCache: return try createCache(message, caller)
        case .deleteCache: return try deleteCache(message, caller)
        case .listCaches: return try listCaches(message, caller)
        case .flushCache: return try flushCache(message, caller)
        case .createSigningKey: return try createSigningKey(message, caller)
        case .revokeSigningKey: return try revokeSigningKey(message, caller)
        case .listSigningKeys: return try listSigningKeys(message, caller)
        case .createIndex, .deleteIndex, .listIndexes: throw .unimplemented("a vector index")
        case .generateApiToken: return try generateAPIToken(message, caller)
        case .generateDisposableToken: return try generateDisposableToken(message, caller)
        case .putWebhook, .deleteWebhook, .listWebhooks, .getWebhookSecret, .rotateWebhookSecret:
            return try respondToWebhookCall(rpc, message: message, caller: caller)
        case .refreshApiToken, .login:
            throw .internalFailure("a call without a caller was answered before")
        }
    }

    // MARK: For the files of this type

    /// - Throws: ``MartletError/malformed(_:)``, whose text quotes nothing of the message.
    static func decode<Request: Message>(
        _ type: Request.Type, _ message: [UInt8]
    ) throws(MartletError) -> Request {
        do {
            return try Request(serializedBytes: message)
        } catch {
            throw .malformed("the message is not a \(Request.protoMessageName)")
        }
    }

    static func encode(_ response: some Message) throws(MartletError) -> [UInt8] {
        do {
            return try response.serializedBytes()
        } catch {
            throw .internalFailure("a response could not be written")
        }
    }

    /// A page of a hundred. The contract's lists begin, and end, with an empty token.
    static func page(after nextToken: String) throws(MartletError) -> PageRequest {
        try PageRequest(nextToken: nextToken.isEmpty ? nil : nextToken)
    }

    /// Does `body`, and has its refusals call the field `own` by the name that it has in the contract.
    static func naming<Result>(
        _ own: String, _ name: String, _ body: () throws(MartletError) -> Result
    ) throws(MartletError) -> Result {
        do {
            return try body()
        } catch .invalidArgument(own, let reason) {
            throw .invalidArgument(field: name, reason: reason)
        }
    }
}

extension Timestamp {
    /// Epoch seconds as messages have them; 0 where there is no time.
    static func epochSeconds(_ time: Timestamp?) -> UInt64 {
        UInt64(clamping: time?.seconds ?? 0)
    }
}
