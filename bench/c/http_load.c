/* The load generator for HTTP: N connections that are kept, one request in flight on each.
 *
 *     http_load PORT CONNECTIONS PATH WARMUP_SECONDS SECONDS SERVER_PID
 *
 * Every response must be of status 200, tell its length and have the body that the first one had. What
 * it prints is told in measure.h.
 */
#define _GNU_SOURCE
#include "measure.h"
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>

enum { RESPONSE = 16 * 1024, EVENTS = 256 };

struct connection {
    int fd;
    size_t received;
    uint64_t started;
    char response[RESPONSE + 1]; /* ends with a zero, for the search */
};

static char request[1024];
static size_t request_size;
static char body[RESPONSE]; /* of the first response */
static size_t body_size;
static int poller;

static void ask(struct connection *c, uint64_t now)
{
    c->received = 0;
    c->started = now;
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        fail("the server broke a connection while a request was sent");
}

/* Where the body begins; NULL when the head is not all there. */
static const char *end_of_head(struct connection *c)
{
    c->response[c->received] = 0;
    const char *end = strstr(c->response, "\r\n\r\n");
    return end == NULL ? NULL : end + 4;
}

static size_t length_of_body(struct connection *c, const char *head_end)
{
    static const char name[] = "content-length:";
    if (strncmp(c->response, "HTTP/1.1 200", 12) != 0)
        fail("the server answered with another status than 200");
    for (const char *line = c->response; line < head_end; line = strstr(line, "\r\n") + 2)
        if (strncasecmp(line, name, sizeof name - 1) == 0)
            return (size_t)atol(line + sizeof name - 1);
    fail("a response does not tell its length");
    return 0;
}

static void check(const char *got, size_t size)
{
    if (body_size == 0) {
        memcpy(body, got, size);
        body_size = size;
    }
    if (size == 0 || size != body_size || memcmp(got, body, size) != 0)
        fail("a response has another body than the first one");
}

static void pull(struct connection *c)
{
    ssize_t got = recv(c->fd, c->response + c->received, RESPONSE - c->received, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail("the server closed a connection, or its response is too long");
    c->received += (size_t)got;
    const char *start = end_of_head(c);
    if (start == NULL)
        return;
    size_t head = (size_t)(start - c->response), size = length_of_body(c, start);
    if (c->received < head + size)
        return;
    if (c->received > head + size)
        fail("more came back than a response");
    check(start, size);
    ask(c, count(c->started));
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

int main(int argc, char **argv)
{
    if (argc != 7)
        fail("usage: http_load PORT CONNECTIONS PATH WARMUP_SECONDS SECONDS SERVER_PID");
    uint32_t number = (uint32_t)atoi(argv[2]);
    request_size = (size_t)snprintf(request, sizeof request,
                                    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAccept: */*\r\n"
                                    "User-Agent: http_load\r\n\r\n",
                                    argv[3], argv[1]);
    if (request_size >= sizeof request)
        fail("the path is too long");
    find_server(argv[6]);
    signal(SIGPIPE, SIG_IGN);

    struct connection *connections = calloc(number, sizeof *connections);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (connections == NULL || poller < 0)
        fail("out of memory or descriptors");
    for (uint32_t i = 0; i < number; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        connections[i].fd = dial(argv[1], SOCK_STREAM);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &event) < 0)
            fail("epoll_ctl failed");
        ask(&connections[i], read_clock(CLOCK_MONOTONIC));
    }
    measure(run_until, nanoseconds(argv[4]), nanoseconds(argv[5]), NULL);
    return 0;
}
