import Tenancy

/// Commands of Redis that are refused, each with its reason: what clients are told, what is counted for the cache, and what
/// the compatibility page lists.
package enum RefusedCommands {
    package struct Entry: Sendable {
        /// In lower case, with a `*` at the end for all names that begin so.
        package let name: String
        package let reason: Reason
    }

    package enum Reason: String, CaseIterable, Sendable {
        case scripting = "Scripts are not executed: a cache shared by many callers has no bound on what they do."
        case streams = "There is no stream type. Topics (SUBSCRIBE, PUBLISH) carry messages, and keep the latest."
        case modules = "Modules are not loaded, so their types do not exist."
        case replication = "There are no replicas of a cache that a client could see or steer."
        case persistence = "A cache is not written to a disk, so there is nothing to save, load or serialize."
        case cluster = "A cache is not divided over nodes that a client could see."
        case databases = "There is one database, 0. Other caches have other names and credentials."
        case administration = "It would act on the server and so on other tenants."
        case access = "Permissions are given by API keys and tokens (`/v1/admin/keys`, `/v1/admin/tokens`)."
    }

    /// By name.
    package static let all: [Entry] = [
        (Reason.scripting, "eval eval_ro evalsha evalsha_ro fcall fcall_ro function script"),
        (
            .streams,
            "xack xackdel xadd xautoclaim xclaim xdel xdelex xgroup xinfo xlen xpending xrange xread xreadgroup xrevrange "
                + "xsetid xtrim"
        ),
        (
            .modules,
            "module bf.* cf.* cms.* ft.* graph.* json.* tdigest.* topk.* ts.* vadd vcard vdim vemb vgetattr vinfo vismember "
                + "vlinks vrandmember vrange vrem vsetattr vsim"
        ),
        (.replication, "failover psync replconf replicaof slaveof sync"),
        (.persistence, "bgrewriteaof bgsave dump restore restore-asking save"),
        (.cluster, "migrate"),
        (.databases, "move swapdb"),
        (.administration, "commandlog debug hotkeys monitor pfdebug pfselftest shutdown"),
    ].flatMap { reason, names in names.split(separator: " ").map { Entry(name: String($0), reason: reason) } }
        .sorted { $0.name < $1.name }

    /// Subcommands of containers that are there otherwise, as `CONTAINER|SUBCOMMAND`.
    package static let subcommands: [Entry] = [
        (Reason.administration, "client|pause client|unpause config|resetstat memory|malloc-stats memory|purge"),
        (
            .access,
            "acl|deluser acl|dryrun acl|genpass acl|getuser acl|list acl|load acl|log acl|save acl|setuser acl|users"
        ),
        (
            .cluster,
            "cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|count-failure-reports cluster|delslots "
                + "cluster|delslotsrange cluster|failover cluster|flushslots cluster|forget cluster|meet "
                + "cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|setslot "
                + "cluster|slaves cluster|slot-stats"
        ),
    ].flatMap { reason, names in names.split(separator: " ").map { Entry(name: String($0), reason: reason) } }
        .sorted { $0.name < $1.name }

    private static let byName = Dictionary(
        uniqueKeysWithValues: (all + subcommands).filter { !$0.name.hasSuffix("*") }.map { ($0.name, $0) })
    private static let families = all.filter { $0.name.hasSuffix("*") }

    /// The entry of a refused command; nil for every other name.
    ///
    /// - Parameter name: In any case; with its subcommand behind a `|` where one of those is meant.
    package static func entry(named name: String) -> Entry? {
        guard name.utf8.count < 64 else { return nil }
        let name = name.lowercased()
        if let entry = byName[name] { return entry }
        return families.first { name.hasPrefix($0.name.dropLast()) }
    }
}

extension MartletError {
    package static func unsupported(_ name: String) -> MartletError {
        .command("ERR unsupported command '\(name.uppercased())'")
    }
}
