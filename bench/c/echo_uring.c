/* The least an echo server on io_uring can cost, over TCP.
 *
 *     echo_uring          serves
 *     echo_uring probe    exit status 0 when this system lets a program use io_uring
 *
 * One thread, no library: the ring is set up by system calls of its own. Each connection has one
 * buffer and one pair of operations under way: a send of all that came, and, linked to it, the next
 * receive. A send that succeeds reports nothing, so that a message costs two entries and one
 * completion, and one system call serves all connections that have something to do. As with epoll, a
 * connection is not read until its message is sent, so that memory stays bounded.
 *
 * Buffers are of anonymous memory: only what is touched of them takes any.
 *
 * It prints {"addresses": [PORT]} and serves until killed, or until an alarm ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    BUFFER = 256 * 1024,
    ENTRIES = 4096,
    COMPLETIONS = 32768,
    FILES = 20000,
    BACKLOG = 4096,
    LIFETIME_SECONDS = 180,
    QUIET = 1, /* marks an operation whose end is no news */
};

struct connection {
    int file; /* its number among the ring's own files */
    char *buffer;
};

static struct {
    int fd;
    _Atomic unsigned *head, *tail; /* of the submissions; the kernel moves the head */
    unsigned mask, filled;         /* filled: where the next entry goes */
    struct io_uring_sqe *entries;
} submissions;

static struct {
    _Atomic unsigned *head, *tail; /* of the completions; the kernel moves the tail */
    unsigned mask;
    struct io_uring_cqe *entries;
} completions;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void *map(int fd, size_t size, off_t offset)
{
    void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
    if (mapped == MAP_FAILED)
        fail("mmap");
    return mapped;
}

static void make_ring(void)
{
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int fd = (int)syscall(__NR_io_uring_setup, ENTRIES, &p);
    if (fd < 0)
        fail("io_uring_setup");
    size_t taken = p.sq_off.array + p.sq_entries * sizeof(unsigned);
    size_t done = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
    char *rings = map(fd, taken > done ? taken : done, IORING_OFF_SQ_RING);
    submissions.fd = fd;
    submissions.head = (void *)(rings + p.sq_off.head);
    submissions.tail = (void *)(rings + p.sq_off.tail);
    submissions.mask = *(unsigned *)(rings + p.sq_off.ring_mask);
    submissions.entries = map(fd, p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    unsigned *order = (void *)(rings + p.sq_off.array);
    for (unsigned i = 0; i < p.sq_entries; i++)
        order[i] = i;
    completions.head = (void *)(rings + p.cq_off.head);
    completions.tail = (void *)(rings + p.cq_off.tail);
    completions.mask = *(unsigned *)(rings + p.cq_off.ring_mask);
    completions.entries = (void *)(rings + p.cq_off.cqes);
}

/* Hand over what has been filled in; wait until `least` completions are there. */
static void enter(unsigned least)
{
    unsigned count = submissions.filled - atomic_load_explicit(submissions.head, memory_order_acquire);
    atomic_store_explicit(submissions.tail, submissions.filled, memory_order_release);
    int done = (int)syscall(__NR_io_uring_enter, submissions.fd, count, least, IORING_ENTER_GETEVENTS, NULL, 0);
    if (done < 0 && errno != EINTR && errno != EAGAIN && errno != EBUSY)
        fail("io_uring_enter");
}

/* Room for `count` entries that must be handed over together. */
static void reserve(unsigned count)
{
    while (submissions.filled - atomic_load_explicit(submissions.head, memory_order_acquire) + count >
           submissions.mask + 1)
        enter(0);
}

/* Connections are files of the ring, not descriptors of the process: looking them up costs less. */
static void make_files(void)
{
    struct rlimit files;
    struct io_uring_rsrc_register sparse = {.nr = FILES, .flags = IORING_RSRC_REGISTER_SPARSE};
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        fail("getrlimit");
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < sparse.nr)
        sparse.nr = (unsigned)files.rlim_cur;
    if (syscall(__NR_io_uring_register, submissions.fd, IORING_REGISTER_FILES2, &sparse, sizeof sparse) < 0)
        fail("io_uring_register");
}

static struct io_uring_sqe *next_entry(unsigned operation, int fd, struct connection *c)
{
    struct io_uring_sqe *entry = &submissions.entries[submissions.filled++ & submissions.mask];
    memset(entry, 0, sizeof *entry);
    entry->opcode = (uint8_t)operation;
    entry->fd = fd;
    entry->user_data = (uintptr_t)c;
    return entry;
}

static void receive(struct connection *c)
{
    struct io_uring_sqe *entry = next_entry(IORING_OP_RECV, c->file, c);
    entry->flags = IOSQE_FIXED_FILE;
    entry->addr = (uintptr_t)c->buffer;
    entry->len = BUFFER;
    entry->ioprio = IORING_RECVSEND_POLL_FIRST; /* the peer has hardly answered yet */
}

/* The kernel repeats a short send by itself, so that what is reported is a failure. */
static void answer(struct connection *c, unsigned size)
{
    reserve(2);
    struct io_uring_sqe *entry = next_entry(IORING_OP_SEND, c->file, c);
    entry->addr = (uintptr_t)c->buffer;
    entry->len = size;
    entry->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
    entry->flags = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = QUIET; /* the receive is cancelled with it, and tells */
    receive(c);
}

static void finish(struct connection *c)
{
    reserve(1);
    struct io_uring_sqe *entry = next_entry(IORING_OP_CLOSE, 0, NULL);
    entry->file_index = (unsigned)c->file + 1;
    entry->flags = IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = QUIET;
    munmap(c->buffer, BUFFER);
    free(c);
}

static void welcome(int file)
{
    struct connection *c = malloc(sizeof *c);
    if (c == NULL)
        fail("malloc");
    c->file = file;
    c->buffer = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->buffer == MAP_FAILED)
        fail("mmap");
    reserve(1);
    receive(c);
}

static void accept_all(int listener)
{
    reserve(1);
    struct io_uring_sqe *entry = next_entry(IORING_OP_ACCEPT, listener, NULL);
    entry->ioprio = IORING_ACCEPT_MULTISHOT;
    entry->file_index = IORING_FILE_INDEX_ALLOC;
}

static void complete(const struct io_uring_cqe *done, int listener)
{
    struct connection *c = (void *)(uintptr_t)done->user_data;
    if (done->user_data == QUIET)
        return;
    if (c != NULL && done->res > 0)
        answer(c, (unsigned)done->res);
    else if (c != NULL)
        finish(c);
    else {
        if (done->res >= 0)
            welcome(done->res);
        if (!(done->flags & IORING_CQE_F_MORE))
            accept_all(listener);
    }
}

static int listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* connections inherit it */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        fail("bind");
    printf("{\"addresses\": [%d]}\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    make_ring();
    make_files();
    if (argc > 1 && strcmp(argv[1], "probe") == 0)
        return 0;
    alarm(LIFETIME_SECONDS);
    int listener = listen_somewhere();
    accept_all(listener);
    for (;;) {
        enter(1);
        unsigned head = atomic_load_explicit(completions.head, memory_order_relaxed);
        while (head != atomic_load_explicit(completions.tail, memory_order_acquire)) {
            struct io_uring_cqe done = completions.entries[head & completions.mask];
            atomic_store_explicit(completions.head, ++head, memory_order_release);
            complete(&done, listener);
        }
    }
}
