cimport cython


cdef class Handle:
    cdef readonly object _callback
    cdef readonly object _args
    cdef readonly object _loop
    cdef readonly object _context
    cdef public object _source_traceback
    cdef object _repr
    cdef readonly bint _cancelled
    cdef object __weakref__

    cdef bint drop(self) except -1
    cdef bint forget(self) except -1
    cdef list describe(self)


cdef class TimerHolder:
    cpdef note_cancelled(self, TimerHandle handle)


cdef class TimerHandle(Handle):
    cdef readonly double _when
    cdef readonly bint _scheduled
    cdef readonly long long deadline
    cdef readonly unsigned long long sequence
    cdef TimerHolder _holder


@cython.locals(handle=Handle)
cpdef Handle new_handle(object callback, object args, object loop, object context)

@cython.locals(handle=TimerHandle)
cpdef TimerHandle new_timer_handle(
    double when, long long deadline, object callback, object args, object loop,
    object context, TimerHolder holder)
