"""Conversations that hold with any server of the protocol.

A line of a conversation is `CONNECTION: COMMAND`. `=> N` after it tells how many replies or pushes come, one by
default; a line without a command waits for what comes by itself. `~` compares only the form: what is in it is a
server's own. `in any order` is for what nobody promised an order for. `!` expects the connection to be closed.
"""

TRANSCRIPTS = {
    "transaction": """
        a: MULTI
        a: SET k 1
        a: INCR k
        a: LPUSH k x
        a: GET k
        a: EXEC
        a: EXEC
        a: DISCARD
        a: MULTI
        a: MULTI
        a: WATCH k
        a: NOSUCH
        a: EXEC
        a: MULTI
        a: SET k
        a: SET k 5
        a: EXEC
        a: GET k
        a: MULTI
        a: DISCARD
        a: MULTI
        a: EXEC
        a: EXEC now
        a: MULTI now
        a: DISCARD now
    """,
    "watch": """
        a: SET k 1
        a: WATCH k
        b: SET k 2
        a: MULTI
        a: SET k 3
        a: EXEC
        a: GET k
        a: WATCH k other
        b: SET other 1
        a: UNWATCH
        a: MULTI
        a: SET k 3
        a: EXEC
        a: WATCH k
        a: SET k 4
        a: MULTI
        a: GET k
        a: EXEC
        a: WATCH absent
        b: DEL absent
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH k
        b: DEL k
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH absent
        b: SET absent 1
        b: DEL absent
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH k
        b: EXPIRE k 100
        a: MULTI
        a: PING
        a: EXEC
        b: SET k 1
        a: WATCH k
        b: EXPIRE k 100
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH k
        b: FLUSHALL
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH k
        b: FLUSHALL
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH
        b: RPUSH list 1
        a: WATCH list
        b: RPUSH list 2
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH list
        b: LRANGE list 0 -1
        b: LREM list 0 absent
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH list
        b: RENAME list other
        a: MULTI
        a: PING
        a: EXEC
        a: WATCH k
        b: SET k 9
        a: MULTI
        a: SET k 10
        a: DISCARD
        a: MULTI
        a: SET k 11
        a: EXEC
    """,
    "commands of a transaction": """
        a: MULTI
        a: BLPOP absent 0
        a: BZPOPMIN absent 0
        a: BLMOVE absent other LEFT LEFT 0
        a: RESET
        a: GET k
        a: MULTI
        a: PING
        a: ECHO hello
        a: SELECT 0
        a: CLIENT GETNAME
        a: DBSIZE
        a: KEYS *
        a: PUBLISH nobody hello
        a: EXEC
    """,
    "subscriptions": """
        a: SUBSCRIBE news other => 2
        b: PUBLISH news hello
        a: => 1
        b: PUBLISH absent hello
        b: PUBSUB NUMSUB news other absent
        b: PUBSUB NUMPAT
        a: PSUBSCRIBE n* => 1
        b: PUBSUB NUMPAT
        b: PUBLISH news twice
        a: => 2
        a: SUBSCRIBE news => 1
        a: UNSUBSCRIBE news => 1
        b: PUBLISH news once
        a: => 1
        a: PING
        a: PING hello
        a: UNSUBSCRIBE absent => 1
        a: UNSUBSCRIBE => 1
        a: UNSUBSCRIBE => 1
        a: PUNSUBSCRIBE => 1
        a: PUNSUBSCRIBE => 1
        a: GET k
        b: PUBLISH news none
        a: PING
    """,
    "patterns": """
        a: PSUBSCRIBE * h?llo h[ae]llo x* => 4
        b: PUBLISH hello 1
        a: => 3 in any order
        b: PUBLISH hallo 1
        a: => 3 in any order
        b: PUBLISH hillo 1
        a: => 2 in any order
        b: PUBSUB NUMPAT
        b: PUBSUB CHANNELS
        a: PUNSUBSCRIBE h?llo absent => 2
        b: PUBLISH hello 2
        a: => 2 in any order
        a: PUNSUBSCRIBE => 3 ~
        b: PUBLISH hello 3
    """,
    "shards": """
        a: SSUBSCRIBE orders => 1
        b: SPUBLISH orders 1
        a: => 1
        b: PUBSUB SHARDCHANNELS
        b: PUBSUB SHARDNUMSUB orders absent
        b: PUBSUB NUMSUB orders
        a: SUNSUBSCRIBE orders => 1
        a: SUNSUBSCRIBE => 1
        b: SPUBLISH orders 2
    """,
    "messages of any bytes": """
        a: SUBSCRIBE "a b" schlüssel => 2
        b: PUBLISH "a b" ""
        a: => 1
        b: PUBLISH "a b" "1 2"
        a: => 1
        b: PUBLISH schlüssel grün
        a: => 1
        b: PUBSUB CHANNELS a*
    """,
    "publishing to oneself": """
        a: SUBSCRIBE news => 1
        a: UNSUBSCRIBE news => 1
        a: PUBLISH news hello
        a: GET k
    """,
    "names": """
        a: CLIENT GETNAME
        a: CLIENT SETNAME worker-1
        a: CLIENT GETNAME
        a: CLIENT SETNAME "a b"
        a: CLIENT SETNAME ""
        a: CLIENT GETNAME
        a: HELLO 2 SETNAME other ~
        a: CLIENT GETNAME
        a: CLIENT SETNAME
        a: CLIENT
        a: CLIENT NOSUCH
        a: CLIENT NO-EVICT ON
        a: CLIENT NO-EVICT maybe
        a: CLIENT ID ~
        a: CLIENT ID x
        a: CLIENT REPLY
        a: CLIENT REPLY maybe
    """,
    "replies off": """
        a: CLIENT REPLY ON
        a: CLIENT REPLY OFF => 0
        a: SET k 1 => 0
        a: NOSUCH => 0
        a: CLIENT REPLY ON
        a: GET k
        a: CLIENT REPLY SKIP => 0
        a: SET k 2 => 0
        a: GET k
        a: CLIENT REPLY SKIP => 0
        a: CLIENT REPLY SKIP => 0
        a: SET k 3 => 0
        a: GET k
    """,
    "reset": """
        a: MULTI
        a: SET k 1
        a: CLIENT SETNAME x
        a: RESET
        a: EXEC
    """,
    "hello": """
        a: HELLO 4
        a: HELLO x
        a: HELLO 1
        a: HELLO 2 FOO
        a: HELLO 2 SETNAME
        a: HELLO 2 SETNAME "a b"
        a: HELLO 2 AUTH x
        a: HELLO ~
        a: HELLO 2 ~
        a: HELLO 3 ~
        a: HELLO ~
        a: HGETALL absent
        a: GET absent
        a: HELLO 2 ~
        a: HGETALL absent
        a: GET absent
    """,
    "quitting": """
        a: QUIT
        a: !
        b: QUIT now
        b: !
    """,
    "selecting": """
        a: SELECT 0
        a: SELECT 1
        a: SELECT -1
        a: SELECT x
        a: SELECT
        a: SELECT 0 1
    """,
    "unknown": """
        a: NOSUCH
        a: nosuch a b
        a: NoSuch "a long argument" 'another "one"'
        a: GET
        a: get a b
        a: SET a
        a: HSET h f
        a: CLIENT NOSUCH a
        a: CONFIG NOSUCH a
        a: CONFIG
        a: CONFIG GET
        a: OBJECT NOSUCH
        a: COMMAND NOSUCH
        a: PUBSUB NOSUCH
        a: PUBSUB NUMPAT 1
        a: MEMORY NOSUCH
        a: SLOWLOG NOSUCH
        a: LATENCY NOSUCH
        a: PING a b
        a: ECHO
    """,
    "configuration": """
        a: CONFIG GET maxmemory-policy-nosuch
        a: CONFIG GET save
        a: CONFIG GET appendonly
        a: CONFIG GET databases
        a: CONFIG GET nosuch*
    """,
    "sorting without sorting": """
        a: RPUSH l c a b
        a: SORT l BY nosort
        a: SORT l BY nosort DESC
        a: SORT l BY nosort LIMIT 1 1 GET #
        a: ZADD z 1 c 2 a 3 b
        a: SORT z BY nosort
        a: SORT z BY nosort DESC
        a: SORT z BY nosort LIMIT 1 2
        a: SORT z BY nosort DESC LIMIT 0 1
        a: SORT_RO z BY nosort LIMIT -1 5
        a: SORT z BY nosort STORE l
        a: LRANGE l 0 -1
        a: SORT absent BY nosort
        a: SORT absent STORE l
        a: EXISTS l
    """,
    "time to live": """
        a: SET k v PX 10600
        a: TTL k
        a: SET k v PX 10400
        a: TTL k
        a: SET k v EX 10
        a: TTL k
        a: EXPIRE k 20
        a: TTL k
        a: EXPIRE k 10 GT
        a: EXPIRE k 10 LT
        a: TTL k
        a: EXPIRE k 10 NX
        a: PERSIST k
        a: PERSIST k
        a: TTL k
        a: EXPIRE k 10 GT
        a: EXPIRE k 10 XX
        a: EXPIRE k 10 LT
        a: EXPIRE k 10 NX
        a: EXPIRE k 10 NX XX
        a: EXPIRE k 10 NX GT
        a: EXPIRE k 10 GT LT
        a: EXPIRE k 30 XX GT
        a: EXPIRE k 10 FOO
        a: TTL absent
        a: PTTL absent
        a: EXPIRETIME absent
        a: EXPIRE absent 10
        a: EXPIREAT k 4102444800
        a: EXPIRETIME k
        a: PEXPIRETIME k
        a: PEXPIREAT k 4102444800123
        a: PEXPIRETIME k
        a: EXPIRETIME k
        a: EXPIRE k -1
        a: EXISTS k
    """,
}

