/* The least an echo server on epoll can cost: what a Python event loop is measured against.
 *
 *     echo_epoll         streams over TCP
 *     echo_epoll PATH    streams over a Unix socket
 *     echo_epoll udp     datagrams, received until there are none at each event
 *
 * One thread, level-triggered, one recv and one send per turn of a connection. When the kernel does
 * not take all of a message, the rest is kept and the connection is not read until it is gone, so
 * that memory stays bounded by one buffer per connection.
 *
 * It prints {"addresses": [PORT or "PATH"]} and serves until killed, or until an alarm ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024, EVENTS = 256, BACKLOG = 4096, LIFETIME_SECONDS = 180 };

struct connection {
    int fd;
    char *rest;   /* what the kernel has not taken yet; NULL when it has taken everything */
    size_t begin; /* of what is left in rest */
    size_t end;
};

static char buffer[BUFFER];
static int poller;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct connection *c, int operation, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event) < 0)
        fail("epoll_ctl");
}

static void finish(struct connection *c)
{
    close(c->fd);
    free(c->rest);
    free(c);
}

/* Bytes the kernel took, 0 when it is full, -1 when the connection is dead. */
static ssize_t offer(int fd, const char *data, size_t size)
{
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return sent;
}

static void keep(struct connection *c, const char *data, size_t size)
{
    c->rest = malloc(size);
    if (c->rest == NULL)
        fail("malloc");
    memcpy(c->rest, data, size);
    c->begin = 0;
    c->end = size;
    watch(c, EPOLL_CTL_MOD, EPOLLOUT);
}

static void readable(struct connection *c)
{
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    ssize_t sent = got > 0 ? offer(c->fd, buffer, (size_t)got) : -1;
    if (sent < 0)
        finish(c);
    else if (sent < got)
        keep(c, buffer + sent, (size_t)(got - sent));
}

static void writable(struct connection *c)
{
    ssize_t sent = offer(c->fd, c->rest + c->begin, c->end - c->begin);
    if (sent < 0) {
        finish(c);
        return;
    }
    c->begin += (size_t)sent;
    if (c->begin < c->end)
        return;
    free(c->rest);
    c->rest = NULL;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return; /* level-triggered: a connection that is still there comes again */
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        fail("calloc");
    c->fd = fd;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void answer_datagrams(int fd)
{
    struct sockaddr_in from;
    for (;;) {
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
        if (got < 0)
            return;
        sendto(fd, buffer, (size_t)got, 0, (struct sockaddr *)&from, length);
    }
}

static int bind_port(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        fail("bind");
    printf("{\"addresses\": [%d]}\n", ntohs(address.sin_port));
    return fd;
}

static int bind_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("bind");
    printf("{\"addresses\": [\"%s\"]}\n", path);
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    struct epoll_event arrival = {.events = EPOLLIN, .data.ptr = NULL};
    int datagrams = argc > 1 && strcmp(argv[1], "udp") == 0;

    alarm(LIFETIME_SECONDS);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int front = argc > 1 && !datagrams ? bind_path(argv[1])
                                       : bind_port(datagrams ? SOCK_DGRAM : SOCK_STREAM);
    if (!datagrams && listen(front, BACKLOG) < 0)
        fail("listen");
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, front, &arrival) < 0)
        fail("epoll");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == NULL && datagrams)
                answer_datagrams(front);
            else if (c == NULL)
                accept_one(front);
            else if (c->rest != NULL)
                writable(c);
            else
                readable(c);
        }
    }
}
