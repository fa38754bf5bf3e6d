/// How long a refused caller is told to wait: rounded up to one of ten steps in each power of ten, at most a third over.
///
/// So the same refusals come again and again under load, and what is rendered for one serves the next.
enum RetryDelay {
    private static let steps: [UInt64] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80]

    /// - Parameter milliseconds: Those up to 10 stay as they are.
    static func rounded(_ milliseconds: UInt64) -> UInt64 {
        if milliseconds <= 10 { return milliseconds }
        var scale: UInt64 = 1
        // Until two digits and the scale say it all.
        while milliseconds > scale &* 80, scale < 1_000_000_000_000_000 { scale &*= 10 }
        if scale > 1, milliseconds <= scale &* 10 { return scale &* 10 }
        for step in steps where milliseconds <= step &* scale { return step &* scale }
        return milliseconds
    }
}
