// SipHash-c-d: a keyed hash of short messages, for places where an outsider chooses the message and must not be able to
// foresee the hash.
//
// Two uses here. SipHash-1-3 with 64 bits places a key: whoever does not know the key of the hash cannot aim many keys
// at one bucket. SipHash-1-3 with 128 bits is the value hash that callers see as an `ETag`: whoever does not know its
// key cannot make two values that share it. 1-3 (one round for a word, three to finish) is what Rust, Python and Ruby
// use for hash tables; the published vectors are of 2-4, so the core takes the numbers of rounds as parameters and the
// tests hold it against those vectors and against OpenSSL's implementation for 1-3.
//
//     message   | word 0 | word 1 | ... | rest, and the length modulo 256 in the top byte |     little endian
//     state     v0 v1 v2 v3  = key xor "somepseudorandomlygeneratedbytes"
//     per word  v3 ^= word;  c rounds;  v0 ^= word
//     finish    v2 ^= 0xff (0xee for 128 bits);  d rounds;  v0 ^ v1 ^ v2 ^ v3
//               and for the second word of 128 bits: v1 ^= 0xdd;  d rounds;  v0 ^ v1 ^ v2 ^ v3
//
// Cost: about a nanosecond for a word and ten to finish. Reads the message once, allocates nothing.
//
// Reference: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), and the authors' reference code, which
// defines the 128-bit form.

/// The 128-bit secret of a keyed hash.
package struct SipHashKey: Hashable, Sendable {
    package let k0: UInt64
    package let k1: UInt64

    /// The key's two halves, each as the little-endian reading of eight bytes.
    package init(k0: UInt64, k1: UInt64) {
        self.k0 = k0
        self.k1 = k1
    }
}

package enum SipHash {
    /// SipHash-`compressionRounds`-`finalizationRounds` of `bytes`.
    ///
    /// - Parameter isWide: asks for 128 bits; otherwise `high` is zero.
    /// - Returns: the output as little-endian words, `low` first.
    ///
    /// Inlined so that constant rounds unroll; call it through ``placement(of:key:)`` and ``value(of:key:)``.
    @inline(__always)
    package static func digest(
        of bytes: UnsafeRawBufferPointer, key: SipHashKey, compressionRounds: Int, finalizationRounds: Int, isWide: Bool
    ) -> (low: UInt64, high: UInt64) {
        var state = State(key: key, isWide: isWide)
        let count = bytes.count
        let wholeWords = count & ~7
        var offset = 0
        while offset < wholeWords {
            state.compress(
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
                rounds: compressionRounds)
            offset &+= 8
        }
        state.compress(lastWord(of: bytes), rounds: compressionRounds)

        state.v2 ^= isWide ? 0xee : 0xff
        state.rounds(finalizationRounds)
        let low = state.folded
        guard isWide else { return (low, 0) }
        state.v1 ^= 0xdd
        state.rounds(finalizationRounds)
        return (low, state.folded)
    }

    /// SipHash-1-3, 64 bits: where a key belongs. Called once for each operation.
    @inline(__always)
    static func placement(of bytes: UnsafeRawBufferPointer, key: SipHashKey) -> UInt64 {
        digest(of: bytes, key: key, compressionRounds: 1, finalizationRounds: 3, isWide: false).low
    }

    /// SipHash-1-3, 128 bits: the identity of a value.
    static func value(of bytes: UnsafeRawBufferPointer, key: SipHashKey) -> (low: UInt64, high: UInt64) {
        digest(of: bytes, key: key, compressionRounds: 1, finalizationRounds: 3, isWide: true)
    }

    /// The up to seven bytes after the last whole word, below the length in the top byte.
    @inline(__always)
    private static func lastWord(of bytes: UnsafeRawBufferPointer) -> UInt64 {
        let count = bytes.count
        let rest = count & 7
        var word: UInt64 = 0
        if rest > 0 {
            if count >= 8 {
                // The last eight bytes in one load, and those that were hashed already shifted out.
                word =
                    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self))
                    &>> UInt64(8 &* (8 &- rest))
            } else {
                for position in 0..<rest {
                    word |= UInt64(bytes[position]) &<< UInt64(8 &* position)
                }
            }
        }
        return word | UInt64(truncatingIfNeeded: count) &<< 56
    }

    private struct State {
        var v0: UInt64
        var v1: UInt64
        var v2: UInt64
        var v3: UInt64

        @inline(__always)
        init(key: SipHashKey, isWide: Bool) {
            v0 = key.k0 ^ 0x736f_6d65_7073_6575
            v1 = key.k1 ^ 0x646f_7261_6e64_6f6d ^ (isWide ? 0xee : 0)
            v2 = key.k0 ^ 0x6c79_6765_6e65_7261
            v3 = key.k1 ^ 0x7465_6462_7974_6573
        }

        @inline(__always)
        var folded: UInt64 { v0 ^ v1 ^ v2 ^ v3 }

        @inline(__always)
        mutating func compress(_ word: UInt64, rounds count: Int) {
            v3 ^= word
            rounds(count)
            v0 ^= word
        }

        @inline(__always)
        mutating func rounds(_ count: Int) {
            for _ in 0..<count {
                v0 &+= v1
                v1 = v1 &<< 13 | v1 &>> 51
                v1 ^= v0
                v0 = v0 &<< 32 | v0 &>> 32
                v2 &+= v3
                v3 = v3 &<< 16 | v3 &>> 48
                v3 ^= v2
                v0 &+= v3
                v3 = v3 &<< 21 | v3 &>> 43
                v3 ^= v0
                v2 &+= v1
                v1 = v1 &<< 17 | v1 &>> 47
                v1 ^= v2
                v2 = v2 &<< 32 | v2 &>> 32
            }
        }
    }
}
