import CacheService
import Tenancy

extension Exchange {
    /// Where in the request's arena the caller's credential lies: the `Authorization` field, or the parameter `token`.
    /// Answers itself, and returns nil, when there is none, or more than one: which of them would be meant?
    ///
    /// - Parameter alternative: A third place where one was found.
    @inline(__always)
    func presentedCredential(alternative: ByteRange? = nil) -> ByteRange? {
        let header = request.range(.authorization)
        let count = (header == nil ? 0 : 1) + (rest.token == nil ? 0 : 1) + (alternative == nil ? 0 : 1)
        guard count == 1 else {
            // Whether this caller may do without, ``GatewayLane/identify(_:_:_:)`` decides.
            if count == 0, lane.service.emulatorCaller != nil { return ByteRange() }
            respond(
                error: count == 0
                    ? .missingCredential
                    : .invalidArgument(field: "token", reason: "must not stand beside another credential"))
            return nil
        }
        return header ?? rest.token ?? alternative
    }
}
