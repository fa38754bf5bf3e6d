// A tenant that sends more than it may: many connections, pipelines of any depth, values of any size.
//
//     flood PROTOCOL PORT CONNECTIONS DEPTH RATE KEYS VALUE_BYTES CACHE TOKEN REQUEST...
//
// It opens its connections and prints {"ready": CONNECTIONS}, less those that were refused. On a line of standard
// input it begins to send RATE requests a second over all connections, DEPTH of them at once on each, and on the next
// line it stops and says in JSON what it sent and what came back. A connection sends its next batch when the last one
// is answered, so what is outstanding is bounded; where the server is slower than RATE, less is sent. With a RATE of
// 0 every connection sends its batch once, and then takes what comes: subscribers.
//
// The requests stand in turn in each batch. client.h says how they are written. A connection that the server closes
// is opened again.

#include "client.h"

enum { events_capacity = 512 };

typedef struct {
    Link link;
    Batch *batches;
    uint32_t next_batch, outstanding;
    bool is_down;
} Flooder;

static uint64_t answers[answer_kinds], sent, closed;

static void take_answer(Link *link, uint32_t stream, Answer answer) {
    Flooder *flooder = (Flooder *)link;
    (void)stream;
    answers[answer]++;
    if (answer != answer_push && flooder->outstanding > 0) flooder->outstanding--;
}

static void send_batch(int poller, Flooder *flooder, uint32_t batch_count) {
    Batch *batch = &flooder->batches[flooder->next_batch++ % batch_count];
    patch(batch, &flooder->link);
    flooder->link.unsent = batch->bytes.bytes;
    flooder->link.unsent_count = batch->bytes.count;
    flooder->outstanding = batch->requests;
    sent += batch->requests;
    write_out(poller, &flooder->link);
}

int main(int count, char **arguments) {
    if (count < 11) fail("usage: flood PROTOCOL PORT CONNECTIONS DEPTH RATE KEYS VALUE_BYTES CACHE TOKEN REQUEST...");
    Protocol protocol = protocol_of(arguments[1]);
    begin_program(arguments[2]);
    uint32_t connections = (uint32_t)atoi(arguments[3]), depth = (uint32_t)atoi(arguments[4]);
    double rate = atof(arguments[5]);
    key_count = (uint32_t)atoi(arguments[6]);
    make_value((size_t)atoll(arguments[7]));
    cache = arguments[8], token = arguments[9];
    char **requests = arguments + 10;
    uint32_t request_count = (uint32_t)(count - 10);
    // A batch that is shorter than the list of requests takes the next of them each time.
    uint32_t batch_count = (request_count + depth - 1) / depth;
    char opening[256];
    snprintf(opening, sizeof opening, "/cache/%s?key=opening", cache);

    int poller = epoll_create1(EPOLL_CLOEXEC);
    Flooder *flooders = calloc(connections, sizeof *flooders);
    if (poller < 0 || flooders == NULL) fail("out of memory");
    uint32_t open = 0, refused_connections = 0;
    for (uint32_t number = 0; number < connections; number++) {
        Flooder *flooder = &flooders[number];
        flooder->link.number = number;
        flooder->batches = calloc(batch_count, sizeof *flooder->batches);
        for (uint32_t batch = 0; batch < batch_count; batch++)
            for (uint32_t index = 0; index < depth; index++)
                render(&flooder->batches[batch], protocol, requests[(batch * depth + index) % request_count]);
        flooder->is_down = !open_link(&flooder->link, protocol, false, opening);
        refused_connections += flooder->is_down;
        open += !flooder->is_down;
        if (!flooder->is_down) watch(poller, &flooder->link, true);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[events_capacity];
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    printf("{\"ready\": %u, \"refused_connections\": %u}\n", open, refused_connections);

    char line[64];
    bool is_running = false;
    int64_t started = 0, credited_at = 0;
    double credit = 0;
    uint32_t cursor = 0;
    while (true) {
        int64_t now = now_nanoseconds();
        if (is_running && rate > 0) {
            credit += rate * (double)(now - credited_at) / 1e9;
            // A stall is made up for, up to a tenth of a second.
            if (credit > rate / 10 + depth) credit = rate / 10 + depth;
            credited_at = now;
            for (uint32_t seen = 0; seen < connections; seen++) {
                Flooder *flooder = &flooders[cursor];
                if (!flooder->is_down && flooder->outstanding == 0) {
                    if (credit < depth) break;
                    credit -= depth;
                    send_batch(poller, flooder, batch_count);
                }
                cursor = (cursor + 1) % connections;
            }
        }
        int found = epoll_wait(poller, events, events_capacity, is_running && rate > 0 ? 1 : -1);
        bool has_line = false;
        for (int index = 0; index < found; index++) {
            Flooder *flooder = events[index].data.ptr;
            if (flooder == NULL) {
                has_line = true;
                continue;
            }
            receive(&flooder->link);
            if (!flooder->link.is_closed) write_out(poller, &flooder->link);
            if (!flooder->link.is_closed) continue;
            closed++;
            close_link(&flooder->link);
            flooder->outstanding = 0;
            flooder->is_down = !open_link(&flooder->link, protocol, false, opening);
            refused_connections += flooder->is_down;
            if (!flooder->is_down) watch(poller, &flooder->link, true);
        }
        if (!has_line) continue;
        if (fgets(line, sizeof line, stdin) == NULL) return 0;
        if (is_running) break;
        is_running = true;
        started = credited_at = now_nanoseconds();
        if (rate > 0) continue;
        for (uint32_t number = 0; number < connections; number++)
            if (!flooders[number].is_down) send_batch(poller, &flooders[number], batch_count);
    }
    printf("{\"seconds\": %.6f, \"sent\": %llu, \"good\": %llu, \"missed\": %llu, \"refused\": %llu, \"busy\": %llu, "
           "\"failed\": %llu, \"pushes\": %llu, \"closed\": %llu, \"refused_connections\": %u, \"bytes\": %llu, "
           "\"first_failure\": \"%s\"}\n",
           (double)(now_nanoseconds() - started) / 1e9, (unsigned long long)sent,
           (unsigned long long)answers[answer_good], (unsigned long long)answers[answer_miss],
           (unsigned long long)answers[answer_refused], (unsigned long long)answers[answer_busy],
           (unsigned long long)answers[answer_failed], (unsigned long long)answers[answer_push],
           (unsigned long long)closed, refused_connections, (unsigned long long)bytes_received, first_failure);
    return 0;
}
