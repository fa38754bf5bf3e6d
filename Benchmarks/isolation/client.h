// What the loads of the isolation bench share: connections that speak RESP, HTTP/1.1 or HTTP/2, in cleartext or over
// TLS, requests that are made once and only patched, and a parser that counts answers and keeps none.
//
// A request is written as text and rendered for the protocol:
//
//     RESP     words:                    GET key:@          SET key:@ =
//     HTTP     a method and a target:    GET /cache/bench?key=key:@
//
// Every `@` becomes a number of eight digits that is drawn anew each time the request is sent, `=` the value. A PUT or
// a POST of HTTP carries the value. In HTTP/2 the token stands in the dynamic table after the first request (RFC 7541
// section 6.2.1), as with the encoders that users have: else the load would spend its time on 420 bytes of token, and
// not on what is measured. The server is told to index nothing, so a status always stands in the answer itself.
//
// The program that includes this defines `take_answer`.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    patience_seconds = 30,
    digits = 8,
    // The largest head of an answer, or frame that is looked at.
    held_capacity = 17 * 1024,
    read_capacity = 256 * 1024,
    // Streams of a connection that may be open at once; a power of two.
    slot_count = 16 * 1024,
    // Connections from one loopback address, below what it has ephemeral ports for.
    connections_per_address = 20000,
};

typedef enum { resp, http1, http2 } Protocol;
// `answer_push` is a message of a subscription: nobody waits for it.
typedef enum { answer_good, answer_miss, answer_refused, answer_busy, answer_failed, answer_push, answer_kinds } Answer;

typedef struct {
    unsigned char *bytes;
    size_t count, capacity;
} Bytes;

typedef struct {
    size_t offset;
    bool is_stream;
} Patch;

// Requests that are sent in one write, with the places that change.
typedef struct {
    Bytes bytes;
    Patch *patches;
    uint32_t patch_count, requests;
} Batch;

typedef struct {
    int descriptor;
    Protocol protocol;
    SSL *tls;
    uint32_t number;
    bool is_opening, is_closed, wants_write;
    // Being written: a batch, which stays where it is, and what was queued behind it.
    const unsigned char *unsent;
    size_t unsent_count;
    Bytes queue;
    size_t queue_sent;
    uint32_t next_stream;
    uint64_t window_used;
    // The parser: bytes of a body that are only skipped, elements that the answer of RESP still needs, what the answer
    // will be when its last byte is there, and what was read of a head that is not complete.
    uint64_t skipped, elements;
    Answer pending;
    bool is_pending, is_first_element;
    uint32_t pending_stream, held_count;
    unsigned char held[held_capacity];
    // HTTP/2, by the number of the stream: what its HEADERS said, plus one; `slot_open` before, 0 when it is answered.
    unsigned char *slots;
} Link;

enum { slot_open = 0xFF };

static const char *cache, *token;
static struct sockaddr_in server;
static SSL_CTX *tls_context;
// `:scheme` of the static table: http, or https.
static unsigned char scheme = 0x86;
static uint32_t key_count = 1;
static size_t value_bytes;
static unsigned char *value;
static uint64_t bytes_received;
static unsigned char read_buffer[held_capacity + read_capacity];
// The first answer that was neither good, a miss nor a refusal, for a person to read.
static char first_failure[160];

// One answer is complete. `stream` is 0 except in HTTP/2.
static void take_answer(Link *link, uint32_t stream, Answer answer);

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

// A generator for keys: xorshift64*.
static inline uint32_t random_below(uint32_t bound) {
    static uint64_t state = 0x9E3779B97F4A7C15;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(((state * 0x2545F4914F6CDD1D) >> 32) * bound >> 32);
}

// Bytes

static void reserve(Bytes *bytes, size_t count) {
    if (bytes->count + count <= bytes->capacity) return;
    bytes->capacity = 2 * (bytes->count + count);
    bytes->bytes = realloc(bytes->bytes, bytes->capacity);
    if (bytes->bytes == NULL) fail("out of memory");
}

