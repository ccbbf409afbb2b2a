cimport cython

from treadle._drivers.base cimport Connection, Datagrams, Driver, Endpoint, Listener, Pipe


cdef class SelectorDriver(Driver):
    cdef object _selector
    cdef dict _owners
    cdef unsigned int _generation
    cdef object _wake_receiver
    cdef object _wake_sender
    cdef str _ended

    @cython.locals(forgotten=dict, endpoint=Endpoint)
    cdef _forget(self)
    cdef _drain_wake(self)
    @cython.locals(connection=Connection)
    cdef _dispatch(self, Endpoint endpoint, unsigned int generation, int mask)
    @cython.locals(pipe=Pipe)
    cdef _dispatch_pipe(self, Endpoint endpoint, unsigned int generation, int mask)
    cdef _receive_into(self, Connection connection)
    cdef _dispatch_datagrams(self, Datagrams endpoint, unsigned int generation, int mask)
    cdef _receive_datagrams(self, Datagrams endpoint)
    cdef _accept(self, Listener endpoint)
