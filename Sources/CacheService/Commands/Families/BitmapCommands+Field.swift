import Admission
import Engine
import Tenancy

/// BITFIELD.
extension BitmapCommands {
    static func field(_ call: CommandCall) throws(MartletError) { try field(call, isReadOnly: false) }

    static func fieldReadOnly(_ call: CommandCall) throws(MartletError) { try field(call, isReadOnly: true) }

    private static func field(_ call: CommandCall, isReadOnly: Bool) throws(MartletError) {
        let key = call.arguments[1]
        let steps = try FieldStep.parse(call)
        var highest: Int?
        for step in steps {
            if case .get = step.change { continue }
            highest = max(highest ?? 0, step.offset + step.type.width - 1)
        }
        guard let highest else {
            let held = try call.withString(key) { (bytes) throws(MartletError) -> Int? in
                call.reply.array(steps.count)
                let empty = UnsafeRawBufferPointer(start: nil, count: 0)
                for step in steps { call.reply.integer(step.type.read(bytes ?? empty, at: step.offset)) }
                return bytes.map { _ in steps.count * 8 }
            }
            return call.countRead(key: key, valueBytes: held)
        }
        guard !isReadOnly else { throw .command("ERR BITFIELD_RO only supports the GET subcommand") }
        try call.sizes.checkKey(byteCount: key.count)
        let (length, limit) = (highest / 8 + 1, call.valueLimit(key))
        try call.changeString(key, growth: min(length, limit)) { (bytes, _) throws(MartletError) in
            guard length <= limit else { throw .tooLarge(limit: .maxItemBytes, value: UInt64(call.sizes.itemBytes)) }
            bytes.extend(to: length)
            call.reply.array(steps.count)
            for step in steps {
                if let answer = step.perform(&bytes) { call.reply.integer(answer) } else { call.reply.null() }
            }
            return true
        }
        call.countWrite(key: key, valueBytes: steps.count * 8)
    }
}

/// A type of integer in a bit field.
private struct FieldType {
    let isSigned: Bool
    /// 1 to 64, or to 63 without a sign.
    let width: Int

