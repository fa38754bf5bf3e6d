import Foundation
import Tenancy

/// One page of a list, asked for.
package struct PageRequest: Equatable, Sendable {
    package static let defaultLimit = 100
    package static let maximumLimit = 1000

    package let limit: Int
    package let nextToken: String?

    /// - Parameters:
    ///   - limit: How many items at most: 1 to 1000, or nil for 100.
    ///   - nextToken: Where to go on: the ``Page/nextToken`` of the page before, or nil for the first.
    package init(limit: Int? = nil, nextToken: String? = nil) throws(MartletError) {
        let limit = limit ?? Self.defaultLimit
        guard (1...Self.maximumLimit).contains(limit) else {
            throw .invalidArgument(field: "limit", reason: "must be from 1 to \(Self.maximumLimit)")
        }
        self.limit = limit
        self.nextToken = nextToken
    }
}

/// One page of a list.
///
/// Pages follow a key (the name, or the order of making), not a count: an item that is there from the first page to the
/// last is listed exactly once, whatever is added or removed meanwhile.
package struct Page<Item: Sendable>: Sendable {
    package let items: [Item]
    /// Where the next page begins; nil after the last item.
    package let nextToken: String?

    package init(items: [Item], nextToken: String?) {
        self.items = items
        self.nextToken = nextToken
    }

    /// Makes a page of one item more than was asked for, which tells whether another page follows.
    init(fetched items: [Item], request: PageRequest, cursor: (Item) -> PageCursor) {
        guard items.count > request.limit, let last = items.prefix(request.limit).last else {
            self.init(items: items, nextToken: nil)
            return
        }
        self.init(items: Array(items.prefix(request.limit)), nextToken: cursor(last).token)
    }
}

/// The place in a list after which a page begins. Its text is opaque to callers: base64url of the list's letter and the
/// key of the last item. It grants nothing: the tenant whose list is read never comes from it.
struct PageCursor: Equatable {
    /// The raw value is the ASCII letter that begins the text.
    enum List: UInt8 {
        case tenants = 0x74
        case plans = 0x70
        case caches = 0x63
        case keys = 0x6B
        case audit = 0x61
        case signingKeys = 0x73
    }

    let list: List
    let key: String

    var token: String {
        Data([list.rawValue] + key.utf8).base64EncodedString()
            .replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    init(list: List, key: String) {
        self.list = list
        self.key = key
    }

    init(list: List, key: Int64) {
        self.init(list: list, key: String(key))
    }

    /// - Throws: ``MartletError/invalidArgument(field:reason:)`` for a text that no page of this list gave.
    init(token: String, list: List) throws(MartletError) {
        let malformed = MartletError.invalidArgument(field: "next_token", reason: "is not one that this list has given")
        guard token.utf8.count <= 512, !token.contains("=") else { throw malformed }
        var base64 = token.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        base64 += String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4)
        guard let bytes = Data(base64Encoded: base64), bytes.first == list.rawValue,
            let key = String(validating: bytes.dropFirst(), as: UTF8.self), key.isWhole
        else { throw malformed }
        self.init(list: list, key: key)
        // One place has one text.
        guard self.token == token else { throw malformed }
    }
}

extension PageRequest {
    /// The key after which the page begins; empty for the first page of a list by name.
    func nameKey(_ list: PageCursor.List) throws(MartletError) -> String {
        guard let nextToken else { return "" }
        return try PageCursor(token: nextToken, list: list).key
    }

    /// The same for a list by number; `first` for the first page.
    func numberKey(_ list: PageCursor.List, first: Int64) throws(MartletError) -> Int64 {
        guard let nextToken else { return first }
        guard let number = Int64(try PageCursor(token: nextToken, list: list).key) else {
            throw .invalidArgument(field: "next_token", reason: "is not one that this list has given")
        }
        return number
    }
}
