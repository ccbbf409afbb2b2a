cimport cython

from treadle._drivers.base cimport Connection, Datagrams, Driver, Endpoint, Listener


cdef class SelectorDriver(Driver):
    cdef object _selector
    cdef dict _owners
    cdef unsigned int _generation
    cdef object _wake_receiver
    cdef object _wake_sender

    @cython.locals(forgotten=dict, endpoint=Endpoint)
    cpdef close_driver(self)
    cdef _drain_wake(self)
    @cython.locals(connection=Connection)
    cdef _dispatch(self, Endpoint endpoint, unsigned int generation, int mask)
    cdef _receive(self, Connection connection)
    cdef _receive_into(self, Connection connection)
    cdef _dispatch_datagrams(self, Datagrams endpoint, unsigned int generation, int mask)
    cdef _receive_datagrams(self, Datagrams endpoint)
    cdef _accept(self, Listener endpoint)
