import Access
import Tenancy
import Topics

/// What a client may say in a text frame: one JSON object with one member.
enum ClientFrame {
    case publish(Publish)
    case subscribe(id: String, cache: String, topic: String, position: TopicPosition)
    case unsubscribe(id: String)
    case authenticate(token: String)

    struct Publish {
        var id: String?
        var cache: String?
        var topic: String?
        var kind: TopicValueKind
        var bytes: [UInt8]
    }

    /// The longest id of a subscription, in characters of Unicode.
    static let mostIDCharacters = 128

    /// - Parameter namesTopics: The socket carries many topics, so frames say which, and have ids.
    /// - Throws: ``MartletError/malformed(_:)`` for what is not such an object,
    ///   ``MartletError/invalidArgument(field:reason:)`` for a field that is unknown, missing or of another type.
    init(_ text: UnsafeRawBufferPointer, namesTopics: Bool) throws(MartletError) {
        let value = try JSONParser.parse(Array(text), ceiling: text.count)
        guard let members = value.object, members.count == 1 else {
            throw .malformed("a frame is a JSON object with one member, which says what to do")
        }
        let body = try Fields(members[0])
        switch members[0].name {
        case "publish":
            self = .publish(try Self.publish(body, namesTopics: namesTopics))
        case "auth":
            try body.allow("token")
            self = .authenticate(token: try body.text("token"))
        case "subscribe" where namesTopics:
            try body.allow("id", "cache", "topic", "sequence_number", "sequence_page")
            self = .subscribe(
                id: try body.identifier(), cache: try body.text("cache"), topic: try body.text("topic"),
                position: TopicPosition(
                    sequence: try body.number("sequence_number"), page: try body.number("sequence_page")))
        case "unsubscribe" where namesTopics:
            try body.allow("id")
            self = .unsubscribe(id: try body.identifier())
        default:
            throw .invalidArgument(field: Fields.quotable(members[0].name), reason: "is nothing that can be done here")
        }
    }

    private static func publish(_ body: Fields, namesTopics: Bool) throws(MartletError) -> Publish {
        if namesTopics {
            try body.allow("id", "cache", "topic", "text", "binary")
        } else {
            try body.allow("text", "binary")
        }
        let kind: TopicValueKind
        let bytes: [UInt8]
        switch (try body.optionalText("text"), try body.optionalText("binary")) {
        case (let text?, nil):
            kind = .text
            bytes = Array(text.utf8)
        case (nil, let base64?):
            guard let decoded = Base64.decode(base64.utf8, .either) else {
                throw .invalidArgument(field: "binary", reason: "is not base64")
            }
            kind = .binary
            bytes = decoded
        default:
            throw .invalidArgument(field: "text", reason: "is required, or binary instead of it")
        }
        return Publish(
            id: try body.optionalIdentifier(), cache: try body.optionalText("cache"),
            topic: try body.optionalText("topic"), kind: kind, bytes: bytes)
    }
}

/// The members of the object that a frame's only member holds.
private struct Fields {
    private let members: [JSONValue.Member]

    init(_ member: JSONValue.Member) throws(MartletError) {
        guard let members = member.value.object else {
            throw .invalidArgument(field: Self.quotable(member.name), reason: "must be an object")
        }
        self.members = members
    }

    /// A name that a client sent, short enough to be given back.
    static func quotable(_ name: String) -> String {
        String(String.UnicodeScalarView(name.unicodeScalars.prefix(64)))
    }

    func allow(_ names: String...) throws(MartletError) {
        for member in members where !names.contains(where: { $0.utf8.elementsEqual(member.name.utf8) }) {
            throw .invalidArgument(field: Self.quotable(member.name), reason: "is not a known field")
        }
    }

    private func value(_ name: String) -> JSONValue? {
        members.first { $0.name == name }?.value
    }

    func optionalText(_ name: String) throws(MartletError) -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else {
            throw .invalidArgument(field: name, reason: "must be a string")
        }
        return text
    }

    func text(_ name: String) throws(MartletError) -> String {
        guard let text = try optionalText(name) else { throw .invalidArgument(field: name, reason: "is required") }
        return text
    }

    func optionalIdentifier() throws(MartletError) -> String? {
        guard let id = try optionalText("id") else { return nil }
        guard (1...ClientFrame.mostIDCharacters).contains(id.unicodeScalars.count) else {
            throw .invalidArgument(
                field: "id", reason: "must have 1 to \(ClientFrame.mostIDCharacters) characters")
        }
        return id
    }

    func identifier() throws(MartletError) -> String {
        guard let id = try optionalIdentifier() else { throw .invalidArgument(field: "id", reason: "is required") }
        return id
    }

    /// A whole number; 0 when it is absent.
    func number(_ name: String) throws(MartletError) -> UInt64 {
        guard let value = value(name) else { return 0 }
        guard let number = value.unsignedInteger else {
            throw .invalidArgument(field: name, reason: "must be a whole number that is not negative")
        }
        return number
    }
}
