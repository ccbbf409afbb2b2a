/* The load generator for rooms over WebSockets: what the first of N clients says, all must be given.
 *
 *     fanout_load PORT CLIENTS SIZE WARMUP_SECONDS SECONDS SERVER_PID PATH HEADERS JOIN READY PREFIX SUFFIX
 *
 * Servers wrap a message in frames of their own, so it is told how to talk to them: each client opens
 * a WebSocket at PATH with HEADERS of its own, sends JOIN and waits for a message that begins with
 * READY; nothing if they are empty.
 * The first one says PREFIX, a message of SIZE letters, SUFFIX. Whatever arrives and contains the
 * letters of the message under way is a delivery; a client that gets one twice, or one that is not
 * under way, is an error. The next message is sent when all have the one before. Pings of WebSocket
 * and of Engine.IO are answered. With a SIZE of 0 nobody says anything: it prints a line when all have
 * joined, and ends with its standard input.
 */
#define _GNU_SOURCE
#include "measure.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum { EVENTS = 256, HEAD = 8, BUFFER = 4096, SHORT = 126, TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

struct client {
    int fd, ready;
    uint32_t heard; /* ordinal of the last message that was delivered */
    size_t held;
    unsigned char buffer[BUFFER];
};

static struct client *clients;
static uint32_t number, missing, ordinal;
static const char *path, *headers, *join_text, *ready_text, *prefix, *suffix;
static char *message; /* the letters under way */
static size_t size;
static uint64_t started;
static int poller;

/* Send a frame masked with zeros, as a client may. */
static void say(struct client *c, int opcode, const char *data, size_t length)
{
    unsigned char frame[BUFFER] = {(unsigned char)(0x80 | opcode)};
    size_t head = 2;
    if (length + HEAD > BUFFER)
        fail("a message is too long for this generator");
    if (length < SHORT) {
        frame[1] = (unsigned char)(0x80 | length);
    } else {
        frame[1] = 0x80 | SHORT;
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
        head = 4;
    }
    head += 4; /* the mask */
    memcpy(frame + head, data, length);
    if (send(c->fd, frame, head + length, MSG_NOSIGNAL) != (ssize_t)(head + length))
        fail("the server broke a connection while a message was sent");
}

static void speak(void)
{
    char text[BUFFER];
    ordinal++;
    for (size_t i = 0; i < 10 && i < size; i++) { /* letters that no JSON has to escape */
        uint32_t digit = ordinal;
        for (size_t power = 0; power < i; power++)
            digit /= 10;
        message[i] = (char)('0' + digit % 10);
    }
    missing = number;
    started = read_clock(CLOCK_MONOTONIC);
    int length = snprintf(text, sizeof text, "%s%.*s%s", prefix, (int)size, message, suffix);
    if (length < 0 || (size_t)length >= sizeof text)
        fail("a message is too long for this generator");
    say(&clients[0], TEXT, text, (size_t)length);
}

static void handle(struct client *c, int opcode, const char *data, size_t length)
{
    if (opcode == PING) {
        say(c, PONG, data, length);
    } else if (opcode == CLOSE) {
        fail("the server closed a connection properly");
    } else if (opcode == TEXT && length == 1 && data[0] == '2') {
        say(c, TEXT, "3", 1); /* Engine.IO's ping and pong */
    } else if (!c->ready) {
        c->ready = length >= strlen(ready_text) && memcmp(data, ready_text, strlen(ready_text)) == 0;
    } else if (length >= size && missing > 0 && memmem(data, length, message, size) != NULL) {
        if (c->heard == ordinal)
            fail("a message was delivered twice");
        c->heard = ordinal;
        missing--;
        count(started);
    } else if (length >= size) {
        fail("another message was delivered than was sent");
    }
}

