import Server

/// How a command ends that could not do what it was asked: one sentence on standard error, and a status.
enum Failure {
    /// The status for a configuration that cannot be used (`EX_CONFIG` of sysexits.h).
    static let configurationStatus: Int32 = 78

    static func report(_ error: any Error) {
        StandardErrorSink.shared.write(Array("martlet: \(error)\n".utf8))
    }
}
