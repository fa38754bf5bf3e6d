import Foundation
import NIOCore
import SwiftProtobuf
import Tenancy
import Wire

/// Server reflection: tells tools such as grpcurl which services there are, message by message as they ask. Needs no
/// credential; what it tells stands in `api/proto`.
final class Reflection: HTTPDoor, LaneStream {
    var streamSlot = -1
    var isTouched = false
    var isReaderBack = false
    private let lane: GatewayLane
    private let ticket: ExchangeTicket
    /// On the lane's ``GatewayLane/uptimeMilliseconds``: when the stream ends, asked or not.
    private let deadline: Int64
    private var reader = GRPCFrameReader(limit: GRPCDoor.smallMessageBytes)
    private let encoding: GRPCEncoding
    private var isInputEnded = false

    /// Nobody has to be known to ask, so nobody stays for long.
    private static let longestMilliseconds: Int64 = 60_000

    private init(_ exchange: Exchange) {
        lane = exchange.lane
        ticket = ExchangeTicket(exchange)
        let end = exchange.lane.uptimeMilliseconds + Self.longestMilliseconds
        deadline = min(end, exchange.grpc.deadline ?? end)
        encoding = exchange.grpc.encoding
    }

    static func begin(_ exchange: Exchange) {
        guard exchange.grpc.form == .plain else {
            exchange.respondGRPC(error: .unimplemented("reflection over gRPC-web"))
            return
        }
        let reflection = Reflection(exchange)
        exchange.door = reflection
        exchange.lane.add(reflection)
        exchange.beginGRPCStream()
        exchange.streamBody()
    }

    func receiveHead(_ exchange: Exchange) {}

    func receiveBody(_ exchange: Exchange, _ bytes: UnsafeRawBufferPointer) {
        guard !exchange.isResponseEnded else { return }
        reader.append(bytes)
        answer(exchange)
    }

    private func answer(_ exchange: Exchange) {
        do throws(MartletError) {
            while !exchange.isResponseEnded {
                guard exchange.isReady else {
                    // The stream's window shuts meanwhile: no more than it comes in.
                    exchange.bodyMode = .held
                    return
                }
                guard let (bytes, isCompressed) = try reader.next() else { break }
                let request = try read(bytes, isCompressed)
                var frame = ByteBuffer()
                frame.writeGRPCFrame(try Self.response(to: request).written())
                exchange.writeGRPC(frames: frame)
            }
            if isInputEnded {
                finish(exchange, reader.isMidFrame ? .malformed("the last message is not complete") : nil)
            }
        } catch {
            finish(exchange, error)
        }
    }

    private func finish(_ exchange: Exchange, _ error: MartletError?) {
        if streamSlot >= 0 { lane.remove(self) }
        exchange.finishGRPC(error)
    }

    // MARK: LaneStream

    func tick(now: Timestamp) {
        guard lane.uptimeMilliseconds >= deadline, let exchange = ticket.live else { return }
        finish(exchange, .deadlineExceeded)
    }

    func flushTouched() {}
    func readerIsBack() {}

    func drain() {
        guard let exchange = ticket.live else { return }
        finish(exchange, .unavailable("the server is being stopped"))
    }

    func abandon(_ exchange: Exchange) {
        if streamSlot >= 0 { lane.remove(self) }
    }

    private func read(
        _ bytes: [UInt8], _ isCompressed: Bool
    ) throws(MartletError) -> Reflection_ServerReflectionRequest {
        try bytes.withUnsafeBufferPointer { bytes throws(MartletError) in
            try encoding.withPlain(
                UnsafeRawBufferPointer(bytes), isCompressed: isCompressed, limit: GRPCDoor.smallMessageBytes
            ) { message throws(MartletError) in try Reflection_ServerReflectionRequest(reading: message) }
        }
    }

    func receiveEnd(_ exchange: Exchange) {
        // Messages may still wait here for the reader of their answers.
        isInputEnded = true
        answer(exchange)
    }

