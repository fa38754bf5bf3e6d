// A tenant that comes again and again: connect, perhaps a TLS handshake, one request, close.
//
//     churn churn|hold resp|http1 PORT clear|tls CONNECTIONS RATE CACHE TOKEN REQUEST
//
// It prints {"ready": 0}. On a line of standard input it begins to open RATE connections a second, as many as
// CONNECTIONS of them at once, and with `churn` closes each when its answer is there and opens another. With `hold`
// it opens CONNECTIONS in all and keeps them, which is what clients do that come back after an outage; RATE 0 means
// as fast as can be. On the next line it stops, closes everything, and says in JSON what became of it.
//
// A connection that fails before its answer is counted and tried again, as clients do, a tenth of a second later.

#include "client.h"

enum { events_capacity = 512 };
static const int64_t retry_nanoseconds = 100000000;

typedef enum { unused, connecting, shaking, asking, held } State;

typedef struct {
    Link link;
    State state;
    bool is_answered;
    int64_t began_at, not_before;
} Slot;

static uint64_t answers[answer_kinds], begun, finished, failed_connections;
static int64_t finished_at;
static Batch request;

static void take_answer(Link *link, uint32_t stream, Answer answer) {
    (void)stream;
    answers[answer]++;
    ((Slot *)link)->is_answered = true;
}

static void begin(int poller, Slot *slot, Protocol protocol, bool is_tls) {
    static uint32_t number;
    reset_link(&slot->link);
    slot->link.number = number++;
    slot->link.protocol = protocol;
    slot->link.descriptor = bound_socket(slot->link.number);
    slot->link.wants_write = true;
    slot->is_answered = false;
    slot->began_at = now_nanoseconds();
    slot->state = connecting;
    set_blocking(slot->link.descriptor, false);
    if (is_tls) slot->link.tls = new_tls(slot->link.descriptor, protocol);
    begun++;
    if (connect(slot->link.descriptor, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS)
        slot->link.is_closed = true;
    watch(poller, &slot->link, true);
}

// The handshake, as far as it goes now. Gives whether it is over.
static bool shake(int poller, Slot *slot) {
    ERR_clear_error();
    int done = SSL_do_handshake(slot->link.tls);
    int reason = done == 1 ? SSL_ERROR_NONE : SSL_get_error(slot->link.tls, done);
    if (done != 1 && reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) slot->link.is_closed = true;
    bool wants_write = reason == SSL_ERROR_WANT_WRITE;
    if (done != 1 && wants_write != slot->link.wants_write) {
        slot->link.wants_write = wants_write;
        watch(poller, &slot->link, false);
    }
    return done == 1;
}

// The credential and the request leave in one write.
static void ask(int poller, Slot *slot) {
    Link *link = &slot->link;
    slot->state = asking;
    queue_opening(link, "");
    append(&link->queue, request.bytes.bytes, request.bytes.count);
    if (!flush(link)) return;
    link->wants_write = false;
    watch(poller, link, false);
}

static void advance(int poller, Slot *slot, bool is_readable) {
    Link *link = &slot->link;
    if (slot->state == connecting) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(link->descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) link->is_closed = true;
        else if (link->tls != NULL) slot->state = shaking;
        else ask(poller, slot);
    }
    if (slot->state == shaking && !link->is_closed && shake(poller, slot)) ask(poller, slot);
    if (slot->state < asking || link->is_closed) return;
    if (is_readable) receive(link);
    if (!link->is_closed && slot->state == asking) write_out(poller, link);
}

static void finish(Slot *slot, bool is_held) {
    if (slot->is_answered) {
        if (slot->state != held) {
            finished++;
            finished_at = now_nanoseconds();
        }
        slot->not_before = 0;
        if (is_held && !slot->link.is_closed) {
            slot->state = held;
            return;
        }
    } else {
        failed_connections++;
        slot->not_before = now_nanoseconds() + retry_nanoseconds;
    }
    close_link(&slot->link);
    slot->state = unused;
}

int main(int count, char **arguments) {
    if (count != 10) fail("usage: churn churn|hold resp|http1 PORT clear|tls CONNECTIONS RATE CACHE TOKEN REQUEST");
    bool is_held = strcmp(arguments[1], "hold") == 0, is_tls = strcmp(arguments[4], "tls") == 0;
    Protocol protocol = protocol_of(arguments[2]);
    begin_program(arguments[3]);
    uint32_t slots_count = (uint32_t)atoi(arguments[5]);
    double rate = atof(arguments[6]);
    cache = arguments[7], token = arguments[8];
    make_value(100);
    render(&request, protocol, arguments[9]);

    int poller = epoll_create1(EPOLL_CLOEXEC);
    Slot *slots = calloc(slots_count, sizeof *slots);
    if (poller < 0 || slots == NULL) fail("out of memory");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[events_capacity];
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    puts("{\"ready\": 0}");

    char line[64];
    bool is_running = false;
    int64_t started = 0, credited_at = 0;
    double credit = 0;
    uint32_t cursor = 0;
    while (true) {
        int64_t now = now_nanoseconds();
        if (is_running) {
            credit += rate > 0 ? rate * (double)(now - credited_at) / 1e9 : 1e9;
            if (rate > 0 && credit > rate / 10 + 1) credit = rate / 10 + 1;
            credited_at = now;
            for (uint32_t seen = 0; seen < slots_count && credit >= 1; seen++, cursor = (cursor + 1) % slots_count) {
                Slot *slot = &slots[cursor];
                if (slot->state != unused || slot->not_before > now) continue;
                begin(poller, slot, protocol, is_tls);
                credit--;
                // What has come is not left to wait for thousands of new ones.
                if (seen % 64 == 63) break;
            }
        }
        int found = epoll_wait(poller, events, events_capacity, is_running ? 1 : -1);
        bool has_line = false;
        for (int index = 0; index < found; index++) {
            Slot *slot = events[index].data.ptr;
            if (slot == NULL) {
                has_line = true;
                continue;
            }
            advance(poller, slot, events[index].events & (EPOLLIN | EPOLLHUP | EPOLLERR));
            if (slot->link.is_closed || (slot->is_answered && slot->state == asking)) finish(slot, is_held);
        }
        if (!has_line) continue;
        if (fgets(line, sizeof line, stdin) == NULL) return 0;
        if (is_running) break;
        is_running = true;
        started = credited_at = now_nanoseconds();
    }
    double seconds = (double)(now_nanoseconds() - started) / 1e9;
    uint32_t open = 0;
    for (uint32_t number = 0; number < slots_count; number++) open += slots[number].state == held;
    printf("{\"seconds\": %.6f, \"sent\": %llu, \"finished\": %llu, \"finished_seconds\": %.6f, \"held\": %u, "
           "\"good\": %llu, \"missed\": %llu, \"refused\": %llu, \"busy\": %llu, \"failed\": %llu, "
           "\"failed_connections\": %llu, \"first_failure\": \"%s\"}\n",
           seconds, (unsigned long long)begun, (unsigned long long)finished,
           finished > 0 ? (double)(finished_at - started) / 1e9 : 0, open, (unsigned long long)answers[answer_good],
           (unsigned long long)answers[answer_miss], (unsigned long long)answers[answer_refused],
           (unsigned long long)answers[answer_busy], (unsigned long long)answers[answer_failed],
           (unsigned long long)failed_connections, first_failure);
    return 0;
}
