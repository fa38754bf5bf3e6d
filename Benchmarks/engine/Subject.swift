import Engine
import Tenancy

/// The engine as the measures use it: the few places that change with its interface.
enum Subject {
    /// The time of all that need no clock that runs.
    static let now = Timestamp(milliseconds: 1_700_000_000_000)

    static func engine(memoryBytes: Int, seals: Bool = false) -> EmbeddedEngine {
        let indexKey = SipHashKey(k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908)
        let valueKey = SipHashKey(k0: 0x1716_1514_1312_1110, k1: 0x1f1e_1d1c_1b1a_1918)
        let configuration = EngineConfiguration(
            memoryBytes: memoryBytes, indexKey: indexKey, valueHashKey: valueKey, seals: seals)
        do throws(MartletError) {
            return try EmbeddedEngine(configuration: configuration)
        } catch {
            fail("\(error)")
        }
    }

    /// Background work until none waits. Gives back the CPU time that it took.
    @discardableResult
    static func settle(_ engine: EmbeddedEngine, now: Timestamp = now) -> UInt64 {
        let start = Clock.threadCPU()
        while engine.tick(now: now) {
            guard Clock.threadCPU() - start < 5_000_000_000 else {
                say("EngineBench: ticks still ask for more after five seconds", to: 2)
                break
            }
        }
        return Clock.threadCPU() - start
    }

    /// An expiry about an hour away, at another millisecond for each number.
    @inline(__always)
    static func expiry(_ number: UInt64) -> Timestamp {
        Timestamp(milliseconds: now.milliseconds &+ 3_600_000 &+ Int64(truncatingIfNeeded: number & 0xf_ffff))
    }
}

extension EngineCache {
    /// Copies a value out. Gives back its length, or nil for a miss.
    @inline(__always)
    func read(
        _ key: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer, now: Timestamp = Subject.now
    ) -> Int? {
        return (try? get(key, now: now) { UnsafeMutableRawBufferPointer(rebasing: buffer[..<$0]) })?.byteCount
    }

    /// Stores a value. Gives back whether there was room for it.
    @inline(__always)
    @discardableResult
    func write(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, expiresAt: Timestamp?,
        now: Timestamp = Subject.now
    ) -> Bool {
        (try? set(key, value: value, expiresAt: expiresAt, condition: .always, now: now)) ?? false
    }
}
