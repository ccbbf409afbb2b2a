cimport cython
from libc.stdint cimport uint32_t, uint64_t

from treadle._drivers.address cimport AddressBook
from treadle._drivers.base cimport Connection, Datagrams, Driver, Endpoint, Listener, Pipe
from treadle._sys.epoll cimport epoll_event


cdef class EpollDriver(Driver):
    cdef int epoll_fd  # closed by release()
    cdef int wake_fd  # an eventfd; closed by release()
    cdef uint32_t generation  # of the endpoint attached last
    cdef list owners  # by descriptor: Endpoint or None
    cdef epoll_event *events  # MAX_EVENTS of them; freed by release()
    cdef char *scratch  # SCRATCH_SIZE bytes; freed by release()
    cdef bint has_pwait2
    cdef str ended  # what to tell who uses the driver when it has no epoll_fd any more

    cdef forget(self)
    cdef release(self)
    cdef close_descriptors(self)
    cdef register(self, Endpoint endpoint, int interest, uint32_t flags)
    cdef repair(self, Endpoint endpoint, int operation, epoll_event *event)
    cdef repeat(self, int first, int count)
    cdef int poll(self, long long timeout_ns) noexcept  # -1 and errno, like the system call
    cdef dispatch(self, uint64_t data, uint32_t mask)
    cdef dispatch_pipe(self, Pipe pipe, uint32_t mask)
    cdef receive_from_pipe(self, Pipe pipe)
    cdef receive_large(self, Connection connection)
    cdef tell(self, Endpoint endpoint, bint failed, uint32_t mask)
    cdef receive_into(self, Connection connection)
    cdef receive_ended(self, Connection connection, Py_ssize_t count, int error)
    cdef accept(self, Listener listener)
    cdef accept_ended(self, Listener listener, int error)
    cdef drain_wake(self)
