// The engine's benchmarks that need no server: they call the engine in this process and print lines of JSON.
//
//     EngineBench MEASURE [name=value]...
//
// Benchmarks/engine_*.py run it beside the peers and hold the budgets. What each measure does stands in its file.

let arguments = CommandLine.arguments
guard arguments.count > 1 else { fail("usage: EngineBench MEASURE [name=value]...") }
let options = Options(arguments.dropFirst(2))
switch arguments[1] {
case "speed": Speed.run(options)
case "threads": Threads.run(options)
case "memory": Memory.items(options)
case "caches": Memory.caches(options)
case "collections": Memory.collections(options)
case "documents": Memory.documents(options)
case "fill-collections": Fill.collections(options)
case "sorted-set": SortedSets.run(options)
case "fill": Fill.items(options)
case "trace": Trace.write(options)
case "replay": Replay.engine(options)
case "replay-redis": Replay.redis(options)
case "churn": Churn.run(options)
case "tail": Tail.run(options)
default: fail("there is no measure \(arguments[1])")
}
