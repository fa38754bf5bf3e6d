import Synchronization
import Tenancy
import Testing

@testable import Engine

/// A source of pages of a test's own, what it has given out, and the trees that were buried in it.
struct TreeGround {
    private let core: EngineCore
    let source: PageSource

    init() {
        let key = SipHashKey(k0: 1, k1: 2)
        let configuration = EngineConfiguration(memoryBytes: 256 << 20, indexKey: key, valueHashKey: key)
        // Fails only if the address space cannot be reserved, and then no test could run.
        // swift-format-ignore: NeverUseForceTry
        core = try! EngineCore(configuration: configuration)
        source = PageSource(core: core)
    }

    var chargedBytes: Int { source.bytes.load(ordering: .relaxed) }

    /// Dismantles what was buried, a few blocks at a time.
    func drain(budget: Int = 1000) {
        while let next = core.graveyard.withLock({ $0.popLast() }) {
            guard case .tree(var buried) = next else { continue }
            dismantle(&buried.handle, budget: budget)
        }
    }
}
