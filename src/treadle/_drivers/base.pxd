cdef class Endpoint:
    cdef readonly int fd
    cdef readonly unsigned int generation
    cdef readonly int interest
    cdef readonly bint edge
    cdef readonly int kind

    cpdef ready(self, int mask)
    cpdef evicted(self)


cdef class Connection(Endpoint):
    # The methods are cdef: a transport takes attributes that users set, and a cpdef method would
    # look for an override among them at every event.
    cdef public bint fills_buffer
    cdef Py_ssize_t expects

    cdef received(self, data)
    cdef receive_buffer(self)
    cdef received_into(self, Py_ssize_t count)
    cdef received_eof(self)
    cdef receive_failed(self, exc)
    cdef send_ready(self)
    cdef turn_ended(self)


cdef class Pipe(Connection):
    cdef hung_up(self)


cdef class Listener(Endpoint):
    cdef public object sock
    cdef public int batch

    cpdef accepted(self, int fd, peer)
    cpdef accept_failed(self, exc)


cdef class Datagrams(Endpoint):
    # cdef methods, for the reason given at Connection
    cdef public object sock
    cdef readonly int family
    cdef public int batch

    cdef datagram_received(self, data, address)
    cdef receive_failed(self, exc)
    cdef send_ready(self)


cdef class Driver:
    cpdef open(self)
    cpdef close_driver(self)
    cpdef disown(self)
    cpdef attach(self, Endpoint endpoint, int fd)
    cpdef int detach(self, Endpoint endpoint) except -2
    cpdef owner(self, int fd)
    cpdef set_interest(self, Endpoint endpoint, int interest)
    cpdef renew_interest(self, Endpoint endpoint, int interest)
    cpdef receive(self, Connection connection)
    cpdef await_edge(self, Endpoint endpoint, int interest)
    cpdef wait(self, long long timeout_ns)
    cpdef wake(self)
    cpdef Py_ssize_t send(self, Connection connection, data, Py_ssize_t offset) except -1
    cpdef Py_ssize_t send_many(self, Connection connection, chunks, Py_ssize_t offset) except -1
    cpdef bint send_to(self, Datagrams endpoint, data, address) except -1
    cpdef bint receive_from(self, Datagrams endpoint) except -1
    cpdef close(self, Endpoint endpoint)
    cpdef start_receiving(self, Endpoint endpoint)
    cpdef stop_receiving(self, Endpoint endpoint)
    cpdef await_send(self, Endpoint endpoint)
    cpdef forget_send(self, Endpoint endpoint)
    cpdef await_hangup(self, Pipe pipe)
    cpdef start_accepting(self, Listener listener)
    cpdef stop_accepting(self, Listener listener)
    cpdef peer_name(self, peer)
    cpdef local_name(self, int fd)
    cpdef shutdown_send(self, Connection connection)
