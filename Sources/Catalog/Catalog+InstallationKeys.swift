import Foundation
import GRDB
import Tenancy

extension Catalog {
    /// Makes a key pair the one that signs new tokens, and retires all others: they verify what they have signed until
    /// ``purge(now:)`` finds no live token left, and their private halves are erased at once.
    ///
    /// - Throws: ``MartletError/alreadyExists(_:)`` when the `kid` is taken, and the failures of the catalog.
    package func insertSigningKey(_ key: SigningKeyRecord, actor: String) throws(MartletError) {
        guard key.kid.isWhole, key.publicPEM.isWhole, let privatePEM = key.privatePEM, privatePEM.isWhole else {
            throw .internalFailure("a new signing key needs both halves, as text")
        }
        try change { context in
            guard !context.state.signingKeys.contains(where: { $0.kid == key.kid }) else {
                throw MartletError.alreadyExists("Signing key")
            }
            for var old in context.state.signingKeys where old.retiredAt == nil {
                old.retiredAt = context.now
                old.privatePEM = nil
                try context.database.execute(
                    sql: "UPDATE signing_keys SET private_pem = NULL, retired_at = ? WHERE kid = ?",
                    arguments: [context.now.milliseconds, old.kid])
                context.put(old)
            }
            let record = SigningKeyRecord(
                kid: key.kid, privatePEM: key.privatePEM, publicPEM: key.publicPEM, createdAt: key.createdAt)
            try context.database.execute(
                sql: "INSERT INTO signing_keys (kid, private_pem, public_pem, created_at) VALUES (?, ?, ?, ?)",
                arguments: [record.kid, record.privatePEM, record.publicPEM, record.createdAt.milliseconds])
            context.put(record)
            return .changed((), AuditEntry("signing_key.rotate", key.kid, tenant: nil, actor: actor))
        }
    }

    /// Stores the SHA-256 of the root key, 32 bytes, in place of the one before.
    ///
    /// - Throws: the failures of the catalog.
    package func setRootKeyHash(_ hash: [UInt8], actor: String) throws(MartletError) {
        guard hash.count == 32 else { throw .internalFailure("the hash of the root key is not 32 bytes long") }
        try change { context in
            guard context.state.rootKeyHash != hash else { return .unchanged(()) }
            try context.database.execute(
                sql: "INSERT OR REPLACE INTO root_key (id, hash, set_at) VALUES (1, ?, ?)",
                arguments: [Blob(hash), context.now.milliseconds])
            context.setRootKeyHash(hash)
            return .changed((), AuditEntry("root_key.set", "root", tenant: nil, actor: actor))
        }
    }

    /// A small value of the installation, such as the key of the value hash; nil when it was never set.
    ///
    /// - Throws: the failures of the catalog.
    package func setting(_ name: String) throws(MartletError) -> [UInt8]? {
        try read { database in
            try Data.fetchOne(database, sql: "SELECT value FROM settings WHERE name = ?", arguments: [name])
                .map { Array($0) }
        }
    }

    /// Stores a small value of the installation. The audit log names it and does not show it: it may be a secret.
    ///
    /// - Throws: the failures of the catalog.
    package func setSetting(_ name: String, to value: [UInt8], actor: String) throws(MartletError) {
        try change { context in
            try context.database.execute(
                sql: "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", arguments: [name, Blob(value)])
            return .changed((), AuditEntry("setting.set", name, tenant: nil, actor: actor))
        }
    }
}
