cimport cython

from treadle._core.invoke cimport give


cdef class Scope:
    cdef _enter(self)


@cython.final
@cython.freelist(16)
cdef class Entry:
    cdef Scope scope


@cython.final
cdef class Finished:
    pass


@cython.locals(entry=Entry)
cpdef Entry entry_of(Scope scope)

cpdef thrown(kind, value, traceback)
