/* The load generator for a broadcast over WebSockets: what the first of N clients says, all must hear.
 *
 *     broadcast_load PORT CLIENTS SIZE WARMUP_SECONDS SECONDS SERVER_PID
 *
 * One message is under way at a time: the next one is sent when all clients, the first one included,
 * have received it. Each delivery counts as a message; its latency begins when the first client
 * speaks. Every byte that is delivered is compared. What it prints is told in measure.h.
 */
#define _GNU_SOURCE
#include "measure.h"
#include <signal.h>
#include <sys/epoll.h>

enum { EVENTS = 256, HEAD = 4, MASK = 4, LARGEST = 65535, SHORT = 126, BINARY = 0x82, MASKED = 0x80 };

struct client {
    int fd;
    size_t received; /* bytes of the frame under way */
};

static struct client *clients;
static uint32_t number, missing, ordinal;
static char *frame, *sent; /* what the server must send, and what the first client sends */
static char *incoming;
static size_t size, frame_head, frame_size;
static uint64_t started;
static int poller;

/* The head of a frame; returns its length. */
static size_t put_head(char *where, unsigned masked)
{
    where[0] = (char)BINARY;
    if (size < SHORT) {
        where[1] = (char)(masked | size);
        return 2;
    }
    where[1] = (char)(masked | SHORT);
    where[2] = (char)(size >> 8);
    where[3] = (char)size;
    return 4;
}

static void speak(void)
{
    static const char mask[MASK] = {0x12, 0x34, 0x56, 0x78};
    char *payload = frame + frame_head;
    stamp(payload, size, 0, ++ordinal);
    size_t head = put_head(sent, MASKED);
    memcpy(sent + head, mask, MASK);
    head += MASK;
    for (size_t i = 0; i < size; i++)
        sent[head + i] = payload[i] ^ mask[i % MASK];
    missing = number;
    for (uint32_t i = 0; i < number; i++)
        clients[i].received = 0;
    started = read_clock(CLOCK_MONOTONIC);
    if (send(clients[0].fd, sent, head + size, MSG_NOSIGNAL) != (ssize_t)(head + size))
        fail("the server broke a connection while a message was sent");
}

static void pull(struct client *c)
{
    ssize_t got = recv(c->fd, incoming, frame_size + 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail("the server closed a connection");
    if ((size_t)got > frame_size - c->received || memcmp(frame + c->received, incoming, (size_t)got) != 0)
        fail("other bytes were delivered than were sent");
    c->received += (size_t)got;
    if (c->received < frame_size)
        return;
    count(started);
    if (--missing == 0)
        speak();
}

static void run_until(uint64_t end)
{
    struct epoll_event events[EVENTS];
    while (read_clock(CLOCK_MONOTONIC) < end) {
        int ready = await_events(poller, events, EVENTS, STALL_MS);
        if (ready == 0)
            fail("the server sent nothing for 5 seconds");
        for (int i = 0; i < ready; i++)
            pull(events[i].data.ptr);
    }
}

static void join(struct client *c, const char *port)
{
    char text[2048];
    size_t got = 0;
    c->fd = dial(port, SOCK_STREAM);
    int length = snprintf(text, sizeof text,
                          "GET / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                          port);
    if (send(c->fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        fail("the server broke a connection at the handshake");
    while (got < 4 || memcmp(text + got - 4, "\r\n\r\n", 4) != 0) {
        ssize_t more = recv(c->fd, text + got, sizeof text - got, 0);
        if (more <= 0)
            fail("the server closed a connection at the handshake");
        got += (size_t)more;
    }
    if (memcmp(text, "HTTP/1.1 101", 12) != 0)
        fail("the server does not speak WebSocket");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0)
        fail("epoll_ctl failed");
}

int main(int argc, char **argv)
{
    if (argc != 7)
        fail("usage: broadcast_load PORT CLIENTS SIZE WARMUP_SECONDS SECONDS SERVER_PID");
    number = (uint32_t)atoi(argv[2]);
    size = (size_t)atol(argv[3]);
    if (size < 1 || size > LARGEST)
        fail("a message must have 1 to 65535 bytes");
    find_server(argv[6]);
    signal(SIGPIPE, SIG_IGN);

    clients = calloc(number, sizeof *clients);
    frame = malloc(HEAD + size);
    sent = malloc(HEAD + MASK + size);
    incoming = malloc(HEAD + size + 1);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (clients == NULL || frame == NULL || sent == NULL || incoming == NULL || poller < 0)
        fail("out of memory or descriptors");
    frame_head = put_head(frame, 0);
    frame_size = frame_head + size;
    memcpy(frame + frame_head, make_message(size), size);
    for (uint32_t i = 0; i < number; i++)
        join(&clients[i], argv[1]);
    speak();
    measure(run_until, nanoseconds(argv[4]), nanoseconds(argv[5]), NULL);
    return 0;
}
