/* What the load generators have in common: clocks, counts, latencies, the line that is printed.
 *
 * The server's CPU time (user and system, all of its threads) is read here, through the CPU clock of
 * its process, in the same instant in which operations are counted: at the end of the warm-up and at
 * the end of the run. The kernel brings that clock up to date at each switch and at each tick, so it
 * is behind by a tick (1 to 10 ms) at most.
 *
 * A generator that has a core of its own never sleeps (BENCH_SPINS=1). If it slept, the server's send
 * would have to wake it, on another core, and the server would be charged for that: ten microseconds
 * and more in a virtual machine, several times a cheap message. Worse, whether it happens depends on
 * who is faster at the moment and keeps itself up: a generator that is woken for each message keeps
 * its server slow, so that it has time to fall asleep again.
 *
 * A generator prints one line of JSON: the figures, or {"error": "..."} with exit status 1.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    STAMP = 8,       /* bytes of a message that tell it from any other */
    STALL_MS = 5000, /* silence after which the server is called stuck */
    MANTISSA = 7,    /* bits: latencies are kept to within 1/128 */
    BUCKETS = (64 - MANTISSA + 1) << MANTISSA,
};

struct sample {
    uint64_t now, cpu, messages;
    uint64_t sleeps, server_sleeps; /* how often either gave its core away to wait */
};

static clockid_t server_clock;
static char server_status[64]; /* the file that tells how often it slept */
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

static void find_server(const char *pid)
{
    if (clock_getcpuclockid((pid_t)atoi(pid), &server_clock) != 0)
        fail("the server's process is gone");
    snprintf(server_status, sizeof server_status, "/proc/%d/status", atoi(pid));
}

/* How often the server's main thread slept; 0 where the system does not tell. */
static uint64_t read_server_sleeps(void)
{
    unsigned long long found = 0;
    char line[256];
    FILE *file = fopen(server_status, "r");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &found) == 1)
            break;
    fclose(file);
    return found;
}

static uint64_t read_own_sleeps(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nvcsw : 0;
}

static uint64_t nanoseconds(const char *seconds)
{
    return (uint64_t)(atof(seconds) * 1e9);
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

/* Count an operation that began at `started`; returns the time. */
static uint64_t count(uint64_t started)
{
    uint64_t now = read_clock(CLOCK_MONOTONIC);
    latencies[bucket_of(now - started)]++;
    messages++;
    return now;
}

static struct sample take_sample(void)
{
    return (struct sample){
        .now = read_clock(CLOCK_MONOTONIC), .cpu = read_clock(server_clock), .messages = messages,
        .sleeps = read_own_sleeps(), .server_sleeps = read_server_sleeps()};
}

/* epoll_wait(2); with BENCH_SPINS=1 without ever sleeping. */
static inline int await_events(int poller, struct epoll_event *events, int most, int milliseconds)
{
    static int spins = -1;
    if (spins < 0) {
        const char *given = getenv("BENCH_SPINS");
        spins = given != NULL && strcmp(given, "1") == 0;
    }
    if (!spins)
        return epoll_wait(poller, events, most, milliseconds);
    uint64_t end = read_clock(CLOCK_MONOTONIC) + (uint64_t)milliseconds * 1000000u;
    int ready;
    do
        ready = epoll_wait(poller, events, most, 0);
    while (ready == 0 && read_clock(CLOCK_MONOTONIC) < end);
    return ready;
}

/* Run through the warm-up and the measured interval, then print the figures; `more` is JSON. */
static void measure(void (*run_until)(uint64_t), uint64_t warmup, uint64_t measured,
                    const char *(*more)(void))
{
    run_until(read_clock(CLOCK_MONOTONIC) + warmup);
    memset(latencies, 0, sizeof latencies);
    struct sample from = take_sample();
    run_until(from.now + measured);
    struct sample to = take_sample();
    if (to.messages == from.messages)
        fail("no message came back in the measured interval");
    printf("{\"generator\": \"c\", \"messages\": %llu, \"seconds\": %.6f, \"cpu_ns\": %llu, "
           "\"sleeps\": %llu, \"server_sleeps\": %llu, "
           "\"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f%s}\n",
           (unsigned long long)(to.messages - from.messages), (double)(to.now - from.now) / 1e9,
           (unsigned long long)(to.cpu - from.cpu), (unsigned long long)(to.sleeps - from.sleeps),
           (unsigned long long)(to.server_sleeps - from.server_sleeps), percentile_us(0.50), percentile_us(0.90),
           percentile_us(0.99), more == NULL ? "" : more());
}

/* Bytes in which there is no line feed, but for the last one: a server may read by the line. */
static inline char *make_message(size_t size)
{
    char *made = malloc(size);
    if (made == NULL)
        fail("out of memory");
    for (size_t i = 0; i < size; i++) {
        char byte = (char)(i * 31 + (i >> 8));
        made[i] = byte == '\n' ? '\r' : byte;
    }
    made[size - 1] = '\n';
    return made;
}

/* Who sends, and which of its messages this is, seven bits to a byte: no line feed either. */
static inline void stamp(char *message, size_t size, uint32_t sender, uint32_t ordinal)
{
    uint64_t number = ((uint64_t)sender << 35) | (ordinal & 0x7ffffffffull);
    for (size_t i = 0; i < STAMP && i + 1 < size; i++)
        message[i] = (char)(0x80 | ((number >> (7 * i)) & 0x7f));
}

/* A connected socket; `where` is a port of this host or the path of a Unix socket. */
static int dial(const char *where, int type)
{
    struct sockaddr_in inet = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)atoi(where)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un unix_ = {.sun_family = AF_UNIX};
    int local = where[0] == '/';
    struct sockaddr *address = local ? (struct sockaddr *)&unix_ : (struct sockaddr *)&inet;
    strncpy(unix_.sun_path, where, sizeof unix_.sun_path - 1);
    int fd = socket(address->sa_family, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, address, local ? sizeof unix_ : sizeof inet) < 0)
        fail("a connection could not be opened");
    int on = 1;
    if (!local && type == SOCK_STREAM)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

#endif
