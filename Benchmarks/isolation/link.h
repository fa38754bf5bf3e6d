// The connections of client.h: how they open, write, read, and how what arrives becomes answers.

// Writing

static ssize_t write_some(Link *link, const unsigned char *bytes, size_t count) {
    if (link->tls == NULL) return send(link->descriptor, bytes, count, MSG_NOSIGNAL);
    ERR_clear_error();
    int written = SSL_write(link->tls, bytes, count > 1 << 30 ? 1 << 30 : (int)count);
    if (written > 0) return written;
    int reason = SSL_get_error(link->tls, written);
    errno = reason == SSL_ERROR_WANT_WRITE || reason == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
    return -1;
}

// Writes what it can. Gives whether all is written; a connection that fails is closed.
static bool flush(Link *link) {
    while (!link->is_closed) {
        bool is_batch = link->unsent_count > 0;
        const unsigned char *from = is_batch ? link->unsent : link->queue.bytes + link->queue_sent;
        size_t count = is_batch ? link->unsent_count : link->queue.count - link->queue_sent;
        if (count == 0) {
            link->queue.count = link->queue_sent = 0;
            return true;
        }
        ssize_t written = write_some(link, from, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (written <= 0) {
            link->is_closed = true;
            return false;
        }
        if (is_batch) link->unsent += written, link->unsent_count -= (size_t)written;
        else link->queue_sent += (size_t)written;
    }
    return false;
}

// Answers

static void complete(Link *link) {
    Answer answer = link->pending;
    uint32_t stream = link->pending_stream;
    link->is_pending = false;
    if (!link->is_opening) {
        take_answer(link, stream, answer);
        return;
    }
    link->is_opening = false;
    // A request that is refused still leaves its token in the table; a connection that is refused is of no use.
    bool is_in = answer == answer_good || answer == answer_miss || (link->protocol == http2 && answer == answer_refused);
    if (!is_in) link->is_closed = true;
}

static void begin_answer(Link *link, Answer answer) {
    link->pending = answer;
    link->is_pending = true;
}

static Answer answer_of_status(unsigned status) {
    switch (status) {
    case 200:
    case 201:
    case 204: return answer_good;
    case 404: return answer_miss;
    case 429: return answer_refused;
    case 503: return answer_busy;
    default: return answer_failed;
    }
}

static Answer answer_of_error(const unsigned char *line, size_t count) {
    static const char throttled[] = "-THROTTLED", busy[] = "busy";
    if (count < sizeof throttled - 1 || memcmp(line, throttled, sizeof throttled - 1) != 0) {
        note_failure(line, count);
        return answer_failed;
    }
    return memmem(line, count, busy, sizeof busy - 1) != NULL ? answer_busy : answer_refused;
}

// RESP2: one element, or the head of one. Gives the bytes used, 0 if the line is not complete yet.
static size_t parse_resp(Link *link, const unsigned char *bytes, size_t count) {
    const unsigned char *end = memmem(bytes, count, "\r\n", 2);
    if (end == NULL) return 0;
    size_t line = (size_t)(end - bytes) + 2;
    long long number = bytes[0] == '$' || bytes[0] == '*' ? strtoll((const char *)bytes + 1, NULL, 10) : 0;
    if (link->elements == 0) {
        link->elements = 1;
        begin_answer(link, bytes[0] == '-' ? answer_of_error(bytes, line) : number < 0 ? answer_miss : answer_good);
    } else if (link->is_first_element && number == 7 && bytes[0] == '$') {
        if (count < line + 7) return 0;
        if (memcmp(bytes + line, "message", 7) == 0) link->pending = answer_push;
    }
    link->is_first_element = bytes[0] == '*' && link->elements == 1 && !link->is_first_element;
    link->elements--;
    if (bytes[0] == '*' && number > 0) link->elements += (uint64_t)number;
    if (bytes[0] == '$' && number >= 0) link->skipped = (uint64_t)number + 2;
    return line;
}

static size_t parse_http1(Link *link, const unsigned char *bytes, size_t count) {
    const unsigned char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    size_t head = (size_t)(end - bytes) + 4;
    unsigned status = (unsigned)strtoul((const char *)bytes + 9, NULL, 10);
    if (status < 200) return head;
    for (const unsigned char *line = bytes; line < end; line++) {
        line = memmem(line, head - (size_t)(line - bytes), "\r\n", 2);
        if (line == NULL || line >= end) break;
        if (strncasecmp((const char *)line + 2, "content-length:", 15) == 0)
            link->skipped = strtoull((const char *)line + 17, NULL, 10);
    }
    begin_answer(link, answer_of_status(status));
    if (link->pending == answer_failed) note_failure(bytes, head);
    return head;
}

// `:status` of a header block: indexed, or a literal whose digits may be Huffman coded (RFC 7541 appendix B).
static unsigned status_of(const unsigned char *block, size_t count) {
    static const unsigned of_index[] = {200, 204, 206, 304, 400, 404, 500};
    size_t position = 0;
    while (position < count && (block[position] & 0xE0) == 0x20)
        if ((block[position++] & 0x1F) == 0x1F)
            while (position < count && (block[position++] & 0x80)) {}
    if (position >= count) return 0;
    unsigned first = block[position];
    if (first >= 0x88 && first <= 0x8E) return of_index[first - 0x88];
    if (((first & 0xC0) != 0x40 && (first & 0xF0) != 0 && (first & 0xF0) != 0x10) || position + 2 > count) return 0;
    unsigned length = block[position + 1] & 0x7F, status = 0, bits = 0, available = 0;
    if (position + 2 + length > count) return 0;
    const unsigned char *text = block + position + 2;
    if (!(block[position + 1] & 0x80)) {
        for (unsigned index = 0; index < length; index++) status = status * 10 + (text[index] - '0');
        return status;
    }
    for (unsigned index = 0, found = 0; found < 3;) {
        while (available < 6 && index < length) bits = bits << 8 | text[index++], available += 8;
        if (available < 5) return 0;
        unsigned five = bits >> (available - 5) & 0x1F;
        if (five <= 2) {
            status = status * 10 + five, available -= 5;
        } else {
            if (available < 6) return 0;
            unsigned six = bits >> (available - 6) & 0x3F;
            if (six < 25 || six > 31) return 0;
            status = status * 10 + six - 22, available -= 6;
        }
        found++;
    }
    return status;
}

static void queue_window(Link *link, size_t count) {
    link->window_used += count;
    if (link->window_used < 1u << 28) return;
    append_frame_head(&link->queue, 4, 8, 0, 0);
    uint32_t increment = htonl((uint32_t)link->window_used);
    append(&link->queue, &increment, sizeof increment);
    link->window_used = 0;
}

static void end_of_stream(Link *link, uint32_t stream) {
    unsigned char *slot = slot_of(link, stream);
    begin_answer(link, *slot == 0 || *slot == slot_open ? answer_failed : (Answer)(*slot - 1));
    link->pending_stream = stream;
    *slot = 0;
}

static size_t parse_http2(Link *link, const unsigned char *bytes, size_t count) {
    if (count < frame_head_bytes) return 0;
    size_t length = (size_t)bytes[0] << 16 | (size_t)bytes[1] << 8 | bytes[2];
    unsigned kind = bytes[3], flags = bytes[4];
    uint32_t stream;
    memcpy(&stream, bytes + 5, sizeof stream);
    stream = ntohl(stream);
    bool is_end = flags & end_stream;
    if (kind == frame_data) {
        queue_window(link, length);
        link->skipped = length;
        if (is_end) end_of_stream(link, stream);
        return frame_head_bytes;
    }
    if (length > held_capacity - frame_head_bytes) fail("a frame of a length that nobody asked for");
    if (count < frame_head_bytes + length) return 0;
    const unsigned char *payload = bytes + frame_head_bytes;
    if (kind == frame_headers) {
        unsigned status = status_of(payload, length);
        Answer answer = answer_of_status(status);
        if (answer == answer_failed && first_failure[0] == 0)
            snprintf(first_failure, sizeof first_failure, "HTTP/2 status %u", status);
        *slot_of(link, stream) = (unsigned char)(answer + 1);
        if (is_end) end_of_stream(link, stream);
    } else if (kind == frame_reset && *slot_of(link, stream) != 0) {
        // After the end of an answer it only says that the rest of a body is not wanted.
        note_failure((const unsigned char *)"a stream was reset", 18);
        *slot_of(link, stream) = answer_failed + 1;
        end_of_stream(link, stream);
    } else if (kind == frame_goaway) {
        link->is_closed = true;
    } else if (kind == frame_settings && !(flags & frame_ack)) {
        append_frame_head(&link->queue, 0, frame_settings, frame_ack, 0);
    } else if (kind == frame_ping && !(flags & frame_ack)) {
        append_frame_head(&link->queue, length, frame_ping, frame_ack, 0);
        append(&link->queue, payload, length);
    }
    return frame_head_bytes + length;
}

// Reading

// Takes what it can of the bytes and gives how many that is.
static size_t parse(Link *link, const unsigned char *bytes, size_t count) {
    size_t position = 0;
    while (true) {
        if (link->skipped > 0) {
            size_t skipped = count - position < link->skipped ? count - position : (size_t)link->skipped;
            link->skipped -= skipped;
            position += skipped;
            if (link->skipped > 0) break;
        }
        if (link->is_pending && link->elements == 0) complete(link);
        if (position == count || link->is_closed) break;
        const unsigned char *from = bytes + position;
        size_t used = link->protocol == resp    ? parse_resp(link, from, count - position)
                      : link->protocol == http1 ? parse_http1(link, from, count - position)
                                                : parse_http2(link, from, count - position);
        if (used == 0) break;
        position += used;
    }
    return position;
}

static ssize_t read_some(Link *link, unsigned char *bytes, size_t count) {
    if (link->tls == NULL) return recv(link->descriptor, bytes, count, 0);
    ERR_clear_error();
    int read = SSL_read(link->tls, bytes, (int)count);
    if (read > 0) return read;
    int reason = SSL_get_error(link->tls, read);
    errno = reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return reason == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

// Reads what is there: once, or over TLS until nothing is left in the library, whose bytes epoll does not know of.
static void receive(Link *link) {
    do {
        ssize_t count = read_some(link, read_buffer + held_capacity, read_capacity);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (count <= 0) {
            link->is_closed = true;
            return;
        }
        bytes_received += (uint64_t)count;
        // What was held stands in front of what was read, so that heads are whole.
        unsigned char *start = read_buffer + held_capacity - link->held_count;
        memcpy(start, link->held, link->held_count);
        size_t available = (size_t)count + link->held_count, used = parse(link, start, available);
        if (!link->is_closed && available - used > held_capacity) fail("a head is too long");
        link->held_count = link->is_closed ? 0 : (uint32_t)(available - used);
        memcpy(link->held, start + used, link->held_count);
    } while (link->tls != NULL && !link->is_closed);
}

// Opening

static void set_blocking(int descriptor, bool is_blocking) {
    int flags = fcntl(descriptor, F_GETFL);
    fcntl(descriptor, F_SETFL, is_blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static int bound_socket(uint32_t number) {
    int one = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail("no socket for connection %u: %s", number, strerror(errno));
    struct timeval patience = {.tv_sec = patience_seconds};
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    // 127.1.0.1 and on, one address after the other.
    struct sockaddr_in own = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F010001u + number / connections_per_address % 0xFFFF)};
    if (bind(descriptor, (struct sockaddr *)&own, sizeof own) != 0) fail("bind: %s", strerror(errno));
    return descriptor;
}

// What the other side must answer before a request goes out.
static void queue_opening(Link *link, const char *first_target) {
    if (link->protocol == resp) {
        append_text(&link->queue, "*3\r\n$4\r\nAUTH\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(cache), cache,
                    strlen(token), token);
    } else if (link->protocol == http2) {
        // SETTINGS: no dynamic table for the server's encoder, no pushes, windows without an end; then WINDOW_UPDATE.
        append(&link->queue, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
        append_frame_head(&link->queue, 18, frame_settings, 0, 0);
        append(&link->queue, "\0\1\0\0\0\0" "\0\2\0\0\0\0" "\0\4\x7F\xFF\xFF\xFF", 18);
        append_frame_head(&link->queue, 4, 8, 0, 0);
        append(&link->queue, "\x7F\xFE\0\0", 4);
        size_t start = link->queue.count;
        append_frame_head(&link->queue, 0, frame_headers, end_headers | end_stream, 1);
        append(&link->queue, "\x82", 1);
        append(&link->queue, &scheme, 1);
        append(&link->queue, "\x41\x09localhost\x04", 12);
        append_integer(&link->queue, strlen(first_target), 7, 0);
        append_text(&link->queue, "%s", first_target);
        // Two fields enter the dynamic table: the authority, 63 from now on, and the token, 62.
        append(&link->queue, "\x57", 1);
        append_integer(&link->queue, strlen(token), 7, 0);
        append_text(&link->queue, "%s", token);
        size_t block = link->queue.count - start - frame_head_bytes;
        link->queue.bytes[start + 1] = (unsigned char)(block >> 8);
        link->queue.bytes[start + 2] = (unsigned char)block;
        link->next_stream = 1;
        if (link->slots == NULL) link->slots = calloc(slot_count, 1);
        if (link->slots == NULL) fail("out of memory");
        memset(link->slots, 0, slot_count);
        *slot_of(link, 1) = slot_open;
    }
    link->is_opening = link->protocol != http1;
}

static SSL *new_tls(int descriptor, Protocol protocol) {
    if (tls_context == NULL) {
        tls_context = SSL_CTX_new(TLS_client_method());
        if (tls_context == NULL) fail("no TLS");
        SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
    }
    SSL *tls = SSL_new(tls_context);
    if (tls == NULL || SSL_set_fd(tls, descriptor) != 1) fail("no TLS for a connection");
    if (protocol == http1) SSL_set_alpn_protos(tls, (const unsigned char *)"\x08http/1.1", 9);
    if (protocol == http2) SSL_set_alpn_protos(tls, (const unsigned char *)"\x02h2", 3);
    SSL_set_connect_state(tls);
    return tls;
}

static void close_link(Link *link) {
    if (link->tls != NULL) SSL_free(link->tls);
    if (link->descriptor >= 0) close(link->descriptor);
    link->tls = NULL;
    link->descriptor = -1;
}

static void reset_link(Link *link) {
    link->is_opening = link->is_closed = link->wants_write = link->is_pending = link->is_first_element = false;
    link->unsent_count = link->queue.count = link->queue_sent = 0;
    link->window_used = link->skipped = link->elements = 0;
    link->held_count = 0;
}

// Connects, and waits until the other side has let this caller in. Gives false where it refuses.
static inline bool open_link(Link *link, Protocol protocol, bool is_tls, const char *first_target) {
    reset_link(link);
    link->protocol = protocol;
    link->descriptor = bound_socket(link->number);
    if (connect(link->descriptor, (struct sockaddr *)&server, sizeof server) != 0)
        fail("connection %u was not accepted: %s", link->number, strerror(errno));
    if (is_tls) {
        link->tls = new_tls(link->descriptor, protocol);
        if (SSL_do_handshake(link->tls) != 1) fail("a TLS handshake failed");
    }
    queue_opening(link, first_target);
    flush(link);
    // Over TLS a read goes on until nothing comes, so it must not wait; the event loop is not there yet.
    set_blocking(link->descriptor, false);
    int64_t deadline = now_nanoseconds() + patience_seconds * 1000000000ll;
    while (link->is_opening && !link->is_closed && now_nanoseconds() < deadline) {
        struct pollfd waiting = {.fd = link->descriptor, .events = POLLIN};
        poll(&waiting, 1, 1000);
        receive(link);
    }
    flush(link);
    if (!link->is_closed && !link->is_opening) return true;
    close_link(link);
    return false;
}

static void watch(int poller, Link *link, bool is_new) {
    struct epoll_event event = {.events = EPOLLIN | (link->wants_write ? EPOLLOUT : 0), .data.ptr = link};
    if (epoll_ctl(poller, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, link->descriptor, &event) != 0)
        fail("epoll: %s", strerror(errno));
}

// Writes what is queued, and asks epoll for the rest.
static void write_out(int poller, Link *link) {
    bool wants_write = !flush(link) && !link->is_closed;
    if (wants_write == link->wants_write || link->is_closed) return;
    link->wants_write = wants_write;
    watch(poller, link, false);
}

// Start

static void begin_program(const char *port) {
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    server = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void make_value(size_t count) {
    value_bytes = count;
    value = malloc(count + 1);
    if (value == NULL) fail("out of memory");
    for (size_t index = 0; index < count; index++) value[index] = "martlet-"[index % 8];
}

static inline Protocol protocol_of(const char *name) {
    if (strcmp(name, "resp") == 0) return resp;
    if (strcmp(name, "http1") == 0) return http1;
    if (strcmp(name, "http2") == 0) return http2;
    fail("there is no protocol %s", name);
    return resp;
}