WAITING = {
    "one after the other": """
        a: BLPOP q 5 => 0
        b: BLPOP q 5 => 0
        c: RPUSH q 1 2 3
        a: => 1
        b: => 1
        c: LRANGE q 0 -1
    """,
    "the newest of a push": """
        a: BLPOP q 5 => 0
        c: LPUSH q 1 2 3
        a: => 1
        c: LRANGE q 0 -1
    """,
    "the first key that has something": """
        c: RPUSH second x
        c: RPUSH third y
        a: BLPOP first second third 5
        a: BLPOP first second third 5
        a: BLPOP first second third 5 => 0
        c: MULTI
        c: RPUSH third z
        c: RPUSH first w
        c: EXEC
        a: => 1
        c: KEYS * ~
    """,
    "other ways to fill a list": """
        a: BLPOP q 5 => 0
        c: RPUSH other 1
        c: RENAME other q
        a: => 1
        a: BLPOP q 5 => 0
        c: RPUSH other 2
        c: LMOVE other q LEFT RIGHT
        a: => 1
        a: BLPOP q 5 => 0
        c: RPUSH other 3 1
        c: SORT other STORE q
        a: => 1
        c: DEL q
        a: BLPOP q 5 => 0
        c: COPY other q
        a: => 1
    """,
    "other ways to fill a sorted set": """
        a: BZPOPMIN z 5 => 0
        c: ZADD other 1 a 2 b
        c: ZUNIONSTORE z 1 other
        a: => 1
        c: DEL z
        a: BZPOPMAX z 5 => 0
        c: ZRANGESTORE z other 0 -1
        a: => 1
        c: DEL z
        a: BZMPOP 5 1 z MIN COUNT 5 => 0
        c: GEOADD z 13.361389 38.115556 Palermo
        a: => 1
        a: BZPOPMIN z 5 => 0
        c: ZINCRBY z 2.5 m
        a: => 1
    """,
    "what does not wake": """
        a: BLPOP q 0.3 => 0
        c: ZADD q 1 a
        c: DEL q
        c: MULTI
        c: RPUSH q 1
        c: LPOP q
        c: EXEC
        a: => 1
    """,
    "from list to list to whoever waits there": """
        a: BLMOVE one two LEFT RIGHT 5 => 0
        b: BLPOP two 5 => 0
        c: RPUSH one x
        a: => 1
        b: => 1
        c: EXISTS one two
    """,
    "a target of another type": """
        c: SET two text
        a: BLMOVE one two LEFT RIGHT 0.5 => 0
        c: RPUSH one x
        a: => 1
        c: LRANGE one 0 -1
    """,
    "a key of another type": """
        c: SET q text
        a: BLPOP q 1
        a: BLPOP absent q 1
        a: BZPOPMIN q 1
        a: BLMPOP 1 1 q LEFT
    """,
    "what stands behind": """
        a: BLPOP q 0.2 => 0
        a: PING => 0
        a: SET k 1 => 0
        a: => 3
    """,
    "several at once": """
        a: BLMPOP 5 2 first second RIGHT COUNT 2 => 0
        c: RPUSH second 1 2 3
        a: => 1
        a: BLMPOP 0.05 1 nothing LEFT
        a: BLMPOP 0.05 1 second LEFT COUNT 10
    """,
    "times that cannot be": """
        a: BLPOP q -1
        a: BLPOP q abc
        a: BLPOP q 1e400
        a: BLPOP q
        a: BLMPOP abc 1 q LEFT
        a: BLMPOP 0 0 q LEFT
        a: BLMPOP 0 1 q MIDDLE
        a: BLMPOP 0 1 q LEFT COUNT 0
        a: BZMPOP -1 1 q MIN
        a: BLMOVE a b LEFT MIDDLE 0
        a: BRPOPLPUSH a b -0.5
        a: BLPOP q 0.01
        a: BLPOP q .01
        a: BRPOPLPUSH q r 0.01
        a: BLMOVE q r LEFT LEFT 0.01
        a: BZPOPMIN q 0.01
        a: BZMPOP 0.01 1 q MAX
    """,
    "a key that is over": """
        c: RPUSH q x
        c: PEXPIRE q 1
        a: BLPOP never 0.03
        a: BLPOP q 0.1
    """,
    "a transaction behind": """
        a: BLPOP q 5 => 0
        a: MULTI => 0
        a: GET k => 0
        a: EXEC => 0
        c: RPUSH q x
        a: => 4
    """,
}

