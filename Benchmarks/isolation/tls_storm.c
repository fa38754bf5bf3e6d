/* Clients that come all at once, and a probe that sees what they do to those who stayed.
 *
 *   cc -O2 -o tls_storm tls_storm.c -lssl -lcrypto
 *   tls_storm storm HOST PORT CLIENTS SECONDS [AT_ONCE]
 *   tls_storm probe HOST PORT CONNECTIONS SECONDS INTERVAL_US [PATH [AUTHORIZATION]]
 *
 * `storm` opens CLIENTS TLS connections, AT_ONCE (all, by default) of them at the same time without being established.
 * One that is closed or refused before its handshake is over comes again, after a pause that doubles. Each that is
 * established stays, and the process ends SECONDS after its start, or when all are established. It prints one line of
 * JSON.
 *
 * `probe` keeps CONNECTIONS established TLS connections, on each of which it sends a GET by HTTP/1.1 every INTERVAL_US.
 * When the answer is late, the next request is, too, but its time counts from when it was due (no coordinated
 * omission). It prints the latencies as one line of JSON.
 *
 * Both use one thread and one epoll. Certificates are not checked: this measures the server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    SSL *ssl;
    int fd;
    enum { IDLE, CONNECTING, SHAKING, ESTABLISHED } state;
    int tries;
    double again_at, began_at, due_at;
    int awaits;
    size_t got, wanted;
    char answer[8192];
} client;

static SSL_CTX *context;
static struct sockaddr_in address;
static int epoll;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(double *sorted, size_t count, double q) {
    if (count == 0) return 0;
    size_t place = (size_t)(q * count);
    return sorted[place < count ? place : count - 1] * 1e3;
}

static void watch(client *c, uint32_t events, int operation) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, operation, c->fd, &e) < 0) die("epoll_ctl");
}

/* Returns 0 when there is no descriptor or port for it now. */
static int begin(client *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) return 0;
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        close(c->fd);
        return 0;
    }
    c->state = CONNECTING;
    c->tries++;
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
    return 1;
}

static void end(client *c) {
    if (c->ssl) SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->state = IDLE;
}

/* Goes on with the handshake. Returns -1 when it failed, 1 when it is done. */
static int shake(client *c) {
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) return -1;
        c->ssl = SSL_new(context);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_connect_state(c->ssl);
        c->state = SHAKING;
    }
    int result = SSL_do_handshake(c->ssl);
    if (result == 1) {
        c->state = ESTABLISHED;
        return 1;
    }
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: watch(c, EPOLLIN, EPOLL_CTL_MOD); return 0;
    case SSL_ERROR_WANT_WRITE: watch(c, EPOLLOUT, EPOLL_CTL_MOD); return 0;
    default: return -1;
    }
}

static int storm(int count, double seconds, int at_once) {
    client *clients = calloc(count, sizeof *clients);
    double *times = calloc(count, sizeof *times);
    struct epoll_event events[256];
    int established = 0, open = 0, failures = 0, lost = 0;
    double start = now();
    while (established < count && now() - start < seconds) {
        double present = now();
        for (int i = 0; i < count && open < at_once; i++) {
            client *c = &clients[i];
            if (c->state != IDLE || c->again_at > present) continue;
            if (c->began_at == 0) c->began_at = present;
            if (!begin(c)) {
                c->again_at = present + 0.01;
                break;
            }
            open++;
        }
        int ready = epoll_wait(epoll, events, 256, 5);
        for (int i = 0; i < ready; i++) {
            client *c = events[i].data.ptr;
            if (c->state == ESTABLISHED) {
                /* Tickets, or the server's end. */
                char bytes[512];
                int got = SSL_read(c->ssl, bytes, sizeof bytes);
                if (got <= 0 && SSL_get_error(c->ssl, got) != SSL_ERROR_WANT_READ) {
                    epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
                    lost++;
                }
                continue;
            }
            int result = shake(c);
            if (result == 0) continue;
            open--;
            if (result > 0) {
                times[established++] = now() - c->began_at;
                watch(c, EPOLLIN, EPOLL_CTL_MOD);
            } else {
                failures++;
                end(c);
                double pause = 0.05 * (1 << (c->tries < 6 ? c->tries : 6));
                c->again_at = now() + pause * (0.5 + drand48());
            }
        }
    }
    double took = now() - start;
    qsort(times, established, sizeof *times, compare);
    printf("{\"clients\":%d,\"established\":%d,\"failures\":%d,\"lost\":%d,\"seconds\":%.3f,\"per_second\":%.0f,"
           "\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f}\n",
           count, established, failures, lost, took, established / took, quantile(times, established, 0.5),
           quantile(times, established, 0.99), quantile(times, established, 1));
    return 0;
}

