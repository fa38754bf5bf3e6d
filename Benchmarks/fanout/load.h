// What the loads of the fan-out benchmarks share: bytes, sockets, the histogram, and the runs that standard input asks
// for. fanout.c says what a run is and how it counts. The program that includes this defines `publish_burst` and
// `receive`.

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
    // The largest text that is made in one piece: a name, a request without its body.
    text_capacity = 2048,
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

static uint32_t subscriber_count;
static const char *topic, *cache, *token;
static char message[largest_message + 1];
static size_t message_bytes;
static struct sockaddr_in server;
static int poller;

// Each subscriber must have had `published` messages; so many have not.
static uint64_t published;
static uint32_t waiting_count;
static bool is_publisher_waiting;

static uint64_t histogram[bucket_count];

// Sends this many publishes. Sets `is_publisher_waiting` where the protocol has an answer to them.
static void publish_burst(uint32_t burst);

// One read of the connection of that number, which is readable. Gives how many messages it brought to subscribers.
static uint64_t receive(uint32_t number, int flags);

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
    char text[text_capacity];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (count < 0 || (size_t)count >= sizeof text) fail("a name or the token is too long");
    append(to, text, (size_t)count);
}

// What arrives

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

// Sockets

static void send_all(int descriptor, const Bytes *bytes) {
    for (size_t sent = 0; sent < bytes->count;) {
        ssize_t count = send(descriptor, bytes->bytes + sent, bytes->count - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR) fail("a connection failed: %s", strerror(errno));
        if (count > 0) sent += (size_t)count;
    }
}

// A connection whose reads and writes give up in the end.
static int open_socket(uint32_t number) {
    int one = 1;
    struct timeval patience = {.tv_sec = patience_seconds};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail("no socket for connection %u: %s", number, strerror(errno));
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(descriptor, (struct sockaddr *)&server, sizeof server) != 0)
        fail("connection %u was not accepted: %s", number, strerror(errno));
    return descriptor;
}

static void await_events(int descriptor, uint32_t number) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll: %s", strerror(errno));
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
    memset(histogram, 0, sizeof histogram);
    struct epoll_event events[events_capacity];
    uint64_t polls = 0, empty_polls = 0, deliveries = 0;
    double own_start = own_cpu_seconds();
    int64_t started = now_nanoseconds();
    for (uint32_t round = 0; round < rounds; round++) {
        published += burst;
        waiting_count = subscriber_count;
        int64_t sent_at = now_nanoseconds(), progressed_at = sent_at;
        publish_burst(burst);
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
                uint64_t brought = receive(events[index].data.u32, MSG_DONTWAIT);
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
            else receive(events[index].data.u32, MSG_DONTWAIT);
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

// Start

// The port, how many subscribers, the topic and the bytes of a message.
static void configure(char **arguments) {
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    server = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(arguments[0])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    subscriber_count = (uint32_t)atoi(arguments[1]);
    topic = arguments[2];
    message_bytes = (size_t)atoi(arguments[3]);
    if (subscriber_count == 0 || message_bytes == 0 || message_bytes > largest_message)
        fail("a number is out of range");
    for (size_t index = 0; index < message_bytes; index++) message[index] = "martlet-"[index % 8];

    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) fail("out of descriptors");
}
