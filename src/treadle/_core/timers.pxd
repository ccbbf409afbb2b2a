cimport cython

from treadle._core.handles cimport TimerHandle, TimerHolder


cdef Py_ssize_t COMPACT_FROM


cdef class TimerQueue(TimerHolder):
    cdef readonly list heap
    cdef readonly Py_ssize_t dead
    cdef unsigned long long sequence

    @cython.locals(heap=list)
    cpdef push(self, TimerHandle handle)

    @cython.locals(heap=list, first=TimerHandle)
    cpdef long long next_deadline(self) except? -2

    @cython.locals(heap=list, first=TimerHandle)
    cpdef TimerHandle pop_due(self, long long now)

    @cython.locals(heap=list)
    cpdef note_cancelled(self, TimerHandle handle)

    @cython.locals(handle=TimerHandle, dropped=list)
    cpdef clear(self)

    @cython.locals(heap=list, first=TimerHandle, last=TimerHandle)
    cdef _pop_first(self)

    @cython.locals(live=list, mixed=list, handle=TimerHandle, position=Py_ssize_t)
    cdef _compact(self)


cdef _unschedule(TimerHandle handle)

cdef bint _before(TimerHandle a, TimerHandle b) noexcept  # compares integers

@cython.locals(handle=TimerHandle, parent=TimerHandle, parent_position=Py_ssize_t)
cdef _sift_up(list heap, Py_ssize_t position)

@cython.locals(
    size=Py_ssize_t, child=Py_ssize_t, handle=TimerHandle, smaller=TimerHandle, right=TimerHandle)
cdef _sift_down(list heap, Py_ssize_t position)
