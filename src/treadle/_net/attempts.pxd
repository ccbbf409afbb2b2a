cimport cython

from treadle._core.loop cimport LoopCore
from treadle._core.watch cimport Watch, Watches
from treadle._core.direct cimport receive_now, send_now

cdef object _Socket
cdef tuple _WOULD_BLOCK


@cython.locals(watches=Watches)
cpdef Watch begin(LoopCore loop, sock)
@cython.locals(watches=Watches, watch=Watch)
cpdef wait(LoopCore loop, sock, int direction)
@cython.locals(watches=Watches)
cpdef leave(LoopCore loop, sock, future)
@cython.locals(watch=Watch, plain=bint)
cpdef receive(LoopCore loop, sock, size)
@cython.locals(watch=Watch, count=Py_ssize_t)
cpdef receive_into(LoopCore loop, sock, buffer)
@cython.locals(watch=Watch, plain=bint, count=Py_ssize_t)
cpdef send(LoopCore loop, sock, data)
cdef bint _can_be_filled(buffer) except -1
