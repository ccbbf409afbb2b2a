cimport cython

from treadle.aio.loopbound cimport LoopBound, discard
from treadle.aio.operation cimport Finished, Operation


cdef Finished _FINISHED


cdef class LockCore(LoopBound):
    cdef public object _waiters
    cdef public bint _locked
    cdef bint plain

    cdef bint is_free(self) except -1
    cdef join_line(self)
    cdef bint wake_first(self) except -1
    cdef unlock(self)


cdef class LockAcquire(Operation):
    @cython.locals(lock=LockCore)
    cdef begin(self)
    @cython.locals(lock=LockCore)
    cdef woken(self)
    @cython.locals(lock=LockCore)
    cdef failed(self, error)


@cython.locals(operation=LockAcquire)
cpdef lock_acquire(LockCore lock, outcome)


@cython.locals(core=LockCore)
cpdef LockCore plain_lock(lock)


cdef class EventCore(LoopBound):
    cdef public object _waiters
    cdef public bint _value


cdef class EventWait(Operation):
    @cython.locals(event=EventCore)
    cdef begin(self)
    @cython.locals(event=EventCore)
    cdef woken(self)
    @cython.locals(event=EventCore)
    cdef failed(self, error)


@cython.locals(operation=EventWait)
cdef event_wait(EventCore event)


cdef class SemaphoreCore(LoopBound):
    cdef public object _waiters
    cdef public object _value
    cdef public object _bound_value
    cdef bint plain

    cdef bint is_locked(self) except -1
    cdef join_line(self)
    cdef bint wake_one(self) except -1
    cdef wake_all_allowed(self)
    cdef give_back(self)


cdef class SemaphoreAcquire(Operation):
    @cython.locals(semaphore=SemaphoreCore)
    cdef begin(self)
    @cython.locals(semaphore=SemaphoreCore)
    cdef woken(self)
    @cython.locals(semaphore=SemaphoreCore)
    cdef failed(self, error)


@cython.locals(operation=SemaphoreAcquire)
cdef semaphore_acquire(SemaphoreCore semaphore, outcome)