static void append(Bytes *to, const void *bytes, size_t count) {
    reserve(to, count);
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

__attribute__((format(printf, 2, 3))) static void append_text(Bytes *to, const char *format, ...) {
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (count < 0 || (size_t)count >= sizeof text) fail("a name or the token is too long");
    append(to, text, (size_t)count);
}

static void note_failure(const unsigned char *bytes, size_t count) {
    if (first_failure[0] != 0) return;
    size_t length = 0;
    for (; length < count && length < sizeof first_failure - 1; length++) {
        unsigned char byte = bytes[length];
        first_failure[length] = byte == '"' || byte == '\\' ? '\'' : byte < ' ' || byte > '~' ? ' ' : (char)byte;
    }
    first_failure[length] = 0;
}

// Requests

static void add_patch(Batch *batch, size_t offset, bool is_stream) {
    batch->patches = realloc(batch->patches, (batch->patch_count + 1) * sizeof *batch->patches);
    if (batch->patches == NULL) fail("out of memory");
    batch->patches[batch->patch_count++] = (Patch){offset, is_stream};
}

// Appends the text with its numbers left open, and gives how long it became.
static size_t append_pattern(Batch *batch, const char *text, size_t count) {
    size_t start = batch->bytes.count;
    for (size_t index = 0; index < count; index++) {
        if (text[index] == '@') {
            add_patch(batch, batch->bytes.count, false);
            append(&batch->bytes, "00000000", digits);
        } else {
            append(&batch->bytes, text + index, 1);
        }
    }
    return batch->bytes.count - start;
}

static size_t pattern_length(const char *text, size_t count) {
    size_t length = 0;
    for (size_t index = 0; index < count; index++) length += text[index] == '@' ? digits : 1;
    return length;
}

static void render_resp(Batch *batch, const char *text) {
    uint32_t words = 0;
    for (const char *word = text; *word;) {
        word += strspn(word, " ");
        words += *word != 0;
        word += strcspn(word, " ");
    }
    append_text(&batch->bytes, "*%u\r\n", words);
    for (const char *word = text; *word;) {
        word += strspn(word, " ");
        size_t count = strcspn(word, " ");
        if (count == 1 && *word == '=') {
            append_text(&batch->bytes, "$%zu\r\n", value_bytes);
            append(&batch->bytes, value, value_bytes);
        } else if (count > 0) {
            append_text(&batch->bytes, "$%zu\r\n", pattern_length(word, count));
            append_pattern(batch, word, count);
        }
        if (count > 0) append(&batch->bytes, "\r\n", 2);
        word += count;
    }
}

static void render_http1(Batch *batch, const char *method, const char *target, bool has_body) {
    append_text(&batch->bytes, "%s ", method);
    append_pattern(batch, target, strlen(target));
    append_text(&batch->bytes, " HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n", token);
    if (has_body) append_text(&batch->bytes, "Content-Length: %zu\r\n", value_bytes);
    append(&batch->bytes, "\r\n", 2);
    if (has_body) append(&batch->bytes, value, value_bytes);
}

// A frame's head (RFC 9113 section 4.1).
static void append_frame_head(Bytes *to, size_t length, unsigned char kind, unsigned char flags, uint32_t stream) {
    unsigned char head[9] = {
        (unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length, kind, flags,
        (unsigned char)(stream >> 24), (unsigned char)(stream >> 16), (unsigned char)(stream >> 8),
        (unsigned char)stream,
    };
    append(to, head, sizeof head);
}

// An integer with a prefix of so many bits (RFC 7541 section 5.1).
static void append_integer(Bytes *to, size_t number, unsigned bits, unsigned char pattern) {
    size_t limit = (1u << bits) - 1;
    unsigned char byte = pattern | (unsigned char)(number < limit ? number : limit);
    append(to, &byte, 1);
    if (number < limit) return;
    for (number -= limit; number >= 128; number >>= 7) {
        byte = (unsigned char)(number | 128);
        append(to, &byte, 1);
    }
    byte = (unsigned char)number;
    append(to, &byte, 1);
}

enum { frame_data = 0, frame_headers = 1, frame_reset = 3, frame_settings = 4, frame_ping = 6, frame_goaway = 7 };
enum { end_stream = 1, frame_ack = 1, end_headers = 4, frame_head_bytes = 9 };

static void render_http2(Batch *batch, const char *method, const char *target, bool has_body) {
    size_t start = batch->bytes.count, length = pattern_length(target, strlen(target));
    append_frame_head(&batch->bytes, 0, frame_headers, has_body ? end_headers : end_headers | end_stream, 0);
    add_patch(batch, start + 5, true);
    // :method of the static table or as a literal, :scheme, :authority and at the end the token of the dynamic table.
    if (strcmp(method, "GET") == 0) append(&batch->bytes, "\x82", 1);
    else {
        append(&batch->bytes, "\x02", 1);
        append_integer(&batch->bytes, strlen(method), 7, 0);
        append_text(&batch->bytes, "%s", method);
    }
    append(&batch->bytes, &scheme, 1);
    append(&batch->bytes, "\xBF\x04", 2);
    append_integer(&batch->bytes, length, 7, 0);
    append_pattern(batch, target, strlen(target));
    append(&batch->bytes, "\xBE", 1);
    size_t block = batch->bytes.count - start - frame_head_bytes;
    batch->bytes.bytes[start + 1] = (unsigned char)(block >> 8);
    batch->bytes.bytes[start + 2] = (unsigned char)block;
    if (!has_body) return;
    if (value_bytes > 16384) fail("a body of more than one frame is sent over HTTP/1.1 or RESP");
    size_t data = batch->bytes.count;
    append_frame_head(&batch->bytes, value_bytes, frame_data, end_stream, 0);
    add_patch(batch, data + 5, true);
    append(&batch->bytes, value, value_bytes);
}

static void render(Batch *batch, Protocol protocol, const char *text) {
    batch->requests++;
    if (protocol == resp) {
        render_resp(batch, text);
        return;
    }
    char method[8];
    size_t length = strcspn(text, " ");
    if (length >= sizeof method || text[length] == 0) fail("not a method and a target: %s", text);
    memcpy(method, text, length);
    method[length] = 0;
    bool has_body = strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;
    if (protocol == http1) render_http1(batch, method, text + length + 1, has_body);
    else render_http2(batch, method, text + length + 1, has_body);
}

static inline void patch_number(unsigned char *at, uint32_t number) {
    for (int index = digits - 1; index >= 0; index--, number /= 10) at[index] = (unsigned char)('0' + number % 10);
}

static unsigned char *slot_of(const Link *link, uint32_t stream) {
    return &link->slots[(stream >> 1) & (slot_count - 1)];
}

// Draws the numbers anew and gives the streams of the connection.
static inline void patch(Batch *batch, Link *link) {
    for (uint32_t index = 0; index < batch->patch_count; index++) {
        const Patch *place = &batch->patches[index];
        unsigned char *at = batch->bytes.bytes + place->offset;
        if (!place->is_stream) {
            patch_number(at, random_below(key_count));
            continue;
        }
        // A frame of DATA belongs to the stream of the HEADERS before it.
        if (at[-2] != frame_data) {
            link->next_stream += 2;
            *slot_of(link, link->next_stream) = slot_open;
        }
        uint32_t stream = htonl(link->next_stream);
        memcpy(at, &stream, sizeof stream);
    }
}

#include "link.h"
