// The tenant that keeps within its limits: a steady load that does not wait for answers.
//
//     victim HTTP_PORT RESP_PORT clear|tls HTTP_CONNECTIONS RESP_CONNECTIONS KEYS VALUE_BYTES CACHE TOKEN
//
// It opens its connections, the one kind over HTTP/2 (REST), the other over RESP, and prints {"ready": CONNECTIONS}.
// Then it takes commands of one line, "RATE SECONDS", and answers each with a line of JSON:
//
//     RATE requests a second are due at even distances, over all connections in turn: nine of ten a GET, one a SET,
//     of a key drawn from all KEYS. Each is sent when it is due, whether or not earlier ones are answered. All must
//     be answered in the end.
//
// A miss is a GET that found nothing. A value of the wrong length is not noticed here; the usage call counts bytes.
// The latencies that it says are those that a client sees, from when a request was due to its answer: beside an
// aggressor on the same core they are the load's own troubles as much as the server's. "late" is how long after it
// was due a request was sent.

#include "client.h"

enum { events_capacity = 64, longest_run = 4 * 1000 * 1000 };

typedef struct {
    Link link;
    Batch get, set;
    // When the requests that are not answered were due, by their number, or by the stream's.
    int64_t *due;
    uint32_t sent, answered;
} Connection;

static uint64_t answers[answer_kinds], gets, outstanding, sample_count, late_count;
static int64_t *samples, *lateness;

static void take_answer(Link *link, uint32_t stream, Answer answer) {
    Connection *connection = (Connection *)link;
    uint32_t number = link->protocol == http2 ? stream >> 1 : connection->answered;
    connection->answered++;
    answers[answer]++;
    if (outstanding == 0) fail("an answer that nobody asked for");
    outstanding--;
    if (sample_count < longest_run)
        samples[sample_count++] = now_nanoseconds() - connection->due[number & (slot_count - 1)];
}

static void ask(int poller, Connection *connection, int64_t due) {
    Link *link = &connection->link;
    bool is_get = random_below(10) != 0;
    Batch *batch = is_get ? &connection->get : &connection->set;
    gets += is_get;
    patch(batch, link);
    uint32_t number = link->protocol == http2 ? link->next_stream >> 1 : connection->sent;
    connection->due[number & (slot_count - 1)] = due;
    connection->sent++;
    outstanding++;
    if (connection->sent - connection->answered >= slot_count) fail("too many requests without an answer");
    append(&link->queue, batch->bytes.bytes, batch->bytes.count);
    if (late_count < longest_run) lateness[late_count++] = now_nanoseconds() - due;
    write_out(poller, link);
}

static int ascending(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static double microseconds(int64_t *sorted, uint64_t count, double share) {
    return count == 0 ? 0 : (double)sorted[(uint64_t)(share * (double)(count - 1))] / 1e3;
}

static void take_events(int poller, int timer, int wait) {
    struct epoll_event events[events_capacity];
    int found = epoll_wait(poller, events, events_capacity, wait);
    for (int index = 0; index < found; index++) {
        Link *link = events[index].data.ptr;
        uint64_t ticks;
        if (link == NULL) {
            if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) fail("timer: %s", strerror(errno));
            continue;
        }
        receive(link);
        if (!link->is_closed) write_out(poller, link);
        if (link->is_closed) fail("the server closed a connection of the victim");
    }
}

static void run(int poller, int timer, Connection *connections, uint32_t count, double rate, double seconds) {
    memset(answers, 0, sizeof answers);
    gets = sample_count = late_count = 0;
    uint64_t wanted = (uint64_t)(rate * seconds);
    int64_t started = now_nanoseconds();
    for (uint64_t number = 0; number < wanted;) {
        int64_t due = started + (int64_t)((double)number / rate * 1e9);
        if (due <= now_nanoseconds()) {
            ask(poller, &connections[number++ % count], due);
            // A load that is late still takes what has come, so that nothing piles up.
            if (number % 16 == 0) take_events(poller, timer, 0);
            continue;
        }
        struct itimerspec at = {.it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        take_events(poller, timer, -1);
    }
    double sent_seconds = (double)(now_nanoseconds() - started) / 1e9;
    int64_t deadline = now_nanoseconds() + patience_seconds * 1000000000ll;
    while (outstanding > 0) {
        take_events(poller, timer, 100);
        if (now_nanoseconds() > deadline)
            fail("%llu requests of the victim were not answered", (unsigned long long)outstanding);
    }
    qsort(samples, sample_count, sizeof *samples, ascending);
    qsort(lateness, late_count, sizeof *lateness, ascending);
    printf("{\"seconds\": %.6f, \"requests\": %llu, \"gets\": %llu, \"good\": %llu, \"missed\": %llu, "
           "\"refused\": %llu, \"busy\": %llu, \"failed\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, \"late_p99_us\": %.1f, \"first_failure\": \"%s\"}\n",
           sent_seconds, (unsigned long long)wanted, (unsigned long long)gets,
           (unsigned long long)answers[answer_good], (unsigned long long)answers[answer_miss],
           (unsigned long long)answers[answer_refused],
           (unsigned long long)answers[answer_busy], (unsigned long long)answers[answer_failed],
           microseconds(samples, sample_count, 0.5), microseconds(samples, sample_count, 0.99),
           microseconds(samples, sample_count, 0.999), microseconds(lateness, late_count, 0.99), first_failure);
}

int main(int count, char **arguments) {
    if (count != 10)
        fail("usage: victim HTTP_PORT RESP_PORT clear|tls HTTP_CONNECTIONS "
             " RESP_CONNECTIONS KEYS VALUE_BYTES CACHE TOKEN");
    bool is_tls = strcmp(arguments[3], "tls") == 0;
    uint32_t of_http = (uint32_t)atoi(arguments[4]), total = of_http + (uint32_t)atoi(arguments[5]);
    key_count = (uint32_t)atoi(arguments[6]);
    make_value((size_t)atoll(arguments[7]));
    cache = arguments[8], token = arguments[9];
    if (is_tls) scheme = 0x87;

    int poller = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    Connection *connections = calloc(total, sizeof *connections);
    samples = malloc(longest_run * sizeof *samples), lateness = malloc(longest_run * sizeof *lateness);
    if (poller < 0 || timer < 0 || connections == NULL || samples == NULL || lateness == NULL) fail("out of memory");
    char get[512], set[512];
    snprintf(get, sizeof get, "GET /cache/%s?key=key:@", cache);
    snprintf(set, sizeof set, "PUT /cache/%s?key=key:@&ttl_seconds=3600", cache);
    for (uint32_t number = 0; number < total; number++) {
        Connection *connection = &connections[number];
        Protocol protocol = number < of_http ? http2 : resp;
        begin_program(arguments[protocol == http2 ? 1 : 2]);
        connection->link.number = number;
        connection->due = calloc(slot_count, sizeof *connection->due);
        if (connection->due == NULL) fail("out of memory");
        if (!open_link(&connection->link, protocol, is_tls, get + 4)) fail("a connection of the victim was refused");
        render(&connection->get, protocol, protocol == http2 ? get : "GET key:@");
        render(&connection->set, protocol, protocol == http2 ? set : "SET key:@ = EX 3600");
        watch(poller, &connection->link, true);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    printf("{\"ready\": %u}\n", total);
    char line[64];
    double rate, seconds;
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "%lf %lf", &rate, &seconds) != 2 || rate <= 0) fail("not a command");
        run(poller, timer, connections, total, rate, seconds);
    }
    return 0;
}
