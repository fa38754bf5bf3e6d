import Foundation
import Testing

@testable import Server

struct SmallFileTests {
    @Test func writtenBytesAreReadBackAndNothingElseIsLeftBehind() throws {
        let directory = try TemporaryDirectory()
        try SmallFile.write(Array("first, and longer".utf8), to: directory.file("a"), mode: 0o600)
        try SmallFile.write(Array("second".utf8), to: directory.file("a"), mode: 0o600)
        #expect(try SmallFile.read(directory.file("a"), maxBytes: 100) == Array("second".utf8))
        #expect(try directory.names() == ["a"])
    }

    @Test(arguments: [0o600, 0o644]) func aFileHasItsPermissionsWhateverTheOldOneHad(mode: UInt32) throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("old", to: "a")
        try SmallFile.write([1], to: path, mode: mode)
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == Int(mode))
    }

    @Test func aFileOverTheLimitIsRefused() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("12345", to: "a")
        #expect(try SmallFile.read(path, maxBytes: 5).count == 5)
        #expect(throws: FileError.self) { try SmallFile.read(path, maxBytes: 4) }
    }

    @Test func aMissingFileIsNamedWithTheReason() throws {
        let directory = try TemporaryDirectory()
        let error = #expect(throws: FileError.self) { try SmallFile.read(directory.file("none"), maxBytes: 1) }
        #expect(error?.description == "\(directory.file("none")): No such file or directory")
    }

    @Test func aFailedWriteLeavesTheOldFile() throws {
        let directory = try TemporaryDirectory()
        // Nothing can be renamed over a directory.
        try FileManager.default.createDirectory(atPath: directory.file("a"), withIntermediateDirectories: false)
        #expect(throws: FileError.self) { try SmallFile.write([1], to: directory.file("a"), mode: 0o600) }
        #expect(try directory.names() == ["a"])
    }

    @Test func aDirectoryThatIsNotThereIsReported() throws {
        let directory = try TemporaryDirectory()
        let error = #expect(throws: FileError.self) {
            try SmallFile.write([1], to: directory.file("none/a"), mode: 0o600)
        }
        #expect(error?.code == ENOENT)
    }
}
