"""The bill of a cache, meter by meter."""

METERS = [
    "operations",
    "bytes_in",
    "bytes_out",
    "calls",
    "hits",
    "misses",
    "client_errors",
    "throttled",
    "server_errors",
    "request_chunks",
    "response_chunks",
    "conditional_operations",
    "elements_in",
    "elements_out",
    "publishes",
    "deliveries",
    "subscription_milliseconds",
]


def expect(operations, **others):
    """What one call is to add."""
    return {**dict.fromkeys(METERS, 0), "operations": operations, "calls": 1, **others}


def add(left, right):
    return {name: left[name] + right[name] for name in METERS}


def usage_of(server, cache, **query):
    used = server.admin.used(cache, **query)
    return {name: used.get(name, 0) for name in METERS}
