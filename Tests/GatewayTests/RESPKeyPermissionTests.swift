import Access
import CacheService
import Catalog
import Tenancy
import Testing

@testable import Gateway

/// What each role may do with keys over RESP.
@Suite struct RESPKeyPermissionTests {
    private static let noKey = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"

    private func client(_ fixture: GatewayFixture, _ role: Role, _ items: ItemSelector) throws -> RESPClient {
        let grant = Grant.permissions(try PermissionSet(validating: [Permission(role, cache: .all, .items(items))]))
        let key = try fixture.control.mintKey(KeyOrder(format: .v2, grant: grant), caller: fixture.root)
        let client = try RESPClient(fixture)
        client.connection.send(RESPClient.command("AUTH", "shop", key.secret.presented))
        #expect(client.receive() == "+OK\r\n")
        return client
    }

    private func noCommand(_ name: String) -> String {
        "-NOPERM this user has no permissions to run the '\(name)' command\r\n"
    }

    @Test func whoMayOnlyWriteIsToldNothing() throws {
        let client = try client(GatewayFixture(), .writeOnly, .all)
        let allowed = [
            ("SET a 1", "+OK\r\n"), ("SET a 1 EX 100", "+OK\r\n"), ("SETEX a 100 1", "+OK\r\n"),
            ("MSET a 1 b 2", "+OK\r\n"), ("EXPIRE a 100", ":1\r\n"), ("DEL b", ":1\r\n"), ("FLUSHDB", "+OK\r\n"),
        ]
        for (line, reply) in allowed { #expect(client.ask(line) == reply, "\(line)") }
        for line in [
            "GET a", "SETNX a 1", "SET a 1 NX", "SET a 1 GET", "GETSET a 1", "GETDEL a", "INCR a", "APPEND a 1",
            "TTL a",
            "EXPIRE a 100 NX", "RENAME a b", "COPY a b", "BITOP NOT b a", "SETBIT a 1 1", "PFADD a 1", "KEYS *",
            "DBSIZE",
            "SORT a", "TYPE a", "OBJECT ENCODING a", "MSETNX a 1", "PERSIST a",
        ] {
            #expect(client.ask(line).hasPrefix("-NOPERM "), "\(line)")
        }
    }

    @Test func aPrefixIsAllThatMayBeNamed() throws {
        let fixture = try GatewayFixture()
        let client = try client(fixture, .readWrite, .keyPrefix(Array("p:".utf8)))
        #expect(client.ask("MSET p:a 1 p:b 2", "COPY p:a p:c") == "+OK\r\n:1\r\n")
        for line in [
            "GET q:a", "MGET p:a q:a", "MSET p:a 1 q:a 1", "RENAME p:a q:a", "RENAME q:a p:a", "BITOP OR p:d p:a q:a",
            "BITOP OR q:d p:a", "PFMERGE p:d q:a", "SORT p:a STORE q:a", "DEL p:a q:a", "LCS p:a q:a",
        ] {
            #expect(client.ask(line) == Self.noKey, "\(line)")
        }
        #expect(client.ask("MGET p:a p:b") == "*2\r\n$1\r\n1\r\n$1\r\n2\r\n")
        for line in ["KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "FLUSHDB", "FLUSHALL"] {
            let name = line.split(separator: " ")[0].lowercased()
            #expect(client.ask(line) == noCommand(name), "\(line)")
        }
        // A pattern names keys that nobody can know before.
        #expect(client.ask("SORT p:none BY w_* GET #") == noCommand("sort"))
        #expect(client.ask("SORT_RO p:none GET w_*") == noCommand("sort_ro"))
        #expect(client.ask("SORT p:none BY nosort GET #") == "*0\r\n")
        let reader = try self.client(fixture, .readOnly, .all)
        #expect(reader.ask("SORT_RO none BY w_* GET w_*->f", "KEYS p:a") == "*0\r\n*1\r\n$3\r\np:a\r\n")
    }
}
