// What the limits cost: the admit step alone, and refused calls beside served ones, in this process and without a wire.
//
//     AdmissionBench [rounds=N] [calls=N]
//
// Each round measures every case once, so that what disturbs the machine meets all of them. One line of JSON a case:
// {"kind": "case", "name": …, "nanoseconds": [one a round]}. Benchmarks/admission_bench.py holds the budgets.

import Admission
import Tenancy

var (rounds, calls) = (9, 1_000_000)
for argument in CommandLine.arguments.dropFirst() {
    let parts = argument.split(separator: "=")
    guard parts.count == 2, let number = Int(parts[1]), number > 0 else { fail("\(argument) is not name=number") }
    switch parts[0] {
    case "rounds": rounds = number
    case "calls": calls = number
    default: fail("there is no \(parts[0])")
    }
}

do {
    let stage = try Stage()
    let cases = admitCases() + (try stage.cases())
    var samples = cases.map { _ in [Double]() }
    for round in 0...rounds {
        for (index, measured) in cases.enumerated() {
            let nanoseconds = measured.run(calls)
            // The first round warms up.
            if round > 0 { samples[index].append(nanoseconds) }
        }
    }
    for (measured, nanoseconds) in zip(cases, samples) {
        print("{\"kind\": \"case\", \"name\": \"\(measured.name)\", \"nanoseconds\": \(nanoseconds)}")
    }
} catch {
    fail("\(error)")
}
