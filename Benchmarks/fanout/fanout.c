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

#include "load.h"

enum {
    // The largest frame or answer, the head of a WebSocket handshake too.
    held_capacity = text_capacity,
};

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

// What is sent and what must come back, made once. `delivery` and `publish_answer` are empty for WebSocket; MQTT has no
// answer to a publish.
static Bytes publish, delivery, publish_answer, subscribed_answer, connected_answer;

static Connection *connections;
static unsigned char buffer[held_capacity + buffer_capacity];

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

static uint64_t receive(uint32_t number, int flags) {
    Connection *connection = &connections[number];
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

// One connection after the other, each until the server has said that it is subscribed.
static void open_connection(uint32_t number) {
    Connection *connection = &connections[number];
    connection->is_publisher = number == subscriber_count;
    connection->descriptor = open_socket(number);
    Bytes opening = {0};
    append_opening(&opening, connection, number);
    send_all(connection->descriptor, &opening);
    free(opening.bytes);
    while (!connection->is_open) receive(number, 0);
    await_events(connection->descriptor, number);
}

static void publish_burst(uint32_t burst) {
    static Bytes pipelined;
    static uint32_t pipelined_count;
    if (pipelined_count != burst) {
        pipelined.count = 0;
        for (uint32_t index = 0; index < burst; index++) append(&pipelined, publish.bytes, publish.count);
        pipelined_count = burst;
    }
    is_publisher_waiting = protocol != mqtt;
    send_all(connections[subscriber_count].descriptor, &pipelined);
}

int main(int count, char **arguments) {
    if (count == 6 && strcmp(arguments[1], "redis") == 0) protocol = redis;
    else if (count == 6 && strcmp(arguments[1], "mqtt") == 0) protocol = mqtt;
    else if (count == 8 && strcmp(arguments[1], "websocket") == 0) protocol = websocket;
    else fail("usage: fanout redis|mqtt|websocket PORT SUBSCRIBERS TOPIC BYTES [CACHE TOKEN]");
    configure(arguments + 2);
    if (protocol == websocket) cache = arguments[6], token = arguments[7];
    prepare();
    connections = calloc(subscriber_count + 1, sizeof *connections);
    if (connections == NULL) fail("out of memory");
    for (uint32_t number = 0; number <= subscriber_count; number++) open_connection(number);
    printf("{\"ready\": %u}\n", subscriber_count);
    serve_commands();
    return 0;
}
