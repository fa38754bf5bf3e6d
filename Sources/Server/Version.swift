/// The version of this build, as `martlet --version` prints it (https://semver.org).
package enum Version {
    package static let text = "0.1.0-dev"
}
