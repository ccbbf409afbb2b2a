/* The load generator: N connections in a closed loop, one message in flight on each that is active.
 *
 *     load PORT|PATH CONNECTIONS ACTIVE SIZE WARMUP_SECONDS SECONDS SERVER_PID
 *
 * The active ones are spread evenly; the others send nothing once all are open.
 *
 * It is in C so that it stays well below the cost of any server it drives. Every message carries its
 * connection's number and its own; every byte that comes back is compared with what was sent, so
 * that a server which loses, repeats or misdelivers data fails instead of winning.
 *
 * Compiled with WITH_TLS it speaks TLS; see wire.h. What it prints is told in measure.h.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
    BUFFER = 256 * 1024,
    EVENTS = 256,
    PACE = 500,            /* connections opened before the server must have accepted them all */
    PACE_SIZE = 16 * 1024, /* as much as surely fits into the kernel's buffers */
};

struct connection {
    int fd;
    wire wire;
    uint32_t number;
    uint32_t ordinal;  /* of the message in flight */
    size_t sent;       /* bytes of it that were taken */
    size_t received;   /* bytes of it that came back */
    uint64_t started;  /* when it began to be sent */
    int waits_to_send; /* whether EPOLLOUT is watched */
};

static char incoming[BUFFER];
static char *message; /* what every connection sends, but for the stamp */
static size_t size;
static int poller;

static void watch(struct connection *c, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (c->waits_to_send ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event) < 0)
        fail("epoll_ctl failed");
}

static void push(struct connection *c)
{
    stamp(message, size, c->number, c->ordinal);
    while (c->sent < size) {
        ssize_t sent = transmit(c->wire, message + c->sent, size - c->sent);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent <= 0)
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
    c->ordinal++;
    c->sent = c->received = 0;
    c->started = now;
    push(c);
}

/* Whether something came. */
static int pull(struct connection *c)
{
    ssize_t got = receive(c->wire, incoming, sizeof incoming);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        fail("the server closed a connection");
    if ((size_t)got > c->sent - c->received)
        fail("more bytes came back than were sent");
    stamp(message, size, c->number, c->ordinal);
    if (memcmp(message + c->received, incoming, (size_t)got) != 0)
        fail("other bytes came back than were sent");
    c->received += (size_t)got;
    if (c->received == size)
        begin(c, count(c->started));
    return 1;
}

static void run_until(uint64_t end)
{
    struct epoll_event events[EVENTS];
    while (read_clock(CLOCK_MONOTONIC) < end) {
        int ready = await_events(poller, events, EVENTS, STALL_MS);
        if (ready == 0)
            fail("the server sent nothing for 5 seconds");
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->waits_to_send && (events[i].events & EPOLLOUT))
                push(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                while (pull(c) && READS_ALL) {
                }
        }
    }
}

/* Wait for one echo, while the socket still blocks. A server accepts in the order of arrival: when
   the last one is answered, none waits in a queue that must not overflow. */
static void keep_pace(struct connection *c)
{
    size_t got = 0;
    stamp(message, size, c->number, 0);
    for (size_t sent = 0; sent < size;) {
        ssize_t taken = transmit(c->wire, message + sent, size - sent);
        if (taken <= 0)
            fail("the server broke a new connection");
        sent += (size_t)taken;
    }
    while (got < size) {
        ssize_t came = receive(c->wire, incoming, size - got);
        if (came <= 0)
            fail("the server closed a new connection");
        got += (size_t)came;
    }
}

static void open_connection(struct connection *c, uint32_t number, const char *where)
{
    c->number = number;
    c->fd = dial(where, SOCK_STREAM);
    c->wire = wrap(c->fd);
    if (number % PACE == PACE - 1 && size <= PACE_SIZE)
        keep_pace(c);
    if (fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK) < 0)
        fail("a connection could not be made non-blocking");
    watch(c, EPOLL_CTL_ADD);
}

static void allow_many(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8)
        fail("usage: load PORT|PATH CONNECTIONS ACTIVE SIZE WARMUP_SECONDS SECONDS SERVER_PID");
    uint32_t number = (uint32_t)atoi(argv[2]), active = (uint32_t)atoi(argv[3]);
    size = (size_t)atol(argv[4]);
    find_server(argv[7]);
    signal(SIGPIPE, SIG_IGN);
    allow_many();
    prepare();

    struct connection *connections = calloc(number, sizeof *connections);
    message = make_message(size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || poller < 0)
        fail("out of memory or descriptors");
    for (uint32_t i = 0; i < number; i++)
        open_connection(&connections[i], i, argv[1]);
    uint64_t start = read_clock(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < active; i++)
        begin(&connections[(uint64_t)i * number / active], start);
    measure(run_until, nanoseconds(argv[5]), nanoseconds(argv[6]), NULL);
    return 0;
}