VERSION_3 = {
    "subscriptions of version 3": """
        a: SUBSCRIBE news other => 2
        a: GET k
        a: SET k v
        b: PUBLISH news hello
        a: => 1
        a: PING
        a: PING hello
        a: PSUBSCRIBE n* => 1
        b: PUBLISH news again
        a: => 2
        a: SSUBSCRIBE news => 1
        b: SPUBLISH news shard
        a: => 1
        a: UNSUBSCRIBE news => 1
        a: UNSUBSCRIBE => 1
        a: UNSUBSCRIBE => 1
        a: PUNSUBSCRIBE => 1
        a: MULTI
        a: GET k
        a: EXEC
    """,
    "tracking": """
        a: CLIENT TRACKING ON
        a: CLIENT TRACKINGINFO
        a: GET k
        b: SET k 1
        a: => 1
        b: SET k 2
        a: PING
        a: GET k
        a: GET other
        b: MSET k 1 other 2
        a: => 2
        a: MGET k other
        a: SET k 5 => 2
        b: DEL other
        a: => 1
        a: GET k
        b: EXPIRE k 100
        a: => 1
        a: GET k
        b: RENAME k other
        a: => 1
        a: HGET h f
        b: HSET h g 1
        a: => 1
        a: CLIENT TRACKING OFF
        a: GET k
        b: SET k 6
        a: PING
        a: CLIENT TRACKINGINFO
    """,
    "tracking without what one wrote oneself": """
        a: CLIENT TRACKING ON NOLOOP
        a: CLIENT TRACKINGINFO
        a: GET k
        a: SET k 1
        a: GET k
        b: SET k 2
        a: => 1
    """,
    "tracking of prefixes": """
        a: CLIENT TRACKING ON BCAST PREFIX user: PREFIX cart:
        a: CLIENT TRACKINGINFO
        b: SET user:1 x
        a: => 1
        b: SET other x
        b: SET cart:1 x
        a: => 1
        a: PING
        a: CLIENT TRACKING ON BCAST PREFIX user:1
        a: CLIENT TRACKING OFF
        b: SET user:1 y
        a: PING
    """,
    "tracking by choice": """
        a: CLIENT TRACKING ON OPTIN
        a: GET k
        b: SET k 1
        a: PING
        a: CLIENT CACHING YES
        a: GET k
        b: SET k 2
        a: => 1
        a: CLIENT CACHING NO
        a: CLIENT TRACKING ON OPTOUT
        a: CLIENT TRACKING OFF
        a: CLIENT TRACKING ON OPTOUT
        a: GET k
        b: SET k 3
        a: => 1
        a: CLIENT CACHING NO
        a: GET k
        b: SET k 4
        a: PING
    """,
    "tracking that cannot be": """
        a: CLIENT TRACKING
        a: CLIENT TRACKING MAYBE
        a: CLIENT TRACKING ON FOO
        a: CLIENT TRACKING ON PREFIX a
        a: CLIENT TRACKING ON BCAST PREFIX a PREFIX ab
        a: CLIENT TRACKING ON OPTIN OPTOUT
        a: CLIENT TRACKING ON BCAST OPTIN
        a: CLIENT TRACKING ON REDIRECT 999999999
        a: CLIENT CACHING YES
        a: CLIENT GETREDIR
        a: CLIENT TRACKINGINFO
    """,
    "tracking of a flushed cache": """
        a: CLIENT TRACKING ON
        a: GET k
        b: FLUSHALL
        a: => 1
    """,
    "types": """
        a: HSET h a 1
        a: HGETALL h
        a: SADD s a
        a: SMEMBERS s
        a: SPOP absent
        a: ZADD z 1.5 a 2 b
        a: ZADD z INCR 1 a
        a: ZADD z NX INCR 1 a
        a: ZSCORE z a
        a: ZSCORE z absent
        a: ZMSCORE z a absent
        a: ZRANGE z 0 -1 WITHSCORES
        a: ZPOPMIN z
        a: ZPOPMIN z 5
        a: ZPOPMIN z
        a: ZADD z inf a -inf b
        a: ZRANGE z 0 -1 WITHSCORES
        a: ZINCRBY z 1 a
        a: ZRANDMEMBER z 2 WITHSCORES ~
        a: ZMPOP 1 z MIN
        a: GEOADD g 13.361389 38.115556 a
        a: GEOPOS g a absent
        a: GEODIST g a a
        a: CONFIG GET maxmemory ~
        a: COMMAND INFO get nosuch ~
        a: LPOS l x
        a: LPOP l
        a: LPOP l 2
        a: BLPOP l 0.01
        a: BZPOPMIN q 0.01
        a: SRANDMEMBER absent
        a: RANDOMKEY ~
        a: GET absent
        a: MGET absent
        a: XYZZY
        a: INCRBYFLOAT f 1.5
        a: HINCRBYFLOAT h f 1.5
        a: OBJECT ENCODING absent
    """,
}
