import Access
import CacheService
import Engine
import Foundation
import SwiftProtobuf
import Tenancy
import Testing
import Wire

@testable import Gateway

/// What holds for every collection rpc. The commands and responses of each stand in the tests of its family.
@Suite struct GRPCCollectionRPCTests {
    // MARK: The table

    /// The rpcs of a service as the contract has them, from the text of its definition.
    private static func methods(of service: String, in file: String) throws -> [String] {
        let place = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../api/proto/\(file)")
        let text = try String(contentsOf: place.standardizedFileURL, encoding: .utf8)
        let start = try #require(text.range(of: "service \(service) {")).upperBound
        let end = try #require(text.range(of: "\n}", range: start..<text.endIndex)).lowerBound
        return text[start..<end].matches(of: /rpc (\w+)\(/).map { String($0.1) }
    }

    private static let scalars: Set = [
        "Get", "GetWithHash", "GetBatch", "Set", "SetBatch", "SetIf", "SetIfHash", "SetIfNotExists", "Delete",
        "KeysExist", "Increment", "UpdateTtl", "ItemGetTtl", "ItemGetType",
    ]

    @Test func everyCollectionRPCOfTheContractIsThereOnce() throws {
        let scs = try Self.methods(of: "Scs", in: "cacheclient.proto")
        let boards = try Self.methods(of: "Leaderboard", in: "leaderboard.proto")
        #expect(scs.count == 47)
        #expect(boards.count == 8)
        let contract =
            scs.filter { !Self.scalars.contains($0) }.map { "/cache_client.Scs/\($0)" }
            + boards.map { "/leaderboard.Leaderboard/\($0)" }
        let paths = CollectionRPC.allCases.map { "\($0.path)" }
        #expect(paths.sorted() == contract.sorted())
        #expect(Set(paths).count == paths.count)
    }

    /// The case, the message, the path and the fault name are made of one name.
    @Test(arguments: CollectionRPC.allCases)
    func namesAgree(rpc: CollectionRPC) {
        let method = "\(rpc.path)".split(separator: "/").last.map(String.init) ?? ""
        #expect(Swift.type(of: rpc.sample).protoMessageName.hasSuffix("._\(method)Request"))
        if "\(rpc.path)".hasPrefix("/cache_client.Scs/") {
            #expect("\(rpc)".lowercased() == method.lowercased())
            let kebab = method.replacing(/[A-Z]/) { "-" + $0.output.lowercased() }.dropFirst()
            switch rpc {
            case .listErase: #expect("\(rpc.faultName)" == "list-remove")
            case .sortedSetUnionStore: #expect("\(rpc.faultName)" == "")
            default: #expect("\(rpc.faultName)" == kebab)
            }
        } else {
            #expect("\(rpc.faultName)" == "")
        }
    }

    @Test(arguments: CollectionRPC.allCases)
    func theMethodAsksForWhatItsCommandAsksFor(rpc: CollectionRPC) throws {
        let command = try #require(try rpc.command(rpc.sample))
        #expect(rpc.operation == command.operation)
    }

    @Test func aConcatenationOfOneValueMeetsTheSameRule() throws {
        let one = try CollectionRPC.listConcatenateFront.command(
            Scs_ListConcatenateFrontRequest.with {
                $0.listName = .k
                $0.values = .of("red")
                $0.ttlMilliseconds = 1
            })
        #expect(one?.operation == .listPushFront)
        #expect(CollectionRPC.listConcatenateFront.operation.rule == CacheOperation.listPushFront.rule)
        #expect(CollectionRPC.listConcatenateBack.operation.rule == CacheOperation.listPushBack.rule)
    }

    // MARK: Requests

    /// The field of the key: the only one that the empty message lacks.
    @Test(arguments: CollectionRPC.allCases)
    func anEmptyKeyIsRefused(rpc: CollectionRPC) {
        let name =
            switch "\(rpc)" {
            case let text where text.hasPrefix("dictionary"): "dictionary_name"
            case let text where text.hasPrefix("list"): "list_name"
            case let text where text.hasPrefix("leaderboard"): "leaderboard"
            default: "set_name"
            }
        #expect(rpc.refusal([]) == .empty(name))
    }

    @Test(arguments: CollectionRPC.allCases)
    func unknownFieldsArePassedOver(rpc: CollectionRPC) throws {
        let sample = try rpc.sample.serializedBytes() as [UInt8]
        let call = try rpc.decode(sample)
        // Fields 100 to 102: a number, bytes, a fixed number; and a group, which only old messages have.
        let unknown: [UInt8] = [
            0xA0, 0x06, 0x96, 0x01, 0xAA, 0x06, 0x02, 0x68, 0x69, 0xB1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xBB, 0x06, 0x08,
            0x01, 0xBC, 0x06,
        ]
        #expect(try rpc.decode(sample + unknown) == call)
        #expect(try rpc.decode(unknown + sample) == call)
    }

    @Test(arguments: CollectionRPC.allCases)
    func aTTLOverTheCeilingIsRefusedByTheWritesThatCarryOne(rpc: CollectionRPC) throws {
        let text = try rpc.sample.jsonString()
        guard text.contains("ttlMilliseconds") else {
            #expect(!Self.carriesTTL.contains(rpc))
            return
        }
        #expect(Self.carriesTTL.contains(rpc))
        let type = Swift.type(of: rpc.sample)
        for value in ["4398046511105", "18446744073709551615"] {
            let changed = try type.init(jsonString: text.replacing("\"60000\"", with: "\"\(value)\""))
            guard case .invalidArgument("ttl_milliseconds", let reason) = try rpc.refusal(changed) else {
                Issue.record("\(rpc) takes \(value)")
                continue
            }
            #expect(reason.hasPrefix("must be at most"))
        }
        // 0 is no TTL: whether the cache has one for it, the service knows.
        let unset = try type.init(jsonString: text.replacing("\"60000\"", with: "\"0\""))
        #expect(try rpc.refusal(unset) == nil)
    }

    private static let carriesTTL: Set<CollectionRPC> = [
        .dictionarySet, .dictionaryIncrement, .setUnion, .listPushFront, .listPushBack, .listConcatenateFront,
        .listConcatenateBack, .listRetain, .sortedSetPut, .sortedSetIncrement, .sortedSetUnionStore,
    ]

    // MARK: Hostile requests

    /// What comes out is a call whose parts fit each other, or a refusal of the request: never a trap, and never a
    /// failure of ours.
    private func expectSound(_ rpc: CollectionRPC, _ bytes: [UInt8]) {
        do throws(MartletError) {
            let call = try rpc.decode(bytes)
            #expect(!call.key.isEmpty)
            switch call.command {
            case .dictionarySet(let fields, let values, _): #expect(fields.count == values.count)
            case .sortedSetPut(let members, let scores, _): #expect(members.count == scores.count)
            case .sortedSetUnionStore(let sources, let weights, _, _): #expect(sources.count == weights.count)
            case .leaderboard(.upsert(let ids, let scores, _)): #expect(ids.count == scores.count)
            default: break
            }
        } catch .malformed {
            // What is no message.
        } catch .invalidArgument(let field, let reason) {
            #expect(!field.isEmpty && !reason.isEmpty)
        } catch {
            Issue.record("\(rpc): \(error)")
        }
    }

    @Test(arguments: CollectionRPC.allCases)
    func aRequestCutAtAnyByteIsRefusedOrSound(rpc: CollectionRPC) throws {
        let sample = try rpc.sample.serializedBytes() as [UInt8]
        var refused = 0
        for length in 0..<sample.count {
            let piece = Array(sample[..<length])
            expectSound(rpc, piece)
            if rpc.refusal(piece) != nil { refused += 1 }
        }
        #expect(refused > 0)
        // One byte short, the last field cannot be whole.
        #expect(rpc.refusal(Array(sample.dropLast())) == .noMessage)
    }

    @Test(arguments: CollectionRPC.allCases)
    func aMutatedRequestIsRefusedOrSound(rpc: CollectionRPC) throws {
        let sample = try rpc.sample.serializedBytes() as [UInt8]
        var random = SeededGenerator(seed: 0xC011_EC70)
        for _ in 0..<400 {
            var bytes = sample
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 2: bytes.insert(contentsOf: bytes[index...], at: index)
                default: bytes.insert(contentsOf: random.bytes(3), at: index)
                }
            }
            expectSound(rpc, bytes)
            expectSound(rpc, random.bytes(Int.random(in: 0..<40, using: &random)))
        }
    }

    @Test(arguments: CollectionRPC.allCases)
    func anotherRPCsRequestIsRefusedOrSound(rpc: CollectionRPC) throws {
        for other in CollectionRPC.allCases {
            expectSound(rpc, try other.sample.serializedBytes())
        }
    }

    @Test func groupsThatNestWithoutEndAreRefused() {
        // Each opens a group of field 1 in a group.
        let bytes = [UInt8](repeating: 0x0B, count: 1_000_000)
        #expect(CollectionRPC.setFetch.refusal(bytes) == .noMessage)
    }

    @Test func aLengthBeyondTheMessageIsRefused() {
        #expect(CollectionRPC.setFetch.refusal([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07]) == .noMessage)
        let huge = [UInt8](repeating: 0xFF, count: 9) + [0x01]
        #expect(CollectionRPC.setFetch.refusal([0x0A] + huge) == .noMessage)
    }

    @Test func aNameThatIsNotUTF8IsRefusedWhereItIsText() throws {
        #expect(CollectionRPC.leaderboardLength.refusal([0x12, 0x02, 0xC3, 0x28]) == .noMessage)
        #expect(try CollectionRPC.setFetch.decode([0x0A, 0x02, 0xC3, 0x28]).key == Data([0xC3, 0x28]))
    }
}
