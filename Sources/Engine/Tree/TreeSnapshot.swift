/// A tree as it was at one moment. Any thread reads it without a lock while the tree goes on changing: the pages that it
/// refers to are copied before they are changed.
///
/// Bytes that its readers hand out are valid as long as the snapshot lives. Its end hands what it alone refers to over
/// to be freed in the background.
final class TreeSnapshot: Sendable {
    let handle: TreeHandle
    let order: TreeOrder
    private let source: PageSource

    /// Takes over the caller's reference to the root.
    init(_ handle: TreeHandle, order: TreeOrder, source: PageSource) {
        self.handle = handle
        self.order = order
        self.source = source
    }

    deinit { if handle.root != 0 { source.burySnapshot(handle) } }

    var count: Int { handle.count }
}