static int probe(int count, double seconds, double interval, const char *path, const char *authorization) {
    client *clients = calloc(count, sizeof *clients);
    size_t capacity = (size_t)(seconds / interval + 2) * count, samples = 0;
    double *latencies = calloc(capacity, sizeof *latencies);
    char request[4096];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nhost: localhost\r\n%s%s%s\r\n", path,
                          authorization ? "authorization: " : "", authorization ? authorization : "",
                          authorization ? "\r\n" : "");
    for (int i = 0; i < count; i++) {
        client *c = &clients[i];
        if (!begin(c)) die("connect");
        int result;
        struct epoll_event event;
        do {
            if (epoll_wait(epoll, &event, 1, 5000) < 1) die("no answer to a handshake");
            result = shake(c);
        } while (result == 0);
        if (result < 0) die("handshake");
        epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
    }
    double start = now();
    for (int i = 0; i < count; i++) {
        watch(&clients[i], EPOLLIN, EPOLL_CTL_ADD);
        clients[i].due_at = start + interval * i / count;
    }
    struct epoll_event events[64];
    int lost = 0;
    while (now() - start < seconds && lost < count) {
        double present = now(), next = present + 1;
        for (int i = 0; i < count; i++) {
            client *c = &clients[i];
            if (c->awaits || c->state != ESTABLISHED) continue;
            if (c->due_at <= present) {
                if (SSL_write(c->ssl, request, length) != length) die("write");
                c->awaits = 1;
                c->got = c->wanted = 0;
            } else if (c->due_at < next) {
                next = c->due_at;
            }
        }
        struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)((next - now()) * 1e9)};
        if (pause.tv_nsec < 0) pause.tv_nsec = 0;
        if (pause.tv_nsec > 999999999) pause.tv_nsec = 999999999;
        int ready = epoll_pwait2(epoll, events, 64, &pause, NULL);
        for (int i = 0; i < ready; i++) {
            client *c = events[i].data.ptr;
            int got = SSL_read(c->ssl, c->answer + c->got, sizeof c->answer - 1 - c->got);
            if (got <= 0) {
                if (SSL_get_error(c->ssl, got) == SSL_ERROR_WANT_READ) continue;
                epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
                c->state = IDLE;
                lost++;
                continue;
            }
            c->got += got;
            c->answer[c->got] = 0;
            char *body = strstr(c->answer, "\r\n\r\n"), *field = strcasestr(c->answer, "content-length:");
            if (!body || !field) continue;
            if (c->got < (size_t)(body + 4 - c->answer) + strtoul(field + 15, NULL, 10)) continue;
            if (c->awaits && samples < capacity) latencies[samples++] = now() - c->due_at;
            c->awaits = 0;
            c->due_at += interval;
        }
    }
    qsort(latencies, samples, sizeof *latencies, compare);
    printf("{\"requests\":%zu,\"lost\":%d,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,"
           "\"max_ms\":%.3f}\n",
           samples, lost, quantile(latencies, samples, 0.5), quantile(latencies, samples, 0.9),
           quantile(latencies, samples, 0.99), quantile(latencies, samples, 0.999), quantile(latencies, samples, 1));
    return 0;
}

int main(int count, char **arguments) {
    if (count < 6) {
        fprintf(stderr, "tls_storm storm HOST PORT CLIENTS SECONDS [AT_ONCE]\n"
                        "tls_storm probe HOST PORT CONNECTIONS SECONDS INTERVAL_US [PATH [AUTHORIZATION]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(arguments[3]));
    if (inet_pton(AF_INET, arguments[2], &address.sin_addr) != 1) die("an IPv4 address is needed");
    epoll = epoll_create1(0);
    int clients = atoi(arguments[4]);
    double seconds = atof(arguments[5]);
    if (strcmp(arguments[1], "storm") == 0) return storm(clients, seconds, count > 6 ? atoi(arguments[6]) : clients);
    double interval = count > 6 ? atof(arguments[6]) / 1e6 : 0.01;
    return probe(clients, seconds, interval, count > 7 ? arguments[7] : "/healthz", count > 8 ? arguments[8] : NULL);
}
