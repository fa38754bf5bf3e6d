import Catalog
import Tenancy

/// The parameters of a control-plane request's query. Unknown ones are ignored; one that is read may stand once.
struct AdminQuery {
    private let parameters: [(name: String, value: String)]

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for a `token`: the credential of an operator has no place
    ///   in a URL, which proxies, browsers and shells write down.
    init(_ parameters: [(name: String, value: String)]) throws(MartletError) {
        guard !parameters.contains(where: { $0.name == "token" }) else {
            throw .invalidArgument(
                field: "token", reason: "is not accepted here: send the credential in the Authorization header")
        }
        self.parameters = parameters
    }

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when it stands more than once.
    func text(_ name: String) throws(MartletError) -> String? {
        var found: String?
        for parameter in parameters where parameter.name == name {
            guard found == nil else {
                throw .invalidArgument(field: name, reason: "must stand once")
            }
            found = parameter.value
        }
        return found
    }

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` when it is not a whole number up to `maximum`, in decimal
    ///   digits.
    func whole(_ name: String, maximum: Int64 = .max) throws(MartletError) -> Int64? {
        guard let text = try text(name) else { return nil }
        let isDigits = !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isDigits, let number = Int64(text), number <= maximum else {
            throw .invalidArgument(
                field: name, reason: "must be a whole number" + (maximum == .max ? "" : " of at most \(maximum)"))
        }
        return number
    }

    /// `limit` and `next_token`.
    func page() throws(MartletError) -> PageRequest {
        try PageRequest(limit: try whole("limit").map { Int(clamping: $0) }, nextToken: try text("next_token"))
    }
}