/* Receive, and handle every frame that is whole. */
static void pull(struct client *c, int flags)
{
    ssize_t got = recv(c->fd, c->buffer + c->held, BUFFER - c->held, flags);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail("the server closed a connection");
    c->held += (size_t)got;
    size_t at = 0;
    for (;;) {
        size_t left = c->held - at, head = 2;
        if (left < 2)
            break;
        size_t length = c->buffer[at + 1];
        if (length > SHORT)
            fail("a frame is larger than this generator expects");
        if (length == SHORT) {
            if (left < 4)
                break;
            length = ((size_t)c->buffer[at + 2] << 8) | c->buffer[at + 3];
            head = 4;
        }
        if (head + length > BUFFER)
            fail("a frame is larger than this generator expects");
        if (left < head + length)
            break;
        handle(c, c->buffer[at] & 15, (char *)c->buffer + at + head, length);
        at += head + length;
    }
    memmove(c->buffer, c->buffer + at, c->held - at);
    c->held -= at;
}

static void run_until(uint64_t end)
{
    struct epoll_event events[EVENTS];
    while (read_clock(CLOCK_MONOTONIC) < end) {
        int ready = epoll_wait(poller, events, EVENTS, STALL_MS);
        if (ready == 0)
            fail("the server sent nothing for 5 seconds");
        for (int i = 0; i < ready; i++)
            pull(events[i].data.ptr, MSG_DONTWAIT);
        if (missing == 0)
            speak();
    }
}

static void join(struct client *c, const char *port)
{
    char text[2048];
    size_t got = 0;
    c->fd = dial(port, SOCK_STREAM);
    int length = snprintf(text, sizeof text,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                          path, port, headers);
    if (send(c->fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        fail("the server broke a connection at the handshake");
    while (got < 4 || memcmp(text + got - 4, "\r\n\r\n", 4) != 0) { /* no byte of a frame with it */
        ssize_t more = recv(c->fd, text + got, 1, 0);
        if (more <= 0 || ++got == sizeof text)
            fail("the server closed a connection at the handshake");
    }
    if (memcmp(text, "HTTP/1.1 101", 12) != 0)
        fail("the server does not speak WebSocket");
    if (*join_text)
        say(c, TEXT, join_text, strlen(join_text));
    c->ready = *ready_text == 0;
    while (!c->ready)
        pull(c, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0)
        fail("epoll_ctl failed");
}

/* Answer pings: once when `milliseconds` is 0, with -1 until standard input ends. */
static void look_around(int milliseconds)
{
    struct epoll_event events[EVENTS];
    do {
        int ready = epoll_wait(poller, events, EVENTS, milliseconds);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == NULL)
                return;
            pull(events[i].data.ptr, MSG_DONTWAIT);
        }
    } while (milliseconds != 0);
}

static void hold(void)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
        fail("standard input is no pipe");
    puts("{\"joined\": true}");
    fflush(stdout);
    look_around(-1);
}

int main(int argc, char **argv)
{
    if (argc != 13)
        fail("usage: fanout_load PORT CLIENTS SIZE WARMUP_SECONDS SECONDS SERVER_PID PATH HEADERS JOIN"
             " READY PREFIX SUFFIX");
    number = (uint32_t)atoi(argv[2]);
    size = (size_t)atol(argv[3]);
    if (size != 0 && (size < 10 || size > BUFFER / 2))
        fail("a message must have 10 to 2048 letters");
    find_server(argv[6]);
    path = argv[7];
    headers = argv[8];
    join_text = argv[9];
    ready_text = argv[10];
    prefix = argv[11];
    suffix = argv[12];
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    clients = calloc(number, sizeof *clients);
    message = malloc(size + 1);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (clients == NULL || message == NULL || poller < 0)
        fail("out of memory or descriptors");
    for (size_t i = 0; i < size; i++)
        message[i] = (char)('a' + i % 26);
    for (uint32_t i = 0; i < number; i++) {
        join(&clients[i], argv[1]);
        if (i % 64 == 0)
            look_around(0);
    }
    if (size == 0) {
        hold();
        return 0;
    }
    speak();
    measure(run_until, nanoseconds(argv[4]), nanoseconds(argv[5]), NULL);
    return 0;
}
