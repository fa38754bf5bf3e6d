import Engine
import Tenancy

/// Takes very many members out of a set, a piece under each lock: between two of them others see it partly done.
final class SlicedPop: SlicedWork {
    private let cache: EngineCache
    private let key: [UInt8]
    private var left: Int
    private var members = Elements()

    init(cache: EngineCache, key: UnsafeRawBufferPointer, count: Int) {
        self.cache = cache
        self.key = Array(key)
        left = count
    }

    /// Of so many members, how many are taken at once.
    static func piece(of count: Int, from item: borrowing ItemAccess, holding present: Int) -> Int {
        let memberBytes = max(1, item.elementBytes / max(1, present))
        return max(1, min(count, 500, (256 << 10) / memberBytes))
    }

    func step(now: Timestamp, dice: inout Dice) throws(MartletError) -> CollectionReply? {
        do throws(MartletError) {
            let key = key
            let isOver = try key.span.bytes.withUnsafeBytes { (key) throws(MartletError) in
                try cache.withItem(key, now: now) { (item) throws(MartletError) -> Bool in
                    guard let present = try item.setLength() else { return true }
                    let piece = Self.piece(of: left, from: item, holding: present)
                    left -= try item.setPop(piece, using: &dice) { members.append($0) } ?? piece
                    return left == 0 || piece >= present
                }
            }
            return isOver ? .elements(members) : nil
        } catch {
            // What was taken before is the caller's, whatever stands there now.
            guard !members.isEmpty else { throw error }
            return .elements(members)
        }
    }
}
