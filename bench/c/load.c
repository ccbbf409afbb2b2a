/* The load generator: N connections in a closed loop, one message in flight on each.
 *
 *     load PORT CONNECTIONS SIZE WARMUP_SECONDS SECONDS SERVER_PID
 *
 * It is in C so that it stays well below the cost of any server it drives. Every message carries its
 * connection's number and its own; every byte that comes back is compared with what was sent, so
 * that a server which loses, repeats or misdelivers data fails instead of winning.
 *
 * The server's CPU time (user and system, all of its threads) is read here, through the CPU clock of
 * its process, in the same instant in which messages are counted: at the end of the warm-up and at
 * the end of the run. The kernel brings that clock up to date at each switch and at each tick, so it
 * is behind by a tick (1 to 10 ms) at most.
 *
 * Prints one line of JSON: the figures, or {"error": "..."} with exit status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BUFFER = 256 * 1024,
    EVENTS = 256,
    STAMP = 8,          /* bytes of a message that tell it from any other */
    STALL_MS = 5000,    /* silence after which the server is called stuck */
    MANTISSA = 7,       /* bits: latencies are kept to within 1/128 */
    BUCKETS = (64 - MANTISSA + 1) << MANTISSA,
};

struct connection {
    int fd;
    uint32_t number;
    uint32_t message;  /* ordinal of the message in flight */
    size_t sent;       /* bytes of it that the kernel took */
    size_t received;   /* bytes of it that came back */
    uint64_t started;  /* when it began to be sent */
    int waits_to_send; /* whether EPOLLOUT is watched */
};

struct sample {
    uint64_t now, cpu, messages;
};

static char incoming[BUFFER];
static char *message; /* what every connection sends, but for the stamp */
static size_t size;
static int poller;
static clockid_t server_clock;
static uint64_t messages;
static uint64_t latencies[BUCKETS];

static void fail(const char *what)
{
    printf("{\"error\": \"%s\"}\n", what);
    exit(1);
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        fail("the server's process is gone");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A histogram whose buckets grow with the value: exact below 2^MANTISSA ns, then in equal parts. */
static size_t bucket_of(uint64_t ns)
{
    if (ns < (1u << MANTISSA))
        return ns;
    unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - MANTISSA;
    return ((size_t)shift << MANTISSA) + (ns >> shift);
}

static double middle_of(size_t bucket)
{
    if (bucket < (2u << MANTISSA))
        return (double)bucket;
    unsigned shift = (unsigned)(bucket >> MANTISSA) - 1;
    uint64_t mantissa = bucket - ((size_t)shift << MANTISSA);
    return ((double)mantissa + 0.5) * (double)(1ull << shift);
}

static double percentile_us(double fraction)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        total += latencies[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += latencies[i];
        if (seen > 0 && (double)seen >= fraction * (double)total)
            return middle_of(i) / 1000;
    }
    return 0;
}

static void watch(struct connection *c, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (c->waits_to_send ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event) < 0)
        fail("epoll_ctl failed");
}

static void stamp(const struct connection *c)
{
    uint32_t numbers[2] = {c->number, c->message};
    memcpy(message, numbers, size < STAMP ? size : STAMP);
}

static void push(struct connection *c)
{
    stamp(c);
    while (c->sent < size) {
        ssize_t sent = send(c->fd, message + c->sent, size - c->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            fail("the server broke a connection while a message was sent");
        c->sent += (size_t)sent;
    }
    if (c->waits_to_send != (c->sent < size)) {
        c->waits_to_send = !c->waits_to_send;
        watch(c, EPOLL_CTL_MOD);
    }
}

static void begin(struct connection *c, uint64_t now)
{
    c->message++;
    c->sent = c->received = 0;
    c->started = now;
    push(c);
}

static void pull(struct connection *c)
{
    ssize_t got = recv(c->fd, incoming, sizeof incoming, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail("the server closed a connection");
    if ((size_t)got > c->sent - c->received)
        fail("more bytes came back than were sent");
    stamp(c);
    if (memcmp(message + c->received, incoming, (size_t)got) != 0)
        fail("other bytes came back than were sent");
    c->received += (size_t)got;
    if (c->received == size) {
        uint64_t now = read_clock(CLOCK_MONOTONIC);
        latencies[bucket_of(now - c->started)]++;
        messages++;
        begin(c, now);
    }
}

static void run_until(uint64_t end)
{
    struct epoll_event events[EVENTS];
    while (read_clock(CLOCK_MONOTONIC) < end) {
        int ready = epoll_wait(poller, events, EVENTS, STALL_MS);
        if (ready == 0)
            fail("the server sent nothing for 5 seconds");
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->waits_to_send && (events[i].events & EPOLLOUT))
                push(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                pull(c);
        }
    }
}

static struct sample take_sample(void)
{
    return (struct sample){
        .now = read_clock(CLOCK_MONOTONIC), .cpu = read_clock(server_clock), .messages = messages};
}

static void open_connection(struct connection *c, uint32_t number, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->number = number;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("a connection could not be opened");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK) < 0)
        fail("a connection could not be made non-blocking");
    watch(c, EPOLL_CTL_ADD);
}

static void report(struct sample from, struct sample to)
{
    if (to.messages == from.messages)
        fail("no message came back in the measured interval");
    printf("{\"generator\": \"c\", \"messages\": %llu, \"seconds\": %.6f, \"cpu_ns\": %llu, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f}\n",
           (unsigned long long)(to.messages - from.messages), (double)(to.now - from.now) / 1e9,
           (unsigned long long)(to.cpu - from.cpu), percentile_us(0.50), percentile_us(0.99));
}

int main(int argc, char **argv)
{
    if (argc != 7)
        fail("usage: load PORT CONNECTIONS SIZE WARMUP_SECONDS SECONDS SERVER_PID");
    uint16_t port = (uint16_t)atoi(argv[1]);
    uint32_t count = (uint32_t)atoi(argv[2]);
    size = (size_t)atol(argv[3]);
    uint64_t warmup = (uint64_t)(atof(argv[4]) * 1e9);
    uint64_t measured = (uint64_t)(atof(argv[5]) * 1e9);
    if (clock_getcpuclockid((pid_t)atoi(argv[6]), &server_clock) != 0)
        fail("the server's process is gone");

    struct connection *connections = calloc(count, sizeof *connections);
    message = malloc(size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || message == NULL || poller < 0)
        fail("out of memory or descriptors");
    for (size_t i = 0; i < size; i++)
        message[i] = (char)(i * 31 + (i >> 8));
    for (uint32_t i = 0; i < count; i++)
        open_connection(&connections[i], i, port);

    uint64_t start = read_clock(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < count; i++)
        begin(&connections[i], start);
    run_until(start + warmup);
    memset(latencies, 0, sizeof latencies);
    struct sample from = take_sample();
    run_until(from.now + measured);
    report(from, take_sample());
    return 0;
}
