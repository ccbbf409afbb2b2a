"""Socket calls of the compiled driver."""

from posix.types cimport mode_t


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len


cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t

    struct sockaddr:
        unsigned short sa_family

    struct sockaddr_storage:
        unsigned short ss_family

    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen

    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int MSG_NOSIGNAL
    int MSG_DONTWAIT

    ssize_t recv(int fd, void *buf, size_t count, int flags)
    ssize_t send(int fd, const void *buf, size_t count, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)


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
