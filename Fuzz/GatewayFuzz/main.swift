import Tenancy

@testable import Gateway

/// Whatever a socket can carry as a request target or as a conditional field of the REST door.
///
/// Besides not trapping: a target of the door has a key or a fault; a list of entity tags that was accepted is told
/// apart from none; what the head keeps stays within its limit.
@_cdecl("LLVMFuzzerTestOneInput")
package func fuzzGateway(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)

    let head = RequestHead()
    head.setPath(input, limit: 32_768)
    precondition(head.size == count)
    if !head.isTooLarge {
        var request = RESTRequest()
        if request.parse(head) {
            precondition(request.key != nil || request.fault != nil)
            precondition(request.key?.isEmpty != true)
            _ = try? request.ttl(in: head)
            _ = try? request.amount(in: head)
        }
    }

    // The same bytes as lines of fields, a name and a value each.
    let fields = RequestHead()
    for line in input.split(separator: 0x0A) {
        let parts = line.split(separator: 0x3A, maxSplits: 1)
        let value =
            parts.count > 1 ? UnsafeRawBufferPointer(rebasing: parts[1]) : UnsafeRawBufferPointer(start: nil, count: 0)
        if let name = parts.first {
            fields.add(name: UnsafeRawBufferPointer(rebasing: name), value: value, limit: 4096)
        }
    }
    precondition(fields.arena.count <= 4096)
    for field in RequestHead.Known.allCases {
        precondition(fields.has(field) == (fields.range(field) != nil))
    }
    for field in fields.fields {
        _ = fields.withArena { HTTPMethod($0.slice(field.value.range)) }
    }
    _ = try? EntityTags(input, field: "if-match")
    _ = try? EntityTags(.ifMatch, of: fields)
    _ = try? EntityTags(.ifNoneMatch, of: fields)
    _ = MartletError.invalidArgument(field: String(decoding: input.prefix(256), as: UTF8.self), reason: "").json
    return 0
}
