import NIOCore
import NIOEmbedded

@testable import Gateway

/// Whatever bytes can follow each other on a connection of either HTTP version, in front of a whole service.
///
/// The first byte says in how large pieces the rest arrives, and whether the client's preface stands before it; `@KEY@`
/// in the input stands for a credential that is good. Besides not trapping, a connection that is gone leaves nothing
/// behind: no exchange, no reserved byte, no backlog.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzHTTP2(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let service = FuzzService.shared
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard let control = input.first else { return 0 }
    var bytes = control & 0x80 == 0 ? Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) : []
    bytes += service.withCredentials(input.dropFirst())
    let piece = control & 0x7F == 0 ? bytes.count : Int(control & 0x7F)

    let channel = EmbeddedChannel(loop: service.loop)
    do {
        let address = try SocketAddress(ipAddress: "203.0.113.7", port: 4000)
        channel.remoteAddress = address
        try channel.pipeline.syncOperations.addHandler(ProtocolDetector(lane: service.lane))
        channel.connect(to: address, promise: nil)
    } catch {
        preconditionFailure("the channel could not be made: \(error)")
    }
    var position = 0
    while position < bytes.count, channel.isActive {
        let next = min(position + piece, bytes.count)
        channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes[position..<next]))
        channel.pipeline.fireChannelReadComplete()
        service.loop.run()
        while (try? channel.readOutbound(as: ByteBuffer.self)) != nil {}
        position = next
    }
    channel.close(promise: nil)
    service.loop.run()
    precondition(service.lane.connections.isEmpty)
    precondition(service.lane.backlogBytes == 0)
    precondition(service.bytesInFlight == 0)
    return 0
}
