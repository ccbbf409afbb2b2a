cimport cython

from treadle._core.direct cimport number
from treadle._core.handles cimport Handle, new_handle
from treadle._core.invoke cimport current_context, make_future
from treadle._core.wheel cimport Wheel
from treadle._drivers.base cimport Driver, Endpoint

cdef object _Socket
cdef object _Plain
cdef object _InvalidState


cdef class Watch(Endpoint):
    cdef Wheel loop
    cdef Driver driver
    cdef readonly Handle reader
    cdef readonly Handle writer
    cdef readonly list readers
    cdef readonly list writers
    cdef readonly object sock
    cdef public bint readable
    cdef public bint writable
    cdef readonly bint exhaustive
    cdef readonly bint told_states

    cpdef ready(self, int mask)
    cpdef evicted(self)
    cdef serve(self, sock)
    cdef wait(self, int direction, bint plain)
    cdef leave(self, future)
    cdef wake_all(self)
    cdef int wanted(self) noexcept  # looks at fields
    cdef narrow(self)
    cdef bint has_handles(self) noexcept  # looks at fields
    cdef bint is_stale(self) except -1


cdef class Watches:
    cdef Wheel loop
    cdef Driver driver

    @cython.locals(watch=Watch)
    cpdef add_reader(self, fd, callback, tuple args)
    @cython.locals(watch=Watch)
    cpdef add_writer(self, fd, callback, tuple args)
    @cython.locals(watch=Watch)
    cpdef bint remove_reader(self, fd) except -1
    @cython.locals(watch=Watch)
    cpdef bint remove_writer(self, fd) except -1
    @cython.locals(watch=Watch)
    cdef Watch _watch(self, fileobj)
    cdef Watch _watched(self, fileobj)
    cdef Watch _owner(self, int fd)
    cdef _renew(self, Watch watch, Handle old)
    cdef _relax(self, Watch watch, Handle old)
    @cython.locals(fd=int, watch=Watch)
    cdef Watch find(self, sock)
    @cython.locals(watch=Watch)
    cdef Watch demand(self, sock)
    @cython.locals(watch=Watch)
    cdef leave(self, sock, future)
    cdef _give_up(self, Watch watch)


cdef _wake(list waiting)
cdef Watch _as_watch(Endpoint owner)
cdef _reference(sock)
cdef bint _is_exhaustive(sock) except -1
cdef int number_of(sock) except? -2
cpdef int descriptor_of(fileobj) except? -2
