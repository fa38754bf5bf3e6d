// The load of the fan-out benchmark: many subscribers of one topic and one publisher, over one of three protocols.
//
//     fanout redis|mqtt PORT SUBSCRIBERS TOPIC BYTES
//     fanout websocket PORT SUBSCRIBERS TOPIC BYTES CACHE TOKEN
//
// It connects to 127.0.0.1:PORT, subscribes every connection to TOPIC and prints {"ready": SUBSCRIBERS}. Then it takes
// one command a line from standard input, "BURST COUNT", and answers each with a line of JSON:
//
//     COUNT times: write BURST publishes of BYTES bytes at once, and wait until every subscriber has had all of them
//     and the publisher every answer that its protocol gives.
//
// The end of standard input ends it. Whatever is not as it must be - a connection that closes, a delivery that is
// missing, that comes twice, or that holds anything else than what was published - ends it with an "error" in JSON.
//
// What it counts is exact. In RESP and in MQTT a delivery of a known message to a known topic is one sequence of bytes,
// and so is each answer of the server: what arrives is compared with that, byte by byte. A WebSocket frame of Martlet
// holds a sequence number, so there the frame is parsed, and the text is compared where it was found in the last one.
// Every subscriber counts for itself: a burst is over when the last of them has had as many as were published.
//
// The latency of a delivery is the time from just before the write of its publish, or burst, to just after the read
// that brought it, and with thousands of sockets the reads before it are in it. The histogram is exact to 1.6 %.
//
// It has one core to itself and must be faster than the server on the other. So it is one thread, one epoll (level
// triggered, no second read of a socket to find it empty), one buffer for all reads. During a burst it polls without
// sleeping: a sleeping reader would have to be woken, which the kernel does in the server's system calls and counts as
// the server's CPU time; from readers on other machines no server ever has that cost. "wakeful" in the answer is the
// share of polls that found something: close to 1, this program is what limits the figures.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    patience_seconds = 30,
    largest_message = 1024,
    // The largest frame or answer, the head of a WebSocket handshake too.
    held_capacity = 2048,
    buffer_capacity = 256 * 1024,
    events_capacity = 512,
    // Buckets of the histogram: 64 for each power of two nanoseconds.
    bucket_bits = 6,
    bucket_count = (64 - bucket_bits + 1) << bucket_bits,
};

typedef struct {
    unsigned char *bytes;
    size_t count, capacity;
} Bytes;

typedef struct {
    int descriptor;
    bool is_publisher, is_upgraded, is_open;
    uint32_t held_count;
    // Subscriber: deliveries. Publisher: answers to its publishes.
    uint64_t received;
    // What was read of a frame that is not complete yet.
    unsigned char held[held_capacity];
} Connection;

typedef enum { redis, mqtt, websocket } Protocol;

static Protocol protocol;
static uint32_t subscriber_count;
static const char *topic, *cache, *token;
static char message[largest_message + 1];
static size_t message_bytes;
static struct sockaddr_in server;

// What is sent and what must come back, made once. `delivery` and `publish_answer` are empty for WebSocket; MQTT has no
// answer to a publish.
static Bytes publish, delivery, publish_answer, subscribed_answer, connected_answer;

static Connection *connections;
static int poller;
static unsigned char buffer[held_capacity + buffer_capacity];

// Each subscriber must have had `published` messages; so many have not.
static uint64_t published;
static uint32_t waiting_count;
static bool is_publisher_waiting;

static uint64_t histogram[bucket_count];

// Ends

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("{\"error\": \"", stdout);
    vprintf(format, arguments);
    puts("\"}");
    va_end(arguments);
    exit(1);
}

static int64_t now_nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static double own_cpu_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// Bytes

