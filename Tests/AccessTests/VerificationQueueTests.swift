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
}