    func responseDrained(_ exchange: Exchange) {
        answer(exchange)
        // What is held of the body comes after what was read of it.
        if !exchange.isResponseEnded, exchange.isReady { exchange.streamBody() }
    }

    static func response(
        to request: Reflection_ServerReflectionRequest
    ) -> Reflection_ServerReflectionResponse {
        let descriptors = ServiceDescriptors.shared
        var response = Reflection_ServerReflectionResponse()
        response.validHost = request.host
        response.originalRequest = request
        switch request.messageRequest {
        case .listServices:
            response.listServicesResponse.service = descriptors.services.sorted().map { name in
                .with { $0.name = name }
            }
        case .fileByFilename(let name):
            response.messageResponse = answer(descriptors.files(from: name), "there is no such file")
        case .fileContainingSymbol(let symbol):
            response.messageResponse = answer(
                descriptors.fileDeclaring(symbol).map { descriptors.files(from: $0) } ?? [], "there is no such symbol")
        case .allExtensionNumbersOfType(let type) where descriptors.fileDeclaring(type) != nil:
            response.allExtensionNumbersResponse.baseTypeName = type
        case .fileContainingExtension, .allExtensionNumbersOfType:
            response.messageResponse = answer([], "there are no extensions")
        case nil:
            response.errorResponse = .with {
                $0.errorCode = 3  // INVALID_ARGUMENT
                $0.errorMessage = "message_request must be set"
            }
        }
        return response
    }

    private static func answer(
        _ files: [Data], _ otherwise: String
    ) -> Reflection_ServerReflectionResponse.OneOf_MessageResponse {
        guard !files.isEmpty else {
            return .errorResponse(
                .with {
                    $0.errorCode = 5  // NOT_FOUND
                    $0.errorMessage = otherwise
                })
        }
        return .fileDescriptorResponse(.with { $0.fileDescriptorProto = files })
    }
}

/// What `api/proto` declares, in the form in which reflection hands it out.
struct ServiceDescriptors: Sendable {
    /// Full names.
    let services: Set<String>
    private let files: [String: (bytes: Data, imports: [String])]
    /// The file that declares a service, method, message, field or enumeration, by its full name.
    private let declaring: [String: String]

    static let shared = ServiceDescriptors()

    private init() {
        var services: Set<String> = []
        var files: [String: (bytes: Data, imports: [String])] = [:]
        var declaring: [String: String] = [:]
        // Generated with the messages, and tested.
        let set =
            (try? Google_Protobuf_FileDescriptorSet(serializedBytes: WireDescriptors.fileDescriptorSet))
            ?? Google_Protobuf_FileDescriptorSet()
        for file in set.file {
            files[file.name] = ((try? file.serializedData()) ?? Data(), file.dependency)
            for service in file.service {
                let name = "\(file.package).\(service.name)"
                services.insert(name)
                declaring[name] = file.name
                for method in service.method { declaring["\(name).\(method.name)"] = file.name }
            }
            func declare(_ message: Google_Protobuf_DescriptorProto, in scope: String) {
                let name = "\(scope).\(message.name)"
                declaring[name] = file.name
                for field in message.field { declaring["\(name).\(field.name)"] = file.name }
                for type in message.enumType { declaring["\(name).\(type.name)"] = file.name }
                for nested in message.nestedType { declare(nested, in: name) }
            }
            for message in file.messageType { declare(message, in: file.package) }
            for type in file.enumType { declaring["\(file.package).\(type.name)"] = file.name }
        }
        self.services = services
        self.files = files
        self.declaring = declaring
    }

    func fileDeclaring(_ symbol: String) -> String? { declaring[symbol] }

    /// A file and all that it imports; none for a name that there is not.
    func files(from name: String) -> [Data] {
        var found: [Data] = []
        var seen: Set<String> = []
        var waiting = [name]
        while let name = waiting.popLast() {
            guard seen.insert(name).inserted, let file = files[name] else { continue }
            found.append(file.bytes)
            waiting += file.imports
        }
        return found
    }
}
