/* The load generator for datagrams: N sockets in a closed loop, one datagram in flight on each.
 *
 *     load_udp PORT SOCKETS SIZE WARMUP_SECONDS SECONDS SERVER_PID
 *
 * A datagram may get lost, so one that does not come back is sent again after a while. What comes
 * back a second time, because it was only late, is told by its stamp and ignored. Every byte of the
 * others is compared with what was sent. What it prints is told in measure.h; "resent" is added.
 */
#define _GNU_SOURCE
#include "measure.h"
#include <sys/epoll.h>

enum { BUFFER = 65536, EVENTS = 64, RESEND_MS = 200, ATTEMPTS = STALL_MS / RESEND_MS };

struct line {
    int fd;
    uint32_t number;
    uint32_t ordinal; /* of the datagram in flight */
    uint64_t started; /* when it was sent first */
    uint64_t sent;    /* when it was sent last */
    int attempts;
};

static char incoming[BUFFER];
static char *message;
static size_t size;
static int poller;
static struct line *lines;
static uint32_t number;
static unsigned long long resent;

static void transmit(struct line *l, uint64_t now)
{
    stamp(message, size, l->number, l->ordinal);
    l->sent = now;
    /* a full buffer is one more way to get lost; a refusal shows when nothing comes back */
    (void)!send(l->fd, message, size, MSG_DONTWAIT);
}

static void begin(struct line *l, uint64_t now)
{
    l->ordinal++;
    l->started = now;
    l->attempts = 0;
    transmit(l, now);
}

static void pull(struct line *l)
{
    ssize_t got = recv(l->fd, incoming, sizeof incoming, MSG_DONTWAIT);
    if (got < 0)
        return;
    stamp(message, size, l->number, l->ordinal - 1);
    if (size > 1 && (size_t)got == size && memcmp(message, incoming, size) == 0)
        return; /* the answer to the one before, again */
    stamp(message, size, l->number, l->ordinal);
    if ((size_t)got != size || memcmp(message, incoming, size) != 0)
        fail("another datagram came back than was sent");
    begin(l, count(l->started));
}

static void repeat(uint64_t now)
{
    for (uint32_t i = 0; i < number; i++) {
        if (now - lines[i].sent < RESEND_MS * 1000000ull)
            continue;
        if (++lines[i].attempts == ATTEMPTS)
            fail("the server sent nothing for 5 seconds");
        resent++;
        transmit(&lines[i], now);
    }
}

static void run_until(uint64_t end)
{
    struct epoll_event events[EVENTS];
    uint64_t now, looked = read_clock(CLOCK_MONOTONIC);
    while ((now = read_clock(CLOCK_MONOTONIC)) < end) {
        if (now - looked >= RESEND_MS * 1000000ull / 4) {
            repeat(now);
            looked = now;
        }
        int ready = await_events(poller, events, EVENTS, RESEND_MS / 4);
        for (int i = 0; i < ready; i++)
            pull(events[i].data.ptr);
    }
}

static const char *more(void)
{
    static char text[64];
    snprintf(text, sizeof text, ", \"resent\": %llu", resent);
    return text;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        fail("usage: load_udp PORT SOCKETS SIZE WARMUP_SECONDS SECONDS SERVER_PID");
    number = (uint32_t)atoi(argv[2]);
    size = (size_t)atol(argv[3]);
    find_server(argv[6]);

    lines = calloc(number, sizeof *lines);
    message = make_message(size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (lines == NULL || poller < 0)
        fail("out of memory or descriptors");
    uint64_t start = read_clock(CLOCK_MONOTONIC);
    for (uint32_t i = 0; i < number; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lines[i]};
        lines[i].number = i;
        lines[i].fd = dial(argv[1], SOCK_DGRAM);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, lines[i].fd, &event) < 0)
            fail("epoll_ctl failed");
        begin(&lines[i], start);
    }
    measure(run_until, nanoseconds(argv[4]), nanoseconds(argv[5]), more);
    return 0;
}
