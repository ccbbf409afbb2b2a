cimport cython

from treadle._core.loop cimport LoopCore
from treadle._core.watch cimport Watch, Watches

cdef object _Socket


cdef class SocketMethods:
    pass


cpdef Watch begin(LoopCore loop, sock)
@cython.locals(watches=Watches)
cdef Watch find(LoopCore loop, sock)
@cython.locals(watches=Watches, watch=Watch)
cdef tuple wait(LoopCore loop, sock, int direction)
cdef leave(Watch watch, future)
cdef bint may_receive(Watch watch, size) except -1
cdef bint may_receive_into(Watch watch, buffer) except -1
cdef bint may_send(Watch watch, data) except -1
cdef received(Watch watch, Py_ssize_t count, size)
cdef bint takes_no_more(Watch watch) noexcept  # looks at fields
