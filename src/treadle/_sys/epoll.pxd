"""epoll(7), eventfd(2) and the sockets calls of the compiled driver."""

from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport timespec


cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64

    struct epoll_event:
        uint32_t events
        epoll_data_t data

    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLL_CTL_DEL
    int EPOLL_CTL_MOD
    uint32_t EPOLLIN
    uint32_t EPOLLOUT
    uint32_t EPOLLERR
    uint32_t EPOLLET
    uint32_t EPOLLHUP
    uint32_t EPOLLPRI
    uint32_t EPOLLRDHUP

    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout_ms)


cdef extern from "<sys/eventfd.h>" nogil:
    int EFD_CLOEXEC
    int EFD_NONBLOCK
    int eventfd(unsigned int initval, int flags)


cdef extern from *:
    """
    #include <errno.h>
    #include <signal.h>
    #include <sys/epoll.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    #ifndef SYS_epoll_pwait2
    #define SYS_epoll_pwait2 441  /* the same on every architecture; Linux 5.11 */
    #endif

    static int treadle_epoll_pwait2(int epfd, struct epoll_event *events, int maxevents,
                                    const struct timespec *timeout) {
        return (int)syscall(SYS_epoll_pwait2, epfd, events, maxevents, timeout, NULL, 0);
    }
    """
    # -1 and ENOSYS or EPERM where the kernel or a sandbox does not have it
    int treadle_epoll_pwait2(
        int epfd, epoll_event *events, int maxevents, const timespec *timeout) nogil


cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t read(int fd, void *buf, size_t count)
    ssize_t write(int fd, const void *buf, size_t count)


cdef extern from "<fcntl.h>" nogil:
    int F_GETFD
    int fcntl(int fd, int command, ...)
