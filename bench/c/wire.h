/* Bytes on a connected socket, plainly or, when compiled with WITH_TLS, through OpenSSL.
 *
 * `transmit` and `receive` answer as send(2) and recv(2) on a non-blocking socket do: a count, 0 at
 * the end of the stream, or -1 with errno, where EAGAIN says that nothing can be done now.
 */
#ifndef WIRE_H
#define WIRE_H

#include "measure.h"

#ifdef WITH_TLS
#include <openssl/ssl.h>

typedef SSL *wire;

static SSL_CTX *context;

/* The server's certificate is not looked at, and no session is ever resumed. */
static void prepare(void)
{
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        fail("OpenSSL gives no context");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
}

/* Shake hands on a blocking socket. */
static wire wrap(int fd)
{
    SSL *made = SSL_new(context);
    if (made == NULL || SSL_set_fd(made, fd) != 1)
        fail("OpenSSL gives no connection");
    if (SSL_connect(made) != 1)
        fail("a handshake failed");
    return made;
}

static ssize_t result(wire w, int done)
{
    if (done > 0)
        return done;
    switch (SSL_get_error(w, done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = ECONNRESET;
        return -1;
    }
}

static ssize_t transmit(wire w, const char *data, size_t size)
{
    return result(w, SSL_write(w, data, (int)size));
}

static ssize_t receive(wire w, char *data, size_t size)
{
    return result(w, SSL_read(w, data, (int)size));
}

/* OpenSSL may hold bytes of which the poller knows nothing: read until there are none. */
enum { READS_ALL = 1 };

#else

typedef int wire;

static void prepare(void) {}

static wire wrap(int fd)
{
    return fd;
}

static ssize_t transmit(wire w, const char *data, size_t size)
{
    return send(w, data, size, MSG_NOSIGNAL);
}

static ssize_t receive(wire w, char *data, size_t size)
{
    return recv(w, data, size, 0);
}

enum { READS_ALL = 0 };

#endif
#endif
