"""Socket calls of the compiled driver."""

from libc.stdint cimport uint16_t, uint32_t
from posix.types cimport mode_t


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

    ssize_t writev(int fd, const iovec *pieces, int count)


cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t

    struct sockaddr:
        unsigned short sa_family

    struct sockaddr_storage:
        unsigned short ss_family

    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen

    int AF_INET
    int AF_INET6
    int AF_UNIX
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int MSG_NOSIGNAL
    int MSG_DONTWAIT

    ssize_t recv(int fd, void *buf, size_t count, int flags)
    ssize_t send(int fd, const void *buf, size_t count, int flags)
    ssize_t recvfrom(
        int fd, void *buf, size_t count, int flags, sockaddr *address, socklen_t *length)
    ssize_t sendto(
        int fd, const void *buf, size_t count, int flags, const sockaddr *address, socklen_t length)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)


cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass

    struct in6_addr:
        pass

    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port  # network order, like all that follows but the scope
        in_addr sin_addr

    struct sockaddr_in6:
        unsigned short sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id  # host order

    int INET6_ADDRSTRLEN


cdef extern from "<arpa/inet.h>" nogil:
    uint16_t htons(uint16_t number)
    uint16_t ntohs(uint16_t number)
    uint32_t htonl(uint32_t number)
    uint32_t ntohl(uint32_t number)
    int inet_pton(int family, const char *text, void *address)
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)


cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/socket.h>
    extern int accept4(int, struct sockaddr *__restrict, socklen_t *__restrict, int);
    """
    int accept4(int fd, sockaddr *address, socklen_t *length, int flags) nogil


cdef extern from *:
    """
    #include <errno.h>
    #include <sys/socket.h>

    static PyObject *treadle_recv_bytes(int fd, Py_ssize_t size, Py_ssize_t *count) {
        PyObject *data = PyBytes_FromStringAndSize(NULL, size);
        if (data == NULL) {
            return NULL;
        }
        *count = recv(fd, PyBytes_AS_STRING(data), (size_t)size, 0);
        if (*count < size) {
            int error = errno;
            _PyBytes_Resize(&data, *count > 0 ? *count : 0);
            errno = error;
        }
        return data;
    }
    """
    # A new bytes of what came; empty, with *count and errno those of recv(2), where nothing did.
    object recv_bytes "treadle_recv_bytes" (int fd, Py_ssize_t size, Py_ssize_t *count)
