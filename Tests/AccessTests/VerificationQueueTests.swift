import Access
import Foundation
import Synchronization
import Testing

@Suite struct VerificationQueueTests {
    @Test func jobsRunInOrderOnOneOtherThread() {
        let queue = VerificationQueue(capacity: 1000)
        let seen = Mutex<[(number: Int, thread: ObjectIdentifier)]>([])
        for number in 0..<500 {
            let isTaken = queue.submit {
                seen.withLock { $0.append((number, ObjectIdentifier(Thread.current))) }
            }
            #expect(isTaken)
        }
        queue.shutdown()
        seen.withLock { seen in
            #expect(seen.map(\.number) == Array(0..<500))
            #expect(Set(seen.map(\.thread)).count == 1)
            #expect(seen.first?.thread != ObjectIdentifier(Thread.current))
        }
    }

    @Test func fullQueueSaysSoAndLosesNothing() {
        let queue = VerificationQueue(capacity: 3)
        let started = DispatchSemaphore(value: 0)
        let gate = DispatchSemaphore(value: 0)
        let ran = Mutex(0)
        #expect(
            queue.submit {
                started.signal()
                gate.wait()
            })
        // The first is running now, so that three can wait.
        started.wait()
        for _ in 0..<3 { #expect(queue.submit { ran.withLock { $0 += 1 } }) }
        for _ in 0..<10 { #expect(!queue.submit { Issue.record("a refused job ran") }) }
        gate.signal()
        queue.shutdown()
        #expect(ran.withLock { $0 } == 3)
    }

    @Test func shutdownRunsWhatWaitsAndRefusesWhatComes() {
        let queue = VerificationQueue()
        let ran = Mutex(0)
        for _ in 0..<100 { #expect(queue.submit { ran.withLock { $0 += 1 } }) }
        queue.shutdown()
        #expect(ran.withLock { $0 } == 100)
        #expect(!queue.submit { Issue.record("a refused job ran") })
        queue.shutdown()
    }

    @Test func droppedQueueRunsWhatWaits() {
        let done = DispatchSemaphore(value: 0)
        do {
            let queue = VerificationQueue()
            #expect(queue.submit { done.signal() })
        }
        #expect(done.wait(timeout: .now() + .seconds(30)) == .success)
    }

    /// A queue whose thread is held until `release` is signalled, so that what waits can be looked at.
    private func heldQueue(capacity: Int, release: DispatchSemaphore) -> VerificationQueue {
        let queue = VerificationQueue(capacity: capacity)
        let started = DispatchSemaphore(value: 0)
        #expect(
            queue.submit(from: [9, 9, 9, 9]) {
                started.signal()
                release.wait()
            })
        started.wait()
        return queue
    }

    @Test func addressesTakeTurns() {
        let release = DispatchSemaphore(value: 0)
        let queue = heldQueue(capacity: 100, release: release)
        let seen = Mutex<[String]>([])
        for number in 0..<20 {
            #expect(queue.submit(from: [10, 0, 0, 1]) { seen.withLock { $0.append("flood \(number)") } })
        }
        for number in 0..<2 {
            #expect(queue.submit(from: [10, 0, 0, 2]) { seen.withLock { $0.append("other \(number)") } })
        }
        release.signal()
        queue.shutdown()
        seen.withLock { seen in
            #expect(seen.count == 22)
            #expect(seen.prefix(5) == ["flood 0", "other 0", "flood 1", "other 1", "flood 2"])
            #expect(seen.filter { $0.hasPrefix("flood") } == (0..<20).map { "flood \($0)" })
        }
    }

    @Test func addressesOfOneNetworkShareATurn() {
        let release = DispatchSemaphore(value: 0)
        let queue = heldQueue(capacity: 100, release: release)
        let seen = Mutex<[Int]>([])
        for number in 0..<4 {
            let address = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(number)] as [UInt8]
            #expect(queue.submit(from: address) { seen.withLock { $0.append(number) } })
        }
        #expect(queue.submit(from: [10, 0, 0, 2]) { seen.withLock { $0.append(100) } })
        release.signal()
        queue.shutdown()
        #expect(seen.withLock { $0 } == [0, 100, 1, 2, 3])
    }

    @Test func theAddressWithMostMakesRoomForOthers() {
        let release = DispatchSemaphore(value: 0)
        let queue = heldQueue(capacity: 4, release: release)
        let ran = Mutex<[String]>([])
        let refused = Mutex<[String]>([])
        func submit(_ last: UInt8, _ name: String) -> Bool {
            queue.submit(
                from: [10, 0, 0, last], { ran.withLock { $0.append(name) } },
                refused: { refused.withLock { $0.append(name) } })
        }
        for number in 0..<4 { #expect(submit(1, "flood \(number)")) }
        #expect(!submit(1, "one more"))
        #expect(submit(2, "other 0"))
        #expect(refused.withLock { $0 } == ["flood 3"])
        #expect(submit(2, "other 1"))
        #expect(refused.withLock { $0 } == ["flood 3", "flood 2"])
        // Now both have two: neither takes from the other.
        #expect(!submit(2, "other 2"))
        #expect(!submit(1, "flood 4"))
        release.signal()
        queue.shutdown()
        #expect(ran.withLock { $0 } == ["flood 0", "other 0", "flood 1", "other 1"])
    }
}