    /// - Parameter text: Such as `u8` or `i64`.
    init(_ text: UnsafeRawBufferPointer) throws(MartletError) {
        let invalid = MartletError.command(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")
        guard let sign = text.first, sign == UInt8(ascii: "i") || sign == UInt8(ascii: "u") else { throw invalid }
        isSigned = sign == UInt8(ascii: "i")
        guard let width = DecimalText.integer(UnsafeRawBufferPointer(rebasing: text[1...])), width >= 1,
            width <= (isSigned ? 64 : 63)
        else { throw invalid }
        self.width = Int(width)
    }

    private var mask: UInt64 { width == 64 ? .max : 1 &<< UInt64(width) &- 1 }
    private var maximum: Int64 { Int64(bitPattern: isSigned ? mask &>> 1 : mask) }
    private var minimum: Int64 { isSigned ? -maximum - 1 : 0 }

    func read(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int64 {
        wrap(BitString.read(bytes, at: offset, width: width))
    }

    func write(_ value: Int64, _ bytes: inout [UInt8], at offset: Int) {
        BitString.write(UInt64(bitPattern: value), &bytes, at: offset, width: width)
    }

    /// The number that the lowest bits say.
    private func wrap(_ bits: UInt64) -> Int64 {
        let kept = bits & mask
        let isNegative = isSigned && kept &>> UInt64(width - 1) & 1 != 0
        return Int64(bitPattern: isNegative ? kept | ~mask : kept)
    }

    /// A sum as the type holds it; nil where it does not and the rule is to fail.
    func sum(_ value: Int64, _ amount: Int64, _ rule: OverflowRule) -> Int64? {
        let isAbove = isAbove(value, amount)
        guard isAbove || isBelow(value, amount) else { return value &+ amount }
        switch rule {
        case .wrap: return wrap(UInt64(bitPattern: value &+ amount))
        case .saturate: return isAbove ? maximum : minimum
        case .fail: return nil
        }
    }

    // A number to be set may lie far outside of the type: what is left to its ends then wraps around, and the answer is
    // Redis's all the same, which saturates -2^63 in 63 bits to the greatest number.
    private func isAbove(_ value: Int64, _ amount: Int64) -> Bool {
        // A negative one counts as very great where there are only others.
        guard isSigned else { return value < 0 || value > maximum || amount > 0 && amount > maximum - value }
        let left = maximum &- value
        return value > maximum || width != 64 && amount > left || value >= 0 && amount > 0 && amount > left
    }

    private func isBelow(_ value: Int64, _ amount: Int64) -> Bool {
        guard isSigned else { return amount < 0 && amount < -value }
        let left = minimum &- value
        return value < minimum || width != 64 && amount < left || value < 0 && amount < 0 && amount < left
    }
}

private enum OverflowRule {
    case wrap, saturate, fail
}

/// One of the things that a BITFIELD does.
private struct FieldStep {
    enum Change {
        case get
        case set(Int64)
        case add(Int64)
    }

    let type: FieldType
    let offset: Int
    let change: Change
    let rule: OverflowRule

    /// What it answers; nil where it fails.
    func perform(_ bytes: inout [UInt8]) -> Int64? {
        let old = bytes.withUnsafeBytes { type.read($0, at: offset) }
        switch change {
        case .get: return old
        case .set(let value):
            guard let new = type.sum(value, 0, rule) else { return nil }
            type.write(new, &bytes, at: offset)
            return old
        case .add(let amount):
            guard let new = type.sum(old, amount, rule) else { return nil }
            type.write(new, &bytes, at: offset)
            return new
        }
    }

    static func parse(_ call: CommandCall) throws(MartletError) -> [FieldStep] {
        let arguments = call.arguments
        var steps: [FieldStep] = []
        var rule = OverflowRule.wrap
        var index = 2
        while index < arguments.count {
            let left = arguments.count - index - 1
            let isGet = arguments.isWord(index, "GET") && left >= 2
            let isSet = arguments.isWord(index, "SET") && left >= 3
            if !isGet, !isSet, arguments.isWord(index, "OVERFLOW"), left >= 1 {
                rule = try overflowRule(arguments, index + 1)
                index += 2
                continue
            }
            guard isGet || isSet || arguments.isWord(index, "INCRBY") && left >= 3 else { throw .syntax }
            let type = try FieldType(arguments[index + 1])
            let offset = try offset(call, index + 2, width: type.width)
            var change = Change.get
            if !isGet {
                let amount = try call.integer(index + 3)
                change = isSet ? .set(amount) : .add(amount)
            }
            steps.append(FieldStep(type: type, offset: offset, change: change, rule: rule))
            index += isGet ? 3 : 4
        }
        return steps
    }

    private static func overflowRule(_ arguments: Arguments, _ index: Int) throws(MartletError) -> OverflowRule {
        if arguments.isWord(index, "WRAP") { return .wrap }
        if arguments.isWord(index, "SAT") { return .saturate }
        guard arguments.isWord(index, "FAIL") else { throw .command("ERR Invalid OVERFLOW type specified") }
        return .fail
    }

    /// An offset in bits, or behind `#` in widths of the type.
    private static func offset(_ call: CommandCall, _ index: Int, width: Int) throws(MartletError) -> Int {
        let text = call.arguments[index]
        guard text.first == UInt8(ascii: "#") else { return try BitmapCommands.offset(call, index) }
        guard let number = DecimalText.integer(UnsafeRawBufferPointer(rebasing: text[1...])) else {
            throw BitmapCommands.invalidOffset
        }
        // It wraps around, as in Redis.
        let offset = number &* Int64(width)
        guard offset >= 0, offset / 8 < BitmapCommands.mostBytes else { throw BitmapCommands.invalidOffset }
        return Int(offset)
    }
}
