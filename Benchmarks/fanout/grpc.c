// The load of the fan-out benchmark over gRPC: subscriptions of one topic, many on a connection, and one publisher.
//
//     grpc PORT SUBSCRIPTIONS TOPIC BYTES CONNECTIONS CACHE [TOKEN]
//
// It opens CONNECTIONS to 127.0.0.1:PORT with as many Subscribe calls on each, waits for the first message of each one,
// which must be a heartbeat, and prints {"ready": SUBSCRIPTIONS}. Commands, answers, what is counted and why it never
// sleeps during a burst: see fanout.c. A publish is a unary call on a connection of its own, and a burst is that many
// calls at once.
//
// It speaks just as much HTTP/2 (RFC 9113) as this takes, because a library would be slower than the server that it is
// to measure. Its header blocks go through the dynamic table (RFC 7541), so that from the second call of a connection
// on they are a few bytes, as those of gRPC's own clients; blocks that it receives it does not decode. That a call was
// answered well shows in its messages: a call that failed has none. The windows that it grants are as large as can be.

#include "load.h"

enum {
    frame_head_bytes = 9,
    // The largest frame that a server may send to a client that did not ask for more.
    largest_frame = 16 * 1024,
    // The length-prefix of a gRPC message: a flag, and four bytes.
    prefix_bytes = 5,
    largest_item = 2 * largest_message,
    first_window = 65535,
    largest_window = 0x7FFFFFFF,
    // What may have arrived before the server is told that the window is open again.
    grant_bytes = 1 << 28,
    // The fields of a call that are put into the dynamic table, whose newest entry is 62.
    newest_index = 62,
    largest_field_count = 8,
};

enum { frame_data, frame_headers, frame_reset = 3, frame_settings, frame_ping = 6, frame_goaway, frame_window = 8,
       frame_continuation };
enum { flag_ack = 0x1, flag_end_stream = 0x1, flag_end_headers = 0x4, flag_padded = 0x8 };

// One Subscribe call.
typedef struct {
    uint64_t received;
    uint64_t ungranted_bytes;
    bool is_open;
    // What was received of a message that goes on in another frame.
    uint32_t held_count;
    unsigned char held[prefix_bytes + largest_item];
} Stream;

typedef struct {
    int descriptor;
    bool is_publisher;
    uint64_t ungranted_bytes;
    // Of subscribers: their streams, 1, 3, 5 and so on.
    Stream *streams;
    uint32_t stream_count, open_count;
    // The block of the first call and that of all others, and the message.
    Bytes first_block, block, body;
    uint32_t next_stream;
    // What the server lets this connection send.
    int64_t window;
    uint32_t held_count;
    unsigned char held[frame_head_bytes + largest_frame];
} Connection;

// Where the calls of the current burst are. Each is answered by one empty message and the end of its stream.
typedef enum { asked, answered, ended } CallState;
static unsigned char *calls;
static uint32_t call_capacity, call_count, unsent_count, unended_count, first_call_stream;

static Connection *connections;
static uint32_t connection_count;
static unsigned char buffer[frame_head_bytes + largest_frame + buffer_capacity];

// Bytes of HTTP/2, HPACK and Protocol Buffers