static void append(Bytes *to, const void *bytes, size_t count) {
    if (to->count + count > to->capacity) {
        to->capacity = 2 * (to->count + count);
        to->bytes = realloc(to->bytes, to->capacity);
        if (to->bytes == NULL) fail("out of memory");
    }
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

__attribute__((format(printf, 2, 3))) static void append_text(Bytes *to, const char *format, ...) {
    char text[held_capacity];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (count < 0 || (size_t)count >= sizeof text) fail("a name or the token is too long");
    append(to, text, (size_t)count);
}

// Requests, and the answers that are known in advance

// MQTT 3.1.1 section 2.2: a packet with its fixed header; its body is at most 16,383 bytes here.
static void append_mqtt(Bytes *to, unsigned char type, const Bytes *body) {
    unsigned char head[3] = {type, (unsigned char)(body->count & 0x7F), (unsigned char)(body->count >> 7)};
    if (body->count > 127) head[1] |= 0x80;
    append(to, head, body->count > 127 ? 3 : 2);
    append(to, body->bytes, body->count);
}

static void append_mqtt_string(Bytes *to, const char *text) {
    size_t count = strlen(text);
    unsigned char length[2] = {(unsigned char)(count >> 8), (unsigned char)count};
    append(to, length, 2);
    append(to, text, count);
}

// RFC 6455 section 5.2: a text frame of a client. All have the same mask: only a proxy would need it to be random.
static void append_frame(Bytes *to, const char *text) {
    static const unsigned char mask[4] = {0x5A, 0x13, 0xC7, 0x8E};
    size_t count = strlen(text);
    unsigned char head[4] = {0x81, (unsigned char)(0x80 | count), 0, 0};
    if (count > 125) {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(count >> 8);
        head[3] = (unsigned char)count;
    }
    append(to, head, count > 125 ? 4 : 2);
    append(to, mask, 4);
    for (size_t index = 0; index < count; index++) {
        unsigned char byte = (unsigned char)text[index] ^ mask[index % 4];
        append(to, &byte, 1);
    }
}

static void prepare(void) {
    Bytes body = {0};
    char text[held_capacity];
    switch (protocol) {
    case redis:
        append_text(&publish, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(topic), topic,
                    message_bytes, message);
        append_text(&delivery, "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(topic), topic,
                    message_bytes, message);
        append_text(&subscribed_answer, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:1\r\n", strlen(topic), topic);
        append_text(&connected_answer, "+PONG\r\n");
        append_text(&publish_answer, ":%u\r\n", subscriber_count);
        break;
    case mqtt:
        append_mqtt_string(&body, topic);
        append(&body, message, message_bytes);
        append_mqtt(&publish, 0x30, &body);
        append_mqtt(&delivery, 0x30, &body);
        append(&connected_answer, "\x20\x02\x00\x00", 4);
        append(&subscribed_answer, "\x20\x02\x00\x00\x90\x03\x00\x01\x00", 9);
        break;
    case websocket:
        snprintf(text, sizeof text, "{\"publish\":{\"text\":\"%s\"}}", message);
        append_frame(&publish, text);
        break;
    }
    free(body.bytes);
}

// What a connection sends when it opens. The publisher does not subscribe where the protocol gives it the choice; a
// WebSocket on the topic's URL is a subscriber too.
static void append_opening(Bytes *to, const Connection *connection, uint32_t number) {
    Bytes body = {0};
    char name[24];
    switch (protocol) {
    case redis:
        if (connection->is_publisher) append_text(to, "PING\r\n");
        else append_text(to, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(topic), topic);
        break;
    case mqtt:
        // Protocol level 4, a clean session, no keep-alive.
        append(&body, "\x00\x04MQTT\x04\x02\x00\x00", 10);
        snprintf(name, sizeof name, "bench-%u", number);
        append_mqtt_string(&body, name);
        append_mqtt(to, 0x10, &body);
        if (!connection->is_publisher) {
            body.count = 0;
            append(&body, "\x00\x01", 2);
            append_mqtt_string(&body, topic);
            append(&body, "\x00", 1);
            append_mqtt(to, 0x82, &body);
        }
        break;
    case websocket:
        append_text(to,
                    "GET /topics/%s/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Authorization: Bearer %s\r\n\r\n",
                    cache, topic, token);
        break;
    }
    free(body.bytes);
}

// Deliveries

static void count_received(Connection *connection) {
    if (++connection->received == published) {
        if (connection->is_publisher) is_publisher_waiting = false;
        else waiting_count--;
    } else if (connection->received > published) {
        fail("%s received %s than was published", connection->is_publisher ? "the publisher" : "a subscriber",
             connection->is_publisher ? "more answers" : "more");
    }
}

// Whether `bytes` begin with what was expected, or end before they could: then `is_complete` is false.
static bool match(const Bytes *expected, const unsigned char *bytes, size_t count, bool *is_complete) {
    *is_complete = count >= expected->count;
    return expected->count > 0 && memcmp(bytes, expected->bytes, *is_complete ? expected->count : count) == 0;
}

static size_t parse_known(Connection *connection, const unsigned char *bytes, size_t count) {
    size_t position = 0;
    while (position < count) {
        const Bytes *expected = connection->is_publisher ? &publish_answer : &delivery;
        if (!connection->is_open) expected = connection->is_publisher ? &connected_answer : &subscribed_answer;
        bool is_complete;
        if (!match(expected, bytes + position, count - position, &is_complete))
            fail("%s received something else than it expected: byte 0x%02x",
                 connection->is_publisher ? "the publisher" : "a subscriber", bytes[position]);
        if (!is_complete) break;
        position += expected->count;
        if (connection->is_open) count_received(connection);
        else connection->is_open = true;
    }
    return position;
}

static bool has_prefix(const unsigned char *bytes, size_t count, const char *prefix) {
    size_t length = strlen(prefix);
    return count >= length && memcmp(bytes, prefix, length) == 0;
}

static void quote_and_fail(const char *what, const unsigned char *bytes, size_t count) {
    char text[256];
    size_t length = 0;
    for (; length < count && length < sizeof text - 1; length++) {
        unsigned char byte = bytes[length];
        text[length] = byte == '"' || byte == '\\' ? '\'' : byte < ' ' || byte > '~' ? ' ' : (char)byte;
    }
    text[length] = 0;
    fail("%s: %s", what, text);
}

// The text stands at the same place in every item, counted from its end: nothing after it changes.
static bool holds_message(const unsigned char *bytes, size_t count) {
    static size_t from_end;
    if (from_end >= message_bytes && from_end <= count && memcmp(bytes + count - from_end, message, message_bytes) == 0)
        return true;
    const unsigned char *found = memmem(bytes, count, message, message_bytes);
    if (found != NULL) from_end = (size_t)(bytes + count - found);
    return found != NULL;
}

static void take_frame(Connection *connection, unsigned char head, const unsigned char *bytes, size_t count) {
    if (head == 0x81 && has_prefix(bytes, count, "{\"item\":")) {
        if (!connection->is_open) quote_and_fail("the first frame was no heartbeat", bytes, count);
        if (!holds_message(bytes, count)) quote_and_fail("an item is not what was published", bytes, count);
        if (!connection->is_publisher) count_received(connection);
    } else if (head == 0x81 && has_prefix(bytes, count, "{\"published\":")) {
        count_received(connection);
    } else if (head == 0x81 && has_prefix(bytes, count, "{\"heartbeat\":")) {
        connection->is_open = true;
    } else {
        quote_and_fail(head == 0x88 ? "the server closed a WebSocket" : "an unexpected frame", bytes, count);
    }
}

static size_t parse_websocket(Connection *connection, const unsigned char *bytes, size_t count) {
    size_t position = 0;
    if (!connection->is_upgraded) {
        const unsigned char *end = memmem(bytes, count, "\r\n\r\n", 4);
        if (end == NULL) return 0;
        // The answer to the key above.
        if (!has_prefix(bytes, count, "HTTP/1.1 101 ")
            || memmem(bytes, count, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28) == NULL)
            quote_and_fail("no WebSocket was opened", bytes, count);
        connection->is_upgraded = true;
        position = (size_t)(end - bytes) + 4;
    }
    while (count - position >= 2) {
        size_t head_bytes = 2, length = bytes[position + 1];
        if (length == 126) {
            head_bytes = 4;
            if (count - position < head_bytes) break;
            length = (size_t)bytes[position + 2] << 8 | bytes[position + 3];
        }
        if (length > held_capacity - 4) fail("a frame of a length that nobody asked for");
        if (count - position < head_bytes + length) break;
        take_frame(connection, bytes[position], bytes + position + head_bytes, length);
        position += head_bytes + length;
    }
    return position;
}

// One read of a connection that is readable. Gives how many messages it brought to a subscriber.
static uint64_t receive(Connection *connection, int flags) {
    unsigned char *start = buffer + held_capacity - connection->held_count;
    ssize_t count = recv(connection->descriptor, buffer + held_capacity, buffer_capacity, flags);
    if (count == 0) fail("the server closed a connection");
    if (count < 0) {
        if (errno == EINTR || (errno == EAGAIN && flags != 0)) return 0;
        fail("a connection failed: %s", strerror(errno));
    }
    // What was held stands in front of what was read, so that frames are whole.
    memcpy(start, connection->held, connection->held_count);
    size_t available = (size_t)count + connection->held_count;
    uint64_t before = connection->received;
    size_t used = protocol == websocket ? parse_websocket(connection, start, available)
                                        : parse_known(connection, start, available);
    if (available - used > held_capacity) fail("a head or a frame is too long");
    connection->held_count = (uint32_t)(available - used);
    memcpy(connection->held, start + used, connection->held_count);
    return connection->is_publisher ? 0 : connection->received - before;
}

static void send_all(const Connection *connection, const Bytes *bytes) {
    for (size_t sent = 0; sent < bytes->count;) {
        ssize_t count = send(connection->descriptor, bytes->bytes + sent, bytes->count - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR) fail("a connection failed: %s", strerror(errno));
        if (count > 0) sent += (size_t)count;
    }
}

// One connection after the other, each until the server has said that it is subscribed.
static void open_connection(uint32_t number) {
    Connection *connection = &connections[number];
    connection->is_publisher = number == subscriber_count;
    int one = 1;
    struct timeval patience = {.tv_sec = patience_seconds};
    connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->descriptor < 0) fail("no socket for connection %u: %s", number, strerror(errno));
    setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(connection->descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(connection->descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(connection->descriptor, (struct sockaddr *)&server, sizeof server) != 0)
        fail("connection %u was not accepted: %s", number, strerror(errno));
    Bytes opening = {0};
    append_opening(&opening, connection, number);
    send_all(connection, &opening);
    free(opening.bytes);
    while (!connection->is_open) receive(connection, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->descriptor, &event) != 0) fail("epoll: %s", strerror(errno));
}

// Latency

static unsigned bucket_of(uint64_t nanoseconds) {
    if (nanoseconds >> bucket_bits == 0) return (unsigned)nanoseconds;
    unsigned shift = 63 - (unsigned)__builtin_clzll(nanoseconds) - bucket_bits;
    return ((shift + 1) << bucket_bits) + (unsigned)((nanoseconds >> shift) & ((1 << bucket_bits) - 1));
}

// The middle of the bucket that the percentile falls in, in microseconds.
static double percentile(double share, uint64_t total) {
    uint64_t wanted = (uint64_t)(share * (double)total), seen = 0;
    for (unsigned bucket = 0; bucket < bucket_count; bucket++) {
        seen += histogram[bucket];
        if (seen > wanted || (seen == total && seen > 0)) {
            unsigned exponent = bucket >> bucket_bits, mantissa = bucket & ((1 << bucket_bits) - 1);
            if (exponent == 0) return mantissa / 1e3;
            return ((double)((1 << bucket_bits) + mantissa) + 0.5) * (double)(1ull << (exponent - 1)) / 1e3;
        }
    }
    return 0;
}

// Runs

static void run(uint32_t burst, uint32_t rounds) {
    Bytes pipelined = {0};
    for (uint32_t index = 0; index < burst; index++) append(&pipelined, publish.bytes, publish.count);
    memset(histogram, 0, sizeof histogram);
    struct epoll_event events[events_capacity];
    uint64_t polls = 0, empty_polls = 0, deliveries = 0;
    double own_start = own_cpu_seconds();
    int64_t started = now_nanoseconds();
    for (uint32_t round = 0; round < rounds; round++) {
        published += burst;
        waiting_count = subscriber_count;
        is_publisher_waiting = protocol != mqtt;
        int64_t sent_at = now_nanoseconds(), progressed_at = sent_at;
        send_all(&connections[subscriber_count], &pipelined);
        while (waiting_count > 0 || is_publisher_waiting) {
            int count = epoll_wait(poller, events, events_capacity, 0);
            polls++;
            if (count <= 0) {
                empty_polls++;
                if (now_nanoseconds() - progressed_at > patience_seconds * 1000000000ll)
                    fail("%u subscribers did not receive all of %llu messages", waiting_count,
                         (unsigned long long)published);
                continue;
            }
            for (int index = 0; index < count; index++) {
                uint64_t brought = receive(&connections[events[index].data.u32], MSG_DONTWAIT);
                if (brought == 0) continue;
                progressed_at = now_nanoseconds();
                histogram[bucket_of((uint64_t)(progressed_at - sent_at))] += brought;
                deliveries += brought;
            }
        }
    }
    double seconds = (double)(now_nanoseconds() - started) / 1e9, own_seconds = own_cpu_seconds() - own_start;
    printf("{\"publishes\": %llu, \"deliveries\": %llu, \"seconds\": %.6f, \"own_cpu_seconds\": %.6f, "
           "\"wakeful\": %.4f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           (unsigned long long)burst * rounds, (unsigned long long)deliveries, seconds, own_seconds,
           (double)(polls - empty_polls) / (double)polls, percentile(0.5, deliveries), percentile(0.99, deliveries));
    free(pipelined.bytes);
}

// Between two runs: heartbeats are read, so that they do not pile up, and a delivery now is one too many.
static void serve_commands(void) {
    const uint32_t input = UINT32_MAX;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = input}, events[events_capacity];
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) fail("epoll: %s", strerror(errno));
    while (true) {
        int count = epoll_wait(poller, events, events_capacity, -1);
        bool has_command = false;
        for (int index = 0; index < count; index++) {
            if (events[index].data.u32 == input) has_command = true;
            else receive(&connections[events[index].data.u32], MSG_DONTWAIT);
        }
        if (!has_command) continue;
        char line[64];
        uint32_t burst, rounds;
        // Unbuffered, so that epoll knows of every line that is still to be read.
        if (fgets(line, sizeof line, stdin) == NULL) return;
        if (sscanf(line, "%u %u", &burst, &rounds) != 2 || burst == 0) fail("not a command");
        epoll_ctl(poller, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        run(burst, rounds);
        epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    }
}

int main(int count, char **arguments) {
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count == 6 && strcmp(arguments[1], "redis") == 0) protocol = redis;
    else if (count == 6 && strcmp(arguments[1], "mqtt") == 0) protocol = mqtt;
    else if (count == 8 && strcmp(arguments[1], "websocket") == 0) protocol = websocket;
    else fail("usage: fanout redis|mqtt|websocket PORT SUBSCRIBERS TOPIC BYTES [CACHE TOKEN]");
    server = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(arguments[2])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    subscriber_count = (uint32_t)atoi(arguments[3]);
    topic = arguments[4];
    message_bytes = (size_t)atoi(arguments[5]);
    if (protocol == websocket) cache = arguments[6], token = arguments[7];
    if (subscriber_count == 0 || message_bytes == 0 || message_bytes > largest_message)
        fail("a number is out of range");
    for (size_t index = 0; index < message_bytes; index++) message[index] = "martlet-"[index % 8];
    prepare();

    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc(subscriber_count + 1, sizeof *connections);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || poller < 0) fail("out of memory or descriptors");
    for (uint32_t number = 0; number <= subscriber_count; number++) open_connection(number);
    printf("{\"ready\": %u}\n", subscriber_count);
    serve_commands();
    return 0;
}
