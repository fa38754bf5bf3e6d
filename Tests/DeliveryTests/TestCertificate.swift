import NIOSSL

/// A certificate of `hook.test`, signed with its own key, good until 2126. It guards nothing.
enum TestCertificate {
    static func serverContext() throws -> NIOSSLContext {
        try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(try certificate())],
                privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem))))
    }

    static func certificate() throws -> NIOSSLCertificate {
        try NIOSSLCertificate(bytes: Array(text.utf8), format: .pem)
    }

    private static let text = """
        -----BEGIN CERTIFICATE-----
        MIIBlTCCATugAwIBAgIUEDqyx/b8Q6bb8KMeiyUUxUWBrcowCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJaG9vay50ZXN0MCAXDTI2MTEyMTE2MTYxNVoYDzIxMjYxMDI4
        MTYxNjE1WjAUMRIwEAYDVQQDDAlob29rLnRlc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAASIYe3/3KPZ8LTdMw7wM4HTIu1BqcHu96Ci5sLIeP01ZLXxGDVrUDO5
        /NvvAlGgmmc/E3B8RCVubZutNvfYF0w5o2kwZzAdBgNVHQ4EFgQUd21SZwnVRXUC
        3BMcm0TMBMCBnNkwHwYDVR0jBBgwFoAUd21SZwnVRXUC3BMcm0TMBMCBnNkwDwYD
        VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglob29rLnRlc3QwCgYIKoZIzj0EAwID
        SAAwRQIgc/kXuxvSdHYLZyrCIsbBwBZgBBIylOdSG5b5TDXNew0CIQCPSsrQw4Bk
        NQV7i3lx00tk28uzUyiTC8xP1DT3y6Ycgg==
        -----END CERTIFICATE-----
        """

    private static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgahusTvAbHILClnjT
        8S/WdiPgRo/xRgpAtJeMpsAyBTOhRANCAASIYe3/3KPZ8LTdMw7wM4HTIu1BqcHu
        96Ci5sLIeP01ZLXxGDVrUDO5/NvvAlGgmmc/E3B8RCVubZutNvfYF0w5
        -----END PRIVATE KEY-----
        """
}
