import SwiftProtobuf
import Tenancy
import Wire

/// The calls of the gRPC contract that reach the control plane: services `ScsControl`, `Auth`, `Token` and `Webhook`.
/// They may wait for the disk, so they run on a thread of their own and not on an event loop.
enum ControlRPC: CaseIterable {
    case createCache, deleteCache, listCaches, flushCache
    case createSigningKey, revokeSigningKey, listSigningKeys
    case createIndex, deleteIndex, listIndexes
    case generateApiToken, refreshApiToken, login
    case generateDisposableToken
    case putWebhook, deleteWebhook, listWebhooks, getWebhookSecret, rotateWebhookSecret
}

extension ControlRPC {
    /// Where a call carries the credential of its caller.
    enum CredentialPlace {
        case metadata
        /// In the metadata or, where it is not there, in the message's `auth_token`.
        case metadataOrMessage
        /// The call has no caller.
        case none
    }

    var credentialPlace: CredentialPlace {
        switch self {
        case .generateApiToken, .generateDisposableToken: .metadataOrMessage
        // A login is for whoever has no credential yet, and a refresh shows the key that it is about.
        case .refreshApiToken, .login: .none
        case .createCache, .deleteCache, .listCaches, .flushCache, .createSigningKey, .revokeSigningKey,
            .listSigningKeys, .createIndex, .deleteIndex, .listIndexes, .putWebhook, .deleteWebhook, .listWebhooks,
            .getWebhookSecret, .rotateWebhookSecret:
            .metadata
        }
    }

    /// The `auth_token` of a message of a call that takes one there; nil when it is empty, or the message none of that
    /// call.
    func credential(in message: [UInt8]) -> String? {
        let text: String? =
            switch self {
            case .generateApiToken: (try? Auth_GenerateApiTokenRequest(serializedBytes: message))?.authToken
            case .generateDisposableToken:
                (try? Token_GenerateDisposableTokenRequest(serializedBytes: message))?.authToken
            default: nil
            }
        guard let text, !text.isEmpty else { return nil }
        return text
    }

    /// The key that a refresh is about; empty in any other message.
    func presentedKey(in message: [UInt8]) -> String {
        guard case .refreshApiToken = self else { return "" }
        return (try? Auth_RefreshApiTokenRequest(serializedBytes: message))?.apiKey ?? ""
    }

    /// The `:path` of the call.
    var path: StaticString {
        switch self {
        case .createCache: "/control_client.ScsControl/CreateCache"
        case .deleteCache: "/control_client.ScsControl/DeleteCache"
        case .listCaches: "/control_client.ScsControl/ListCaches"
        case .flushCache: "/control_client.ScsControl/FlushCache"
        case .createSigningKey: "/control_client.ScsControl/CreateSigningKey"
        case .revokeSigningKey: "/control_client.ScsControl/RevokeSigningKey"
        case .listSigningKeys: "/control_client.ScsControl/ListSigningKeys"
        case .createIndex: "/control_client.ScsControl/CreateIndex"
        case .deleteIndex: "/control_client.ScsControl/DeleteIndex"
        case .listIndexes: "/control_client.ScsControl/ListIndexes"
        case .generateApiToken: "/auth.Auth/GenerateApiToken"
        case .refreshApiToken: "/auth.Auth/RefreshApiToken"
        case .login: "/auth.Auth/Login"
        case .generateDisposableToken: "/token.Token/GenerateDisposableToken"
        case .putWebhook: "/webhook.Webhook/PutWebhook"
        case .deleteWebhook: "/webhook.Webhook/DeleteWebhook"
        case .listWebhooks: "/webhook.Webhook/ListWebhooks"
        case .getWebhookSecret: "/webhook.Webhook/GetWebhookSecret"
        case .rotateWebhookSecret: "/webhook.Webhook/RotateWebhookSecret"
        }
    }
}
