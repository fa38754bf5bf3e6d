import Tenancy

/// What a command does with each of very many arguments, some hundred in a turn.
final class ArgumentPieces: CommandWork {
    /// As many as this are done at once: a quarter of a millisecond's work.
    static let atOnce = 512

    typealias Step = (CommandCall, Int) throws(MartletError) -> Void
    typealias End = (CommandCall) throws(MartletError) -> Void

    private var next: Int
    private let stride: Int
    private let body: Step
    private let end: End

    init(from first: Int, step stride: Int, _ body: @escaping Step, end: @escaping End) {
        next = first
        self.stride = stride
        self.body = body
        self.end = end
    }

    func step(_ call: CommandCall) throws(MartletError) -> Bool {
        var left = Self.atOnce
        while next < call.count, left > 0 {
            try body(call, next)
            next += stride
            left -= 1
        }
        guard next >= call.count else { return false }
        try end(call)
        return true
    }
}

extension CommandCall {
    /// Answers how many of the arguments from the first on something holds of, where that takes about half a microsecond
    /// each. Many of them are gone through in turns: others may see some of it done.
    func countArguments(
        _ body: @escaping (CommandCall, UnsafeRawBufferPointer) throws(MartletError) -> Bool
    ) throws(MartletError) {
        var number = 0
        guard count > ArgumentPieces.atOnce + 1 else {
            for index in 1..<count where try body(self, arguments[index]) { number += 1 }
            return reply.integer(number)
        }
        let work = ArgumentPieces(from: 1, step: 1) { (call, index) throws(MartletError) in
            if try body(call, call.arguments[index]) { number += 1 }
        } end: { call in
            call.reply.integer(number)
        }
        try goOn(with: work)
    }
}
