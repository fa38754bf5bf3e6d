import Foundation
import GRDB
import Tenancy

/// Reads the columns of one row and refuses, where GRDB's own subscripts would trap: the file may have been altered by
/// anything.
struct RowReader {
    let row: Row
    let table: String

    func integer(_ column: String) throws(DamagedRow) -> Int64 {
        guard case .int64(let value) = storage(column) else { throw damaged(column, "is not an integer") }
        return value
    }

    func optionalInteger(_ column: String) throws(DamagedRow) -> Int64? {
        if case .null = storage(column) { return nil }
        return try integer(column)
    }

    func text(_ column: String) throws(DamagedRow) -> String {
        guard case .string(let value) = storage(column) else { throw damaged(column, "is not text") }
        return value
    }

    func optionalText(_ column: String) throws(DamagedRow) -> String? {
        if case .null = storage(column) { return nil }
        return try text(column)
    }

    func bytes(_ column: String) throws(DamagedRow) -> [UInt8] {
        guard case .blob(let value) = storage(column) else { throw damaged(column, "is not binary") }
        return Array(value)
    }

    func optionalBytes(_ column: String) throws(DamagedRow) -> [UInt8]? {
        if case .null = storage(column) { return nil }
        return try bytes(column)
    }

    func time(_ column: String) throws(DamagedRow) -> Timestamp {
        Timestamp(milliseconds: try integer(column))
    }

    func optionalTime(_ column: String) throws(DamagedRow) -> Timestamp? {
        try optionalInteger(column).map { Timestamp(milliseconds: $0) }
    }

    /// Ids count up from 1 (AUTOINCREMENT), so a negative one is no id.
    func id(_ column: String) throws(DamagedRow) -> UInt64 {
        guard let id = UInt64(exactly: try integer(column)) else { throw damaged(column, "is negative") }
        return id
    }

    func limits(_ column: String) throws(DamagedRow) -> Limits {
        var limits = Limits()
        guard let values = try? JSONDecoder().decode([String: UInt64].self, from: Data(try text(column).utf8)) else {
            throw damaged(column, "is not a JSON object of limits")
        }
        for (text, value) in values {
            guard let name = LimitName(rawValue: text) else { throw damaged(column, "names an unknown limit") }
            limits[name] = value
        }
        return limits
    }

    func labels(_ column: String) throws(DamagedRow) -> [String: String] {
        guard let labels = try? JSONDecoder().decode([String: String].self, from: Data(try text(column).utf8)) else {
            throw damaged(column, "is not a JSON object of labels")
        }
        return labels
    }

    func cacheName(_ column: String) throws(DamagedRow) -> CacheName {
        let text = try text(column)
        guard let name = try? CacheName(text) else { throw damaged(column, "is not a name") }
        return name
    }

    func tenantName(_ column: String) throws(DamagedRow) -> TenantName {
        let text = try text(column)
        guard let name = try? TenantName(text) else { throw damaged(column, "is not a name") }
        return name
    }

    func planName(_ column: String) throws(DamagedRow) -> PlanName {
        let text = try text(column)
        guard let name = try? PlanName(text) else { throw damaged(column, "is not a name") }
        return name
    }

    func damaged(_ column: String, _ reason: String) -> DamagedRow {
        DamagedRow(table: table, reason: "\(column) \(reason)")
    }

    private func storage(_ column: String) -> DatabaseValue.Storage {
        let value: DatabaseValue? = row[column]
        return value?.storage ?? .null
    }
}

extension TenantRecord {
    /// Tenants with the limits of their plans, for ``init(row:)``.
    static let selection = """
        SELECT tenants.*, plans.limits AS plan_limits FROM tenants LEFT JOIN plans ON plans.name = tenants.plan
        """

    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "tenants")
        self.init(
            id: TenantID(rawValue: try reader.id("id")), name: try reader.tenantName("name"),
            limits: try reader.limits("limits"), plan: try reader.optionalText("plan"),
            planLimits: try reader.optionalText("plan_limits") == nil ? nil : try reader.limits("plan_limits"),
            labels: try reader.labels("labels"), createdAt: try reader.time("created_at"))
    }
}

extension PlanRecord {
    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "plans")
        self.init(
            name: try reader.planName("name"), limits: try reader.limits("limits"),
            createdAt: try reader.time("created_at"))
    }
}

extension CacheRecord {
    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "caches")
        guard let compression = CacheCompression(rawValue: try reader.text("compression")) else {
            throw reader.damaged("compression", "names an unknown method")
        }
        self.init(
            id: CacheID(rawValue: try reader.id("id")), tenant: TenantID(rawValue: try reader.id("tenant_id")),
            name: try reader.cacheName("name"), limits: try reader.limits("limits"),
            labels: try reader.labels("labels"), compression: compression, owner: try reader.text("owner"),
            createdAt: try reader.time("created_at"))
    }
}

extension APIKeyRecord {
    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "api_keys")
        guard let format = APIKeyFormat(rawValue: try reader.text("format")) else {
            throw reader.damaged("format", "is unknown")
        }
        self.init(
            id: try reader.text("id"), tenant: TenantID(rawValue: try reader.id("tenant_id")),
            hash: try reader.bytes("hash"), refreshHash: try reader.optionalBytes("refresh_hash"), format: format,
            grant: try reader.bytes("grant_bytes"), isSuperUser: try reader.integer("is_super_user") != 0,
            tokenID: try reader.optionalText("token_id"), description: try reader.optionalText("description"),
            createdAt: try reader.time("created_at"), expiresAt: try reader.optionalTime("expires_at"),
            durationSeconds: try reader.optionalInteger("duration_seconds"))
    }
}

extension SigningKeyRecord {
    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "signing_keys")
        self.init(
            kid: try reader.text("kid"), privatePEM: try reader.optionalText("private_pem"),
            publicPEM: try reader.text("public_pem"), createdAt: try reader.time("created_at"),
            retiredAt: try reader.optionalTime("retired_at"))
    }
}

extension TenantSigningKeyRecord {
    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "tenant_signing_keys")
        self.init(
            kid: try reader.text("kid"), tenant: TenantID(rawValue: try reader.id("tenant_id")),
            publicPEM: try reader.text("public_pem"), createdAt: try reader.time("created_at"),
            expiresAt: try reader.time("expires_at"))
    }
}

extension AuditEvent {
    init(row: Row) throws(DamagedRow) {
        let reader = RowReader(row: row, table: "audit")
        let tenant = try reader.optionalInteger("tenant_id") == nil ? nil : try reader.id("tenant_id")
        self.init(
            sequence: try reader.integer("sequence"), at: try reader.time("at"), actor: try reader.text("actor"),
            tenant: tenant.map(TenantID.init(rawValue:)), action: try reader.text("action"),
            subject: try reader.text("subject"), detail: try reader.text("detail"))
    }
}

/// The JSON texts that go into columns.
enum ColumnText {
    static func json(_ limits: Limits) throws -> String {
        try json(Dictionary(uniqueKeysWithValues: limits.set.map { ($0.name.rawValue, $0.value) }))
    }

    /// Keys are sorted, so that equal values have equal texts.
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

extension TenantID {
    /// For a column. No id that the catalog gave is over `Int64.max`; one that is finds nothing.
    var column: Int64 { Int64(clamping: rawValue) }
}

extension CacheID {
    /// For a column, as for tenants.
    var column: Int64 { Int64(clamping: rawValue) }
}
