"""The shapes in which the aggressor comes, with its limits, and what it offers: ten times those limits.

A limit is chosen so that what it allows is a share of the one core that a busy tenant may well be sold, some 5 to 25 %
of it, and ten times as much is more than the core can do. The victim's limits never change and are never met.
"""

from dataclasses import dataclass, field

from isolation_loads import Churn, Flood

# What the aggressor's collections hold.
ELEMENTS = 100_000
LARGE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Shape:
    """`allowed` is what the limits let through in a second, in `unit`; the programs offer ten times that."""

    name: str
    title: str
    unit: str
    allowed: float
    limits: dict
    programs: tuple
    cache_limits: dict | None = None
    # How many of the unit one request or connection is.
    units_per_request: float = 1
    is_tls: bool = False
    has_verdict: bool = True
    # Above this times alone, and above alone + 2 ms, the victim was disturbed.
    factor: float = 1.5
    # None for as long as the others.
    seconds: float | None = None
    fills: str = "keys"
    limits_of_fill: dict = field(default_factory=dict)
    # Whether what is served is all within `allowed`; not where some requests cost nothing.
    is_bounded: bool = True


_GET = "GET key:@"
_REST_GET = "GET /cache/bench?key=key:@"
_REST_SET = "PUT /cache/bench?key=key:@&ttl_seconds=600"
_LARGE_GET = "GET /cache/bench?key=large:@"
_LARGE_SET = "PUT /cache/bench?key=large:@&ttl_seconds=600"

_SMALL_GETS = (
    Flood("resp", 100, 1, 50_000, (_GET,)),
    Flood("http2", 100, 1, 25_000, (_REST_GET,)),
    Flood("http1", 100, 1, 25_000, (_REST_GET,)),
)
_PIPELINES = (
    Flood("resp", 16, 256, 700_000, (_GET,)),
    Flood("http2", 16, 100, 300_000, (_REST_GET,)),
)
_TOPICS = 4

SHAPES = [
    Shape("small-gets", "small GETs over 300 connections", "operations", 10_000,
          {"max_operations_per_second": 10_000}, _SMALL_GETS),
    Shape("pipelines", "pipelines: 256 commands of RESP, 100 streams of HTTP/2, at once", "operations", 100_000,
          {"max_operations_per_second": 100_000}, _PIPELINES),
    Shape("large-values", "GET and SET of 2 MiB", "MiB", 100,
          {"max_bytes_in_per_second": 50 << 20, "max_bytes_out_per_second": 50 << 20},
          (
              Flood("resp", 8, 1, 250, ("SET large:@ =", "GET large:@"), 8, LARGE_BYTES),
              Flood("http1", 8, 1, 200, (_LARGE_SET, _LARGE_GET), 8, LARGE_BYTES),
              Flood("http2", 4, 2, 50, (_LARGE_GET,), 8),
          ), units_per_request=2, fills="large"),
    Shape("churn", "connection churn: connect, one request, close", "operations", 1_000,
          {"max_operations_per_second": 1_000, "max_connections": 20},
          (Churn("churn", "resp", 100, 5_000, "GET key:00000001"),
           Churn("churn", "http1", 100, 5_000, "GET /cache/bench?key=key:00000001"))),
    Shape("churn-tls", "connection churn over TLS", "operations", 100,
          {"max_operations_per_second": 100, "max_connections": 20},
          (Churn("churn", "resp", 100, 500, "GET key:00000001"),
           Churn("churn", "http1", 100, 500, "GET /cache/bench?key=key:00000001")), is_tls=True),
    Shape("publish", "publish flood, 40 subscribers", "messages", 2_000,
          {"max_publish_per_second": 2_000},
          (Flood("resp", 40, 1, 0, ("SUBSCRIBE topic:@",), _TOPICS, counts=False),
           Flood("resp", 20, 16, 20_000, ("PUBLISH topic:@ =",), _TOPICS))),
    # Each of 100 connections wants about half of 200 topics: ten times as many subscriptions as there may be. Some are
    # held for good, so that there are always subscribers to deliver to. UNSUBSCRIBE is never refused.
    Shape("subscribe", "subscribe flood: SUBSCRIBE and UNSUBSCRIBE for 10,000 subscriptions, PUBLISH", "operations",
          5_000, {"max_subscriptions": 1_000, "max_operations_per_second": 5_000},
          (Flood("resp", 10, 50, 0, ("SUBSCRIBE topic:@",), 200, counts=False),
           Flood("resp", 100, 20, 49_800, ("SUBSCRIBE topic:@", "UNSUBSCRIBE topic:@"), 200),
           Flood("resp", 2, 1, 200, ("PUBLISH topic:@ =",), 200)), is_bounded=False),
    Shape("collections", "collections of 100,000 elements: fetches, unions, sorts", "elements", 500_000,
          {"max_operations_per_second": 500_000},
          (Flood("resp", 8, 1, 50, (
              "SMEMBERS set:1", "SUNION set:1 set:2", "ZRANGE sorted 0 -1 WITHSCORES", "HGETALL hash",
              "LRANGE list 0 -1", "SORT list"), 1),), units_per_request=ELEMENTS, fills="collections",
          limits_of_fill={"max_item_bytes": 64 << 20}),
    Shape("evictions", "SETs over ten times max_bytes", "operations", 20_000,
          {"max_operations_per_second": 20_000, "max_bytes": 16 << 20},
          (Flood("resp", 16, 16, 150_000, ("SET key:@ =",), 160_000, 1_000),
           Flood("http2", 16, 16, 50_000, (_REST_SET,), 160_000, 1_000)), cache_limits={"max_bytes": 16 << 20}),
    Shape("storm", "10,000 clients reconnect over TLS", "connections", 10_000, {},
          (Churn("hold", "http1", 10_000, 0, "GET /cache/bench?key=key:00000001"),), is_tls=True, factor=2, seconds=12),
    Shape("small-gets-unlimited", "small GETs, no limits", "operations", 0, {}, _SMALL_GETS, has_verdict=False),
    Shape("pipelines-unlimited", "pipelines, no limits", "operations", 0, {}, _PIPELINES, has_verdict=False),
]


def fill(shape, commands, keys=10_000, value=b"martlet-" * 13):
    """What the aggressor's requests find."""
    if shape.fills == "large":
        commands.send_all([("SET", f"large:{key:08}", b"x" * LARGE_BYTES) for key in range(8)], 1)
        return
    if shape.fills == "collections":
        _fill_collections(commands)
        return
    commands.send_all([("SET", f"key:{key:08}", value) for key in range(keys)])


def _fill_collections(commands, step=1_000):
    orders = []
    for start in range(0, ELEMENTS, step):
        numbers = [(number * 7_919) % 1_000_003 for number in range(start, start + step)]
        members = [f"member:{number:08}" for number in range(start, start + step)]
        orders.append(("SADD", "set:1", *members))
        orders.append(("SADD", "set:2", *(member[::-1] for member in members)))
        orders.append(("HSET", "hash", *(part for member in members for part in (member, "value"))))
        orders.append(("ZADD", "sorted", *(part for pair in zip(numbers, members) for part in pair)))
        orders.append(("RPUSH", "list", *numbers))
    commands.send_all(orders, 10)
