import CacheService
import Catalog
import Tenancy

/// The operator's key, in a file that its owner alone can read; the catalog knows its hash.
struct RootKeyFile {
    let path: String

    /// Makes the root key at the first start.
    func ensure(in catalog: Catalog) throws {
        guard catalog.snapshot.rootKeyHash == nil else { return }
        try replace(in: catalog)
    }

    /// Makes a new root key. The file reaches the disk before the catalog knows the key, so that no crash leaves an
    /// installation whose key nobody has.
    func replace(in catalog: Catalog) throws {
        try ControlPlane.rotateRootKey(in: catalog) { key throws(MartletError) in
            do throws(FileError) {
                try SmallFile.write(Array("\(key)\n".utf8), to: path, mode: 0o600)
            } catch {
                throw .unavailable("the root key cannot be written: \(error)")
            }
        }
    }
}

/// `martlet root-key rotate`: with the server stopped.
package enum RootKeyRotation {
    /// Replaces the root key of an installation and its file.
    ///
    /// - Returns: The path of the file.
    /// - Throws: ``StartError`` when the data directory holds no catalog, or a server is using it.
    package static func run(dataDirectory: String) throws -> String {
        let base = dataDirectory.hasSuffix("/") ? String(dataDirectory.dropLast()) : dataDirectory
        let path = "\(base)/root.key"
        // Opening would make a new installation.
        guard SmallFile.exists("\(base)/catalog.sqlite") else {
            throw StartError("the root key was not rotated: \(base) holds no catalog")
        }
        do {
            let catalog = try Catalog(path: "\(base)/catalog.sqlite", clock: SystemClock())
            try RootKeyFile(path: path).replace(in: catalog)
            try catalog.close()
        } catch {
            throw StartError("the root key was not rotated: \(error)")
        }
        return path
    }
}
