/* The load generator for TLS handshakes: one connection after the other, each with a full handshake.
 *
 *     handshakes PORT WARMUP_SECONDS SECONDS SERVER_PID
 *
 * Each connection is opened, shakes hands, sends one byte, waits for it to come back (then the server
 * has done its part of the handshake, too), takes leave and waits until the server has done so. No
 * session is resumed. What it prints is told in measure.h.
 */
#define _GNU_SOURCE
#define WITH_TLS
#include "wire.h"
#include <signal.h>

static const char *port;

static void shake_hands(void)
{
    uint64_t started = read_clock(CLOCK_MONOTONIC);
    struct timeval patience = {.tv_sec = STALL_MS / 1000};
    char byte = '\n';
    int fd = dial(port, SOCK_STREAM);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    wire w = wrap(fd);
    if (SSL_session_reused(w))
        fail("a session was resumed");
    if (transmit(w, &byte, 1) != 1 || receive(w, &byte, 1) != 1)
        fail("a byte did not come back");
    if (SSL_shutdown(w) < 0 || receive(w, &byte, 1) > 0)
        fail("the server does not take leave");
    SSL_free(w);
    close(fd);
    count(started);
}

static void run_until(uint64_t end)
{
    while (read_clock(CLOCK_MONOTONIC) < end)
        shake_hands();
}

int main(int argc, char **argv)
{
    if (argc != 5)
        fail("usage: handshakes PORT WARMUP_SECONDS SECONDS SERVER_PID");
    port = argv[1];
    find_server(argv[4]);
    signal(SIGPIPE, SIG_IGN);
    prepare();
    measure(run_until, nanoseconds(argv[2]), nanoseconds(argv[3]), NULL);
    return 0;
}
