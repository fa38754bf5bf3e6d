#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif
import COpenSSL

/// One lane of a ``CacheSealer``: a lock, a counter, and a context of libcrypto in which the key is set.
///
/// One context serves both directions: for GCM the key schedule is the same (the block cipher runs forwards only), so an
/// initialisation with a direction and a nonce but without a key turns it round. That halves the memory of a lane.
///
/// Lies in memory of its own and a cache line of its own; a reference owns nothing.
struct SealingLane {
    private struct Contents {
        var mutex = pthread_mutex_t()
        /// The counter of the next nonce.
        var counter: UInt64
        let context: OpaquePointer
        /// Already shifted to where it stands in a nonce.
        let laneBits: UInt64
    }

    private let contents: UnsafeMutablePointer<Contents>

    static let keyBytes = 32
    static let tagBytes = 16
    static let counterBits: UInt64 = 48
    /// Of one lane, as malloc accounts for it (measured: 1,256): some 1,160 of libcrypto's, a cache line for the rest.
    static let charge = 1280
    private static let alignment = 64

    /// AES-256-GCM of the default provider, fetched once: to fetch it for each context would take libcrypto's locks.
    // Reference counted by libcrypto, constant afterwards, and never freed.
    private nonisolated(unsafe) static let cipher: OpaquePointer? = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)

    /// Takes over `context`.
    private init(context: OpaquePointer, index: Int, firstCounter: UInt64) {
        contents = UnsafeMutableRawPointer.allocate(
            byteCount: (MemoryLayout<Contents>.size + Self.alignment - 1) & ~(Self.alignment - 1),
            alignment: Self.alignment
        ).bindMemory(to: Contents.self, capacity: 1)
        contents.initialize(
            to: Contents(counter: firstCounter, context: context, laneBits: UInt64(index) << Self.counterBits))
        pthread_mutex_init(&contents.pointee.mutex, nil)
    }

    init(at pointer: UnsafeMutableRawPointer) {
        contents = pointer.assumingMemoryBound(to: Contents.self)
    }

    var pointer: UnsafeMutableRawPointer { UnsafeMutableRawPointer(contents) }

    /// A lane with a key that was never anywhere else: drawn on the stack, set in the context, wiped. nil if libcrypto has
    /// no randomness or no memory.
    static func withFreshKey(index: Int, firstCounter: UInt64) -> SealingLane? {
        withUnsafeTemporaryAllocation(byteCount: keyBytes, alignment: 8) { key in
            defer { OPENSSL_cleanse(key.baseAddress, key.count) }
            guard RAND_bytes(key.baseAddress?.assumingMemoryBound(to: UInt8.self), CInt(keyBytes)) == 1 else {
                ERR_clear_error()
                return nil
            }
            return SealingLane(key: UnsafeRawBufferPointer(key), index: index, firstCounter: firstCounter)
        }
    }

    /// A lane with a given key of ``keyBytes``. nil if libcrypto has no memory.
    init?(key: UnsafeRawBufferPointer, index: Int, firstCounter: UInt64) {
        guard key.count == Self.keyBytes, let cipher = Self.cipher, let context = EVP_CIPHER_CTX_new() else {
            return nil
        }
        let bytes = key.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard EVP_CipherInit_ex2(context, cipher, bytes, nil, 1, nil) == 1 else {
            EVP_CIPHER_CTX_free(context)
            ERR_clear_error()
            return nil
        }
        self.init(context: context, index: index, firstCounter: firstCounter)
    }

    /// Another lane under the same key, which goes from context to context without being laid open.
    func copy(index: Int, firstCounter: UInt64) -> SealingLane? {
        guard let context = EVP_CIPHER_CTX_new() else { return nil }
        lock()
        let isCopied = EVP_CIPHER_CTX_copy(context, contents.pointee.context) == 1
        unlock()
        guard isCopied else {
            EVP_CIPHER_CTX_free(context)
            ERR_clear_error()
            return nil
        }
        return SealingLane(context: context, index: index, firstCounter: firstCounter)
    }

    /// Frees it; libcrypto overwrites the key schedule before it gives the memory back.
    func destroy() {
        EVP_CIPHER_CTX_free(contents.pointee.context)
        pthread_mutex_destroy(&contents.pointee.mutex)
        UnsafeMutableRawPointer(contents).deallocate()
    }

    @inline(__always)
    func lock() { pthread_mutex_lock(&contents.pointee.mutex) }

    @inline(__always)
    func unlock() { pthread_mutex_unlock(&contents.pointee.mutex) }

    // MARK: Under the lock

    /// A nonce that this key has not seen: nil when the lane has used up its 2^48, some nine years at a million a second.
    @inline(__always)
    func nextNonce() -> UInt64? {
        let counter = contents.pointee.counter
        guard counter < 1 << Self.counterBits else { return nil }
        contents.pointee.counter = counter &+ 1
        return contents.pointee.laneBits | counter
    }

    /// Encrypts `plain` into as many bytes at `target` and writes the tag. False: libcrypto failed.
    @inline(__always)
    func seal(
        _ plain: UnsafeRawBufferPointer, nonce: UInt64, associated: AssociatedData, to target: UnsafeMutableRawPointer,
        tag: UnsafeMutableRawPointer
    ) -> Bool {
        let context = contents.pointee.context
        guard
            Self.withVector(nonce, { EVP_CipherInit_ex2(context, nil, nil, $0, 1, nil) }) == 1,
            associated.authenticate(in: context),
            Self.run(context, plain, to: target)
        else { return false }
        return Self.withTagParameter(tag) { EVP_CIPHER_CTX_get_params(context, $0) } == 1
    }

    /// The reverse. False: not authentic, or libcrypto failed; `target` then holds nothing to be trusted.
    @inline(__always)
    func open(
        _ ciphertext: UnsafeRawBufferPointer, nonce: UInt64, associated: AssociatedData,
        tag: UnsafeRawPointer, to target: UnsafeMutableRawPointer
    ) -> Bool {
        let context = contents.pointee.context
        let isReady = Self.withTagParameter(UnsafeMutableRawPointer(mutating: tag)) { tag in
            Self.withVector(nonce) { EVP_CipherInit_ex2(context, nil, nil, $0, 0, tag) }
        }
        return isReady == 1 && associated.authenticate(in: context) && Self.run(context, ciphertext, to: target)
    }

    /// The text itself and the end, which when opening compares the tags.
    @inline(__always)
    private static func run(
        _ context: OpaquePointer, _ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer
    ) -> Bool {
        let output = target.assumingMemoryBound(to: UInt8.self)
        var length: CInt = 0
        if let start = source.baseAddress, source.count > 0 {
            let input = start.assumingMemoryBound(to: UInt8.self)
            guard
                EVP_CipherUpdate(context, output, &length, input, CInt(truncatingIfNeeded: source.count)) == 1,
                Int(length) == source.count
            else { return false }
        }
        return EVP_CipherFinal_ex(context, output + Int(length), &length) == 1 && length == 0
    }

    /// The 12 bytes that GCM takes: four zeros, then the nonce as it is stored, little endian.
    @inline(__always)
    private static func withVector<Result>(_ nonce: UInt64, _ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        var vector: (UInt32, UInt32, UInt32) = (
            0, UInt32(truncatingIfNeeded: nonce).littleEndian, UInt32(truncatingIfNeeded: nonce >> 32).littleEndian
        )
        return withUnsafeBytes(of: &vector) { vector in
            // Of a tuple of 12 bytes.
            body(vector.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// "tag" as a C string that stays where it is.
    private static let tagName: StaticString = "tag"

    /// Names the tag to libcrypto directly, which saves its older `ctrl` interface's way to the same place: some 18 ns.
    @inline(__always)
    private static func withTagParameter<Result>(
        _ tag: UnsafeMutableRawPointer, _ body: (UnsafeMutablePointer<OSSL_PARAM>) -> Result
    ) -> Result {
        let name = UnsafeRawPointer(tagName.utf8Start).assumingMemoryBound(to: CChar.self)
        var parameters = (
            OSSL_PARAM(
                key: name, data_type: UInt32(OSSL_PARAM_OCTET_STRING), data: tag, data_size: tagBytes, return_size: 0),
            OSSL_PARAM(key: nil, data_type: 0, data: nil, data_size: 0, return_size: 0)
        )
        return withUnsafeMutableBytes(of: &parameters) { parameters in
            body(parameters.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: OSSL_PARAM.self))
        }
    }
}

/// What is authenticated with a sealed value and is not part of it.
///
///     | cache, 8 bytes | length of the key, 8 bytes | key ... | context ... |     little endian
///
/// Two different triples never give the same bytes: the length says where the key ends, GCM itself where the context does.
struct AssociatedData {
    let cacheID: UInt64
    let key: UnsafeRawBufferPointer
    let context: UnsafeRawBufferPointer

    private static let headBytes = 16
    /// What is put together on the stack, so that libcrypto is called once.
    private static let stackBytes = 256

    @inline(__always)
    func authenticate(in cipher: OpaquePointer) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: Self.stackBytes, alignment: 8) { buffer in
            buffer.storeBytes(of: cacheID.littleEndian, as: UInt64.self)
            buffer.storeBytes(of: UInt64(key.count).littleEndian, toByteOffset: 8, as: UInt64.self)
            guard key.count <= Self.stackBytes - Self.headBytes,
                context.count <= Self.stackBytes - Self.headBytes - key.count
            else {
                return Self.update(cipher, UnsafeRawBufferPointer(rebasing: buffer[..<Self.headBytes]))
                    && Self.update(cipher, key) && Self.update(cipher, context)
            }
            // The slices are within the buffer, as was just seen.
            let start = buffer.baseAddress.unsafelyUnwrapped
            if let bytes = key.baseAddress {
                (start + Self.headBytes).copyMemory(from: bytes, byteCount: key.count)
            }
            if let bytes = context.baseAddress {
                (start + Self.headBytes + key.count).copyMemory(from: bytes, byteCount: context.count)
            }
            return Self.update(
                cipher,
                UnsafeRawBufferPointer(start: start, count: Self.headBytes + key.count + context.count))
        }
    }

    @inline(__always)
    private static func update(_ cipher: OpaquePointer, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return true }
        var length: CInt = 0
        return EVP_CipherUpdate(
            cipher, nil, &length, start.assumingMemoryBound(to: UInt8.self), CInt(truncatingIfNeeded: bytes.count)) == 1
    }
}
