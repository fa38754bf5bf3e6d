import NIOCore
import Tenancy

@testable import Gateway

/// Whatever a client can send as messages of gRPC and gRPC-web, and as the fields and metadata around them.
///
/// The first byte chooses what reads the rest and the limit, the second where it is cut. Besides not trapping: bytes in
/// pieces read as bytes in one; what is handed out keeps to its limit; what one side writes the other reads.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzGRPC(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    guard count >= 2 else { return 0 }
    let limit = [0, 1, 200, 5000, 100_000][Int(input[0] >> 3) % 5]
    let size = Int(input[1]) % 67 + 1
    let bytes = input.slice(2..<count)
    switch input[0] & 7 {
    case 0: fuzzFrames(bytes, limit, size)
    case 1: fuzzGzip(bytes, limit)
    case 2: fuzzWebText(bytes, size)
    case 3: fuzzFields(bytes)
    default: fuzzFaults(bytes)
    }
    return 0
}

private func fuzzFrames(_ bytes: UnsafeRawBufferPointer, _ limit: Int, _ size: Int) {
    let whole = messages(of: bytes, limit, bytes.count + 1)
    precondition(whole == messages(of: bytes, limit, size))
    if let body = try? GRPCFrame.single(bytes) {
        precondition(body.message == GRPCFrame.headBytes..<bytes.count)
        let expected = "\(body.isCompressed) \(Array(bytes[body.message]))"
        precondition(body.message.count > limit || whole == [expected])
    } else {
        precondition(whole.count != 1 || whole[0].hasPrefix("fault") || whole[0] == "rest")
    }
}

/// The messages, then the fault or what is left, as texts.
private func messages(of bytes: UnsafeRawBufferPointer, _ limit: Int, _ size: Int) -> [String] {
    var reader = GRPCFrameReader(limit: limit)
    var seen: [String] = []
    for place in stride(from: 0, to: bytes.count, by: size) {
        reader.append(bytes.slice(place..<min(bytes.count, place + size)))
        do {
            while let message = try reader.next() {
                precondition(message.bytes.count <= limit)
                seen.append("\(message.isCompressed) \(message.bytes)")
            }
        } catch {
            precondition(reader.bufferedBytes == 0 && !reader.isMidFrame)
            return seen + ["fault \(error)"]
        }
        precondition(reader.bufferedBytes <= 4 * (limit + size + 64))
    }
    return reader.isMidFrame ? seen + ["rest"] : seen
}

private func fuzzGzip(_ bytes: UnsafeRawBufferPointer, _ limit: Int) {
    guard let plain = try? Gzip.inflate(bytes, limit: limit) else { return }
    precondition(plain.count <= limit && plain.capacity <= limit + 4096)
    // What fits fits into more too, and no less would do.
    precondition((try? Gzip.inflate(bytes, limit: limit + 1)) == plain)
    if !plain.isEmpty { precondition((try? Gzip.inflate(bytes, limit: plain.count - 1)) == nil) }
}

private func fuzzWebText(_ bytes: UnsafeRawBufferPointer, _ size: Int) {
    let whole = decoded(bytes, bytes.count + 1)
    precondition(whole == decoded(bytes, size))
    var text = ByteBuffer()
    for place in stride(from: 0, to: bytes.count, by: size) {
        GRPCWebText.encode(bytes.slice(place..<min(bytes.count, place + size)), into: &text)
    }
    precondition(text.withUnsafeReadableBytes { decoded($0, size) } == Array(bytes))

    var trailers = ByteBuffer()
    GRPCWebTrailers.write([("grpc-message", String(decoding: bytes, as: UTF8.self))], to: &trailers)
    let written = trailers.readableBytesView
    precondition(written.dropFirst(5).dropLast(2).allSatisfy { $0 != 0x0D && $0 != 0x0A })
}

private func decoded(_ bytes: UnsafeRawBufferPointer, _ size: Int) -> [UInt8]? {
    var decoder = GRPCWebTextDecoder()
    var buffer = ByteBuffer()
    for place in stride(from: 0, to: bytes.count, by: size) {
        guard (try? decoder.decode(bytes.slice(place..<min(bytes.count, place + size)), into: &buffer)) != nil else {
            return nil
        }
    }
    return (try? decoder.finish()) == nil ? nil : Array(buffer.readableBytesView)
}

private func fuzzFields(_ bytes: UnsafeRawBufferPointer) {
    if let timeout = GRPCTimeout.milliseconds(bytes) {
        precondition(timeout >= 0 && timeout <= GRPCTimeout.ceilingMilliseconds && bytes.count <= 9)
    }
    let text = GRPCStatusText.percentEncode(String(decoding: bytes, as: UTF8.self))
    precondition(text.utf8.allSatisfy { $0 >= 0x20 && $0 <= 0x7E })
    for field in GRPCWebCORS.preflight(requested: bytes) {
        precondition(field.value.utf8.count <= 1024)
        precondition(field.value.utf8.allSatisfy { ($0 >= 0x20 && $0 <= 0x7E) || $0 == 0x09 })
    }
    _ = EmulatorCredential.isAdmitted(origin: bytes, host: nil)
    if EmulatorCredential.isAdmitted(origin: nil, host: bytes) {
        let host = String(decoding: bytes, as: UTF8.self).lowercased()
        precondition(["localhost", "127.", "[::1]"].contains { host.hasPrefix($0) } && bytes.count <= 21)
    }
}

/// Lines of metadata, a key and a value each.
private func fuzzFaults(_ bytes: UnsafeRawBufferPointer) {
    var order = FaultOrder()
    for line in bytes.split(separator: 0x0A) {
        let parts = line.split(separator: 0x3A, maxSplits: 1)
        guard let key = parts.first else { continue }
        let value = parts.count > 1 ? parts[1] : key.prefix(0)
        try? order.take(UnsafeRawBufferPointer(rebasing: key), UnsafeRawBufferPointer(rebasing: value))
    }
    let faults = FaultInjection(capacity: 1)
    for _ in 0..<3 {
        if let fault = faults.fault(of: "get", order) {
            precondition(fault.delayMilliseconds >= 0 && fault.delayMilliseconds <= 3_600_000)
        }
        if let fault = faults.streamFault(of: "topic-subscribe", order) { precondition(fault.messageLimit >= 0) }
    }
    precondition(faults.count <= 1)
}