static uint32_t read_number(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void append_number(Bytes *to, uint32_t number) {
    unsigned char bytes[4] = {number >> 24, number >> 16, number >> 8, number};
    append(to, bytes, sizeof bytes);
}

static void append_byte(Bytes *to, unsigned char byte) { append(to, &byte, 1); }

static void append_frame(Bytes *to, unsigned char kind, unsigned char flags, uint32_t stream, const Bytes *payload) {
    unsigned char head[5] = {payload->count >> 16, payload->count >> 8, payload->count, kind, flags};
    append(to, head, sizeof head);
    append_number(to, stream);
    append(to, payload->bytes, payload->count);
}

static void append_window_update(Bytes *to, uint32_t stream, uint32_t bytes) {
    Bytes payload = {0};
    append_number(&payload, bytes);
    append_frame(to, frame_window, 0, stream, &payload);
    free(payload.bytes);
}

// RFC 7541 section 5.2: a string that is not Huffman coded.
static void append_string(Bytes *to, const char *text) {
    size_t length = strlen(text), rest = length - 127;
    append_byte(to, length < 127 ? (unsigned char)length : 127);
    if (length >= 127) {
        for (; rest > 127; rest >>= 7) append_byte(to, 0x80 | (rest & 0x7F));
        append_byte(to, (unsigned char)rest);
    }
    append(to, text, strlen(text));
}

// A field of Protocol Buffers that holds bytes.
static void append_field(Bytes *to, unsigned number, const void *bytes, size_t count) {
    append_byte(to, (unsigned char)(number << 3 | 2));
    for (size_t rest = count;; rest >>= 7) {
        append_byte(to, (rest & 0x7F) | (rest > 127 ? 0x80 : 0));
        if (rest <= 127) break;
    }
    append(to, bytes, count);
}

// Calls

// `index` is that of a field name in the static table, 0 for a name that is not there.
static void append_header(Connection *connection, uint32_t *count, unsigned char index, const char *name,
                          const char *value) {
    append_byte(&connection->first_block, 0x40 | index);
    if (index == 0) append_string(&connection->first_block, name);
    append_string(&connection->first_block, value);
    ++*count;
}

static void prepare_blocks(Connection *connection, const char *path) {
    Bytes authority = {0};
    uint32_t count = 0;
    append_text(&authority, "127.0.0.1:%u%c", ntohs(server.sin_port), 0);
    // :method POST and :scheme http.
    append(&connection->first_block, "\x83\x86", 2);
    append(&connection->block, "\x83\x86", 2);
    append_header(connection, &count, 4, ":path", path);
    append_header(connection, &count, 1, ":authority", (const char *)authority.bytes);
    append_header(connection, &count, 31, "content-type", "application/grpc");
    append_header(connection, &count, 0, "te", "trailers");
    append_header(connection, &count, 0, "cache", cache);
    if (token != NULL) append_header(connection, &count, 23, "authorization", token);
    while (count > 0) append_byte(&connection->block, (unsigned char)(0x80 | (newest_index + --count)));
    free(authority.bytes);
}

static void prepare_body(Connection *connection) {
    Bytes value = {0}, request = {0};
    append_field(&request, 1, cache, strlen(cache));
    append_field(&request, 2, topic, strlen(topic));
    if (connection->is_publisher) {
        append_field(&value, 1, message, message_bytes);
        append_field(&request, 3, value.bytes, value.count);
    }
    append_byte(&connection->body, 0);
    append_number(&connection->body, (uint32_t)request.count);
    append(&connection->body, request.bytes, request.count);
    free(value.bytes);
    free(request.bytes);
}

static void append_call(Bytes *to, Connection *connection) {
    uint32_t stream = connection->next_stream;
    connection->next_stream += 2;
    connection->window -= (int64_t)connection->body.count;
    append_frame(to, frame_headers, flag_end_headers, stream, stream == 1 ? &connection->first_block
                                                                          : &connection->block);
    append_frame(to, frame_data, flag_end_stream, stream, &connection->body);
}

// As many publishes of the burst as the server has a window for.
static void send_publishes(Connection *publisher) {
    static Bytes pipelined;
    pipelined.count = 0;
    for (; unsent_count > 0 && publisher->window >= (int64_t)publisher->body.count; unsent_count--)
        append_call(&pipelined, publisher);
    send_all(publisher->descriptor, &pipelined);
}

static void publish_burst(uint32_t burst) {
    Connection *publisher = &connections[connection_count];
    if (burst > call_capacity) {
        calls = realloc(calls, burst);
        if (calls == NULL) fail("out of memory");
        call_capacity = burst;
    }
    memset(calls, asked, burst);
    first_call_stream = publisher->next_stream;
    call_count = unsent_count = unended_count = burst;
    is_publisher_waiting = true;
    send_publishes(publisher);
}

// Answers

static void grant(Connection *connection, uint32_t number, uint64_t *ungranted, size_t bytes) {
    *ungranted += bytes;
    if (*ungranted < grant_bytes) return;
    Bytes update = {0};
    append_window_update(&update, number, (uint32_t)*ungranted);
    send_all(connection->descriptor, &update);
    free(update.bytes);
    *ungranted = 0;
}

// One _SubscriptionItem, whose first byte is the key of its only field.
static void take_item(Connection *connection, Stream *stream, const unsigned char *bytes, size_t count) {
    if (count > 0 && bytes[0] == (3 << 3 | 2)) {
        connection->open_count += !stream->is_open;
        stream->is_open = true;
    } else if (count > 0 && bytes[0] == (1 << 3 | 2)) {
        if (!stream->is_open) fail("the first message of a subscription was no heartbeat");
        if (!holds_message(bytes, count)) quote_and_fail("an item is not what was published", bytes, count);
        if (++stream->received == published) waiting_count--;
        else if (stream->received > published) fail("a subscription received more than was published");
    } else {
        quote_and_fail("neither an item nor a heartbeat", bytes, count);
    }
}

// Takes the whole messages at the start of `bytes`; gives their length.
static size_t take_messages(Connection *connection, Stream *stream, const unsigned char *bytes, size_t count,
                            uint64_t *brought) {
    size_t position = 0;
    uint64_t before = stream->received;
    while (count - position >= prefix_bytes) {
        size_t length = read_number(bytes + position + 1);
        if (bytes[position] != 0 || length > largest_item) fail("no message of a length that was to be expected");
        if (count - position < prefix_bytes + length) break;
        take_item(connection, stream, bytes + position + prefix_bytes, length);
        position += prefix_bytes + length;
    }
    *brought += stream->received - before;
    return position;
}

static uint64_t take_stream_data(Connection *connection, uint32_t number, const unsigned char *bytes, size_t count) {
    if (number % 2 == 0 || number / 2 >= connection->stream_count) fail("a frame of a stream that nobody opened");
    Stream *stream = &connection->streams[number / 2];
    uint64_t brought = 0;
    grant(connection, number, &stream->ungranted_bytes, count);
    while (stream->held_count > 0 && count > 0) {
        // A message that goes on: filled up to its prefix, then to its end.
        size_t wanted = prefix_bytes;
        if (stream->held_count >= prefix_bytes) wanted += read_number(stream->held + 1);
        if (wanted > sizeof stream->held) fail("a message is too long");
        size_t missing = wanted - stream->held_count, taken = missing < count ? missing : count;
        memcpy(stream->held + stream->held_count, bytes, taken);
        stream->held_count += (uint32_t)taken;
        bytes += taken;
        count -= taken;
        if (take_messages(connection, stream, stream->held, stream->held_count, &brought) > 0) stream->held_count = 0;
    }
    if (count == 0) return brought;
    size_t used = take_messages(connection, stream, bytes, count, &brought);
    if (count - used > sizeof stream->held) fail("a message is too long");
    stream->held_count = (uint32_t)(count - used);
    memcpy(stream->held, bytes + used, stream->held_count);
    return brought;
}

static void take_publish_answer(uint32_t number, unsigned char kind, unsigned char flags, const unsigned char *bytes,
                                size_t count) {
    static const unsigned char empty_message[prefix_bytes];
    uint32_t index = (number - first_call_stream) / 2;
    if (number < first_call_stream || index >= call_count) fail("an answer that nobody asked for");
    if (kind == frame_data && count > 0) {
        if (calls[index] != asked || count != prefix_bytes || memcmp(bytes, empty_message, prefix_bytes) != 0)
            quote_and_fail("a publish was not answered by one empty message", bytes, count);
        calls[index] = answered;
    }
    if (flags & flag_end_stream) {
        if (calls[index] != answered) quote_and_fail("a publish failed", bytes, count);
        calls[index] = ended;
        if (--unended_count == 0) is_publisher_waiting = false;
    }
}

static void take_settings(Connection *connection, const unsigned char *bytes, size_t count) {
    for (; count >= 6; bytes += 6, count -= 6) {
        uint32_t value = read_number(bytes + 2);
        if (bytes[1] == 1 && value < 4096) fail("the server's header table holds only %u bytes", value);
    }
    Bytes answer = {0}, nothing = {0};
    append_frame(&answer, frame_settings, flag_ack, 0, &nothing);
    send_all(connection->descriptor, &answer);
    free(answer.bytes);
}

static uint64_t take_frame(Connection *connection, const unsigned char *head, const unsigned char *bytes,
                           size_t count) {
    unsigned char kind = head[3], flags = head[4];
    uint32_t stream = read_number(head + 5);
    Bytes answer = {0}, echo = {.bytes = (unsigned char *)bytes, .count = count};
    switch (kind) {
    case frame_data:
        if (flags & flag_padded) fail("a padded frame");
        grant(connection, 0, &connection->ungranted_bytes, count);
        if (!connection->is_publisher) {
            if (flags & flag_end_stream) fail("a subscription ended");
            return take_stream_data(connection, stream, bytes, count);
        }
        take_publish_answer(stream, kind, flags, bytes, count);
        break;
    case frame_headers:
        if (connection->is_publisher) take_publish_answer(stream, kind, flags, bytes, count);
        else if (flags & flag_end_stream) quote_and_fail("a subscription ended", bytes, count);
        break;
    case frame_settings:
        if (!(flags & flag_ack)) take_settings(connection, bytes, count);
        break;
    case frame_ping:
        if (flags & flag_ack) break;
        append_frame(&answer, frame_ping, flag_ack, 0, &echo);
        send_all(connection->descriptor, &answer);
        free(answer.bytes);
        break;
    case frame_window:
        if (stream != 0) break;
        connection->window += read_number(bytes);
        if (connection->is_publisher && unsent_count > 0) send_publishes(connection);
        break;
    case frame_reset:
    case frame_goaway:
        quote_and_fail(kind == frame_reset ? "the server reset a stream" : "the server says goodbye", bytes, count);
        break;
    case frame_continuation:
    default:
        break;
    }
    return 0;
}

static uint64_t receive(uint32_t number, int flags) {
    Connection *connection = &connections[number];
    unsigned char *start = buffer + sizeof connection->held - connection->held_count;
    ssize_t count = recv(connection->descriptor, buffer + sizeof connection->held, buffer_capacity, flags);
    if (count == 0) fail("the server closed a connection");
    if (count < 0) {
        if (errno == EINTR || (errno == EAGAIN && flags != 0)) return 0;
        fail("a connection failed: %s", strerror(errno));
    }
    // What was held stands in front of what was read, so that frames are whole.
    memcpy(start, connection->held, connection->held_count);
    size_t available = (size_t)count + connection->held_count, position = 0;
    uint64_t brought = 0;
    while (available - position >= frame_head_bytes) {
        const unsigned char *head = start + position;
        size_t length = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (length > largest_frame) fail("a frame is too long");
        if (available - position < frame_head_bytes + length) break;
        brought += take_frame(connection, head, head + frame_head_bytes, length);
        position += frame_head_bytes + length;
    }
    connection->held_count = (uint32_t)(available - position);
    memcpy(connection->held, start + position, connection->held_count);
    return brought;
}

// Opens a connection, and as many subscriptions on it as it is to have.
static void open_connection(uint32_t number) {
    Connection *connection = &connections[number];
    Bytes opening = {0}, settings = {0};
    connection->is_publisher = number == connection_count;
    connection->next_stream = 1;
    connection->window = first_window;
    connection->descriptor = open_socket(number);
    prepare_blocks(connection, connection->is_publisher ? "/cache_client.pubsub.Pubsub/Publish"
                                                        : "/cache_client.pubsub.Pubsub/Subscribe");
    prepare_body(connection);

    append_text(&opening, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // No pushes, and the largest window for every stream.
    append(&settings, "\x00\x02\x00\x00\x00\x00\x00\x04\x7F\xFF\xFF\xFF", 12);
    append_frame(&opening, frame_settings, 0, 0, &settings);
    append_window_update(&opening, 0, largest_window - first_window);
    send_all(connection->descriptor, &opening);
    if (!connection->is_publisher) {
        connection->stream_count = subscriber_count / connection_count + (number < subscriber_count % connection_count);
        connection->streams = calloc(connection->stream_count, sizeof *connection->streams);
        if (connection->streams == NULL) fail("out of memory");
        for (uint32_t index = 0; index < connection->stream_count; index++) {
            opening.count = 0;
            append_call(&opening, connection);
            send_all(connection->descriptor, &opening);
            while (connection->open_count <= index) receive(number, 0);
        }
    }
    free(opening.bytes);
    free(settings.bytes);
    await_events(connection->descriptor, number);
}

int main(int count, char **arguments) {
    if (count != 7 && count != 8) fail("usage: grpc PORT SUBSCRIPTIONS TOPIC BYTES CONNECTIONS CACHE [TOKEN]");
    configure(arguments + 1);
    connection_count = (uint32_t)atoi(arguments[5]);
    cache = arguments[6];
    token = count == 8 ? arguments[7] : NULL;
    if (connection_count == 0 || connection_count > subscriber_count) fail("a number is out of range");
    connections = calloc(connection_count + 1, sizeof *connections);
    if (connections == NULL) fail("out of memory");
    for (uint32_t number = 0; number <= connection_count; number++) open_connection(number);
    printf("{\"ready\": %u}\n", subscriber_count);
    serve_commands();
    return 0;
}
