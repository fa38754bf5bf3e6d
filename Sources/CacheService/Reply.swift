import Tenancy

/// What an operation answers: at once, or later through the closure that the caller gave.
package enum Reply<Value> {
    case here(Value)
    case refused(MartletError)
    case later
}

/// How a late answer is handed over: on the lane's own thread.
package typealias LateHandler<Value> = (Result<Value, MartletError>) -> Void
