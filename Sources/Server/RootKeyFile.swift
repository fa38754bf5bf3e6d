import Access
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
        let issued = try APIKeys.issueRoot()
        try SmallFile.write(Array("\(issued.presented)\n".utf8), to: path, mode: 0o600)
        try catalog.setRootKeyHash(issued.hash.bytes, actor: Catalog.ownActor)
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
