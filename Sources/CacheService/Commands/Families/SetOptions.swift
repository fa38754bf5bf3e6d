import Engine
import Tenancy

/// What SET takes behind the value, and GETEX behind the key.
struct SetOptions {
    private(set) var condition = SetCondition.always
    var answersOld = false
    private(set) var keepsTime = false
    /// GETEX: never expires from now on.
    private(set) var persists = false
    private var time: Time?

    private struct Time {
        let index: Int
        let form: Form
    }

    private enum Form {
        case seconds, milliseconds, atSeconds, atMilliseconds
    }

    init(answersOld: Bool) {
        self.answersOld = answersOld
    }

    /// - Throws: ``MartletError/syntax`` for a word that is unknown here, or goes ill with another.
    init(_ call: CommandCall, from first: Int, isSet: Bool) throws(MartletError) {
        let arguments = call.arguments
        var index = first
        while index < arguments.count {
            if isSet, arguments.isWord(index, "NX"), condition != .ifPresent {
                condition = .ifAbsent
            } else if isSet, arguments.isWord(index, "XX"), condition != .ifAbsent {
                condition = .ifPresent
            } else if isSet, arguments.isWord(index, "GET") {
                answersOld = true
            } else if isSet, arguments.isWord(index, "KEEPTTL"), time == nil {
                keepsTime = true
            } else if !isSet, arguments.isWord(index, "PERSIST"), time == nil {
                persists = true
            } else {
                guard let form = Self.form(arguments, index), !keepsTime, !persists, index + 1 < arguments.count,
                    time == nil || time?.form == form
                else { throw .syntax }
                time = Time(index: index + 1, form: form)
                index += 1
            }
            index += 1
        }
    }

    private static func form(_ arguments: Arguments, _ index: Int) -> Form? {
        if arguments.isWord(index, "EX") { return .seconds }
        if arguments.isWord(index, "PX") { return .milliseconds }
        if arguments.isWord(index, "EXAT") { return .atSeconds }
        if arguments.isWord(index, "PXAT") { return .atMilliseconds }
        return nil
    }

    /// The time that was given; nil for none. Throws as ``CommandCall/positiveExpiry(_:_:isAbsolute:command:)``.
    func expiry(_ call: CommandCall, command: String) throws(MartletError) -> Timestamp? {
        guard let time else { return nil }
        return try call.positiveExpiry(
            time.index, time.form == .seconds || time.form == .atSeconds ? .seconds : .milliseconds,
            isAbsolute: time.form == .atSeconds || time.form == .atMilliseconds, command: command)
    }
}
