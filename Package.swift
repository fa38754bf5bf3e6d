// swift-tools-version: 6.2
import Foundation
import PackageDescription

/// `MARTLET_DEV=1` adds the fuzz targets; `MARTLET_CI=1` makes warnings errors.
let environment = ProcessInfo.processInfo.environment

let swiftSettings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ] + (environment["MARTLET_CI"] == "1" ? [.treatAllWarnings(as: .error)] : [])

/// The data path's targets: whole-module optimised as any release build, and without the run-time check that two
/// accesses to one variable do not overlap, which the compiler already proves for all but class members. A debug
/// build, which the tests run, keeps the check.
let dataPathSettings: [SwiftSetting] =
    swiftSettings + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let fuzzSettings: [SwiftSetting] = swiftSettings + [.unsafeFlags(["-parse-as-library"])]

/// Built by `make fuzz` with `--sanitize=fuzzer`; libFuzzer brings the `main`.
let fuzzTargets: [Target] = [
    .executableTarget(
        name: "CredentialFuzz", dependencies: ["Access"], path: "Fuzz/CredentialFuzz", swiftSettings: fuzzSettings),
    .executableTarget(
        name: "EngineFuzz", dependencies: ["Engine"], path: "Fuzz/EngineFuzz", swiftSettings: fuzzSettings),
    .executableTarget(
        name: "GatewayFuzz", dependencies: ["Gateway", "CacheService", "Tenancy"], path: "Fuzz/GatewayFuzz",
        exclude: ["Corpus"], swiftSettings: fuzzSettings),
    .executableTarget(
        name: "GRPCFuzz",
        dependencies: ["Gateway", "Tenancy", .product(name: "NIOCore", package: "swift-nio")],
        path: "Fuzz/GRPCFuzz", exclude: ["Corpus"], swiftSettings: fuzzSettings),
    .executableTarget(
        name: "HTTP2Fuzz",
        dependencies: [
            "Gateway", "CacheService", "Access", "Admission", "Catalog", "Engine", "Metering", "Tenancy",
            .product(name: "NIOCore", package: "swift-nio"),
            .product(name: "NIOEmbedded", package: "swift-nio"),
            .product(name: "Logging", package: "swift-log"),
        ],
        path: "Fuzz/HTTP2Fuzz", exclude: ["Corpus"], swiftSettings: fuzzSettings),
    .executableTarget(
        name: "RESPFuzz", dependencies: ["Gateway"], path: "Fuzz/RESPFuzz", exclude: ["Corpus"],
        swiftSettings: fuzzSettings),
    .executableTarget(
        name: "WebSocketFuzz", dependencies: ["Gateway", .product(name: "NIOCore", package: "swift-nio")],
        path: "Fuzz/WebSocketFuzz", exclude: ["Corpus"], swiftSettings: fuzzSettings),
]

/// Built by `make bench`: the measures that run in one process.
let benchmarkTargets: [Target] = [
    .executableTarget(
        name: "AdmissionBench",
        dependencies: ["CacheService", "Access", "Admission", "Catalog", "Engine", "Metering", "Tenancy"],
        path: "Benchmarks/admission", swiftSettings: dataPathSettings),
    .executableTarget(
        name: "EngineBench", dependencies: ["Engine", "Tenancy", "COpenSSL"], path: "Benchmarks/engine",
        swiftSettings: dataPathSettings),
]

let package = Package(
    name: "martlet",
    products: [.executable(name: "martlet", targets: ["martlet"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // MARK: System libraries
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CJWT", pkgConfig: "libjwt", providers: [.apt(["libjwt-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // MARK: Rooms, from the bottom up
        .target(name: "Tenancy", swiftSettings: dataPathSettings),
        .target(name: "Engine", dependencies: ["Tenancy", "COpenSSL", "CZstd"], swiftSettings: dataPathSettings),
        .target(name: "Topics", dependencies: ["Tenancy"], swiftSettings: dataPathSettings),
        .target(name: "Access", dependencies: ["Tenancy", "CJWT", "COpenSSL"], swiftSettings: dataPathSettings),
        // Generated from api/proto by `make proto`.
        .target(
            name: "Wire", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
            swiftSettings: swiftSettings
        ),
        .target(name: "Admission", dependencies: ["Tenancy"], swiftSettings: dataPathSettings),
        .target(
            name: "Metering",
            dependencies: ["Tenancy", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: dataPathSettings
        ),
        .target(
            name: "Catalog",
            dependencies: ["Tenancy", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: dataPathSettings
        ),
        .target(
            name: "Delivery",
            dependencies: [
                "Tenancy", "COpenSSL",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: swiftSettings
        ),
        .target(
            name: "CacheService",
            dependencies: ["Tenancy", "Engine", "Topics", "Access", "Admission", "Metering", "Catalog", "Delivery"],
            swiftSettings: dataPathSettings
        ),
        .target(
            name: "Gateway",
            dependencies: [
                "Tenancy", "Topics", "CacheService", "Wire", "CNGHTTP2", "CZlib",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: dataPathSettings
        ),
        .target(
            name: "Server",
            dependencies: [
                "Tenancy", "Engine", "Topics", "Access", "Admission", "Metering", "Catalog", "Delivery", "CacheService",
                "Gateway",
                "COpenSSL",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "martlet",
            dependencies: ["Server", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: swiftSettings
        ),

        // MARK: Tests
        .testTarget(name: "TenancyTests", dependencies: ["Tenancy"], swiftSettings: swiftSettings),
        .testTarget(
            name: "EngineTests", dependencies: ["Engine", "Tenancy", "COpenSSL", "CZstd"], swiftSettings: swiftSettings),
        .testTarget(name: "TopicsTests", dependencies: ["Topics"], swiftSettings: swiftSettings),
        .testTarget(name: "AccessTests", dependencies: ["Access", "CJWT", "COpenSSL"], swiftSettings: swiftSettings),
        .testTarget(name: "AdmissionTests", dependencies: ["Admission"], swiftSettings: swiftSettings),
        .testTarget(name: "MeteringTests", dependencies: ["Metering"], swiftSettings: swiftSettings),
        .testTarget(
            name: "CatalogTests",
            dependencies: ["Catalog", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "DeliveryTests",
            dependencies: [
                "Delivery",
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "CacheServiceTests",
            dependencies: [
                "CacheService", "Access", "Admission", "Catalog", "Delivery", "Engine", "Metering", "Tenancy", "Topics",
            ],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Gateway", "CacheService", "Access", "Admission", "Catalog", "Engine", "Metering", "Tenancy", "Topics",
                "Wire", "CNGHTTP2", "CZlib",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: swiftSettings
        ),
        .testTarget(
            name: "ServerTests",
            dependencies: ["Server", "Delivery", "Tenancy", .product(name: "Logging", package: "swift-log")],
            swiftSettings: swiftSettings
        ),
    ] + (environment["MARTLET_DEV"] == "1" ? fuzzTargets + benchmarkTargets : []),
    swiftLanguageModes: [.v6]
)
