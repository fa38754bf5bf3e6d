import Testing

@testable import Delivery

struct MessageSignatureTests {
    /// Examples of the National Institute of Standards and Technology for HMAC with SHA3-256: a key as long as half a
    /// block, one as long as a block, one that is longer.
    @Test(arguments: [
        (
            0x1F, "Sample message for keylen<blocklen",
            "4fe8e202c4f058e8dddc23d8c34e467343e23555e24fc2f025d598f558f67205"
        ),
        (
            0x87, "Sample message for keylen=blocklen",
            "68b94e2e538a9be4103bebb5aa016d47961d4d1aa906061313b557f8af2c3faa"
        ),
        (
            0xA7, "Sample message for keylen>blocklen",
            "9bcf2c238e235c3ce88404e813bd2f3a97185ac6f238c63d6229a00b07974258"
        ),
    ])
    func publishedExamples(lastByteOfKey: Int, message: String, code: String) {
        let key = (0...lastByteOfKey).map { UInt8($0) }
        #expect(MessageSignature.hexadecimal(of: Array(message.utf8), secret: key) == code)
    }

    @Test func nothingAtAllIsSignedToo() {
        #expect(
            MessageSignature.hexadecimal(of: [], secret: [])
                == "e841c164e5b4f10c9f3985587962af72fd607a951196fc92fb3a5251941784ea")
    }
}
