import CacheService
import Tenancy

extension RequestHead {
    /// In which form the body is.
    ///
    /// - Throws: ``MartletError/unsupportedEncoding`` for one that is not taken (RFC 9110 section 15.5.16), and for several
    ///   on top of each other.
    func contentCoding() throws(MartletError) -> ContentCoding {
        guard has(.contentEncoding) else { return .identity }
        let coding: ContentCoding? =
            withValue(.contentEncoding) { field in
                // Identity is no coding to be named here, but it is clear what is meant.
                if field.isEmpty || field.matchesIgnoringCase("identity") { return .identity }
                return field.matchesIgnoringCase("zstd") ? .zstd : nil
            } ?? .identity
        guard let coding else { throw .unsupportedEncoding }
        return coding
    }
}
