cimport cython

from treadle._core.clock cimport Clock, deadline_after
from treadle._core.handles cimport Handle, TimerHandle, new_timer_handle
from treadle._core.invoke cimport (
    current_context, make_future, make_task, task_is_done, unregister)
from treadle._core.ready cimport Owner, ReadyQueue, quicken_owner
from treadle._core.tasks cimport TaskKeeper
from treadle._core.timers cimport TimerQueue
from treadle._drivers.base cimport Connection, Driver

cdef long long POLL_EVERY_NS
cdef Py_ssize_t MAX_SKIPS
cdef Py_ssize_t LONGEST_STRIDE
cdef long long NEAR_NS
cdef long long SLOW_NS
cdef long long LONGEST_WAIT_NS


cdef class Wheel(Owner):
    # Users' loops are Python classes derived from this one. A cpdef method would look for an
    # override at every call, so what runs per turn is cdef, and what Python calls is def.
    cdef readonly Driver _driver
    cdef readonly Clock _clock
    cdef Clock _given_clock
    cdef ReadyQueue _ready
    cdef TimerQueue _timers
    cdef readonly TaskKeeper _tasks
    cdef readonly object _hooks
    cdef dict _future_keywords
    cdef bint _own_time
    cdef public bint _as_made
    cdef public bint _debug
    cdef public bint _closed
    cdef public bint _stopping
    cdef bint _idle
    cdef bint _wake_sent
    cdef public unsigned long _thread_id
    cdef long long _now
    cdef long long _last_poll
    cdef Py_ssize_t _skips
    cdef Py_ssize_t _stride
    cdef Py_ssize_t _next_look
    cdef readonly unsigned int _turns
    cdef list _unsent
    cdef readonly Handle _current_handle
    cdef public double slow_callback_duration

    @cython.locals(now=cython.longlong, deadline=cython.longlong)
    cdef TimerHandle _set_timer_in(self, double seconds, callback, args, context)
    @cython.locals(handle=TimerHandle)
    cdef TimerHandle _set_timer(
        self, double when, long long deadline, callback, args, context)
    cdef TimerHandle _set_timer_at(self, double when, callback, args, context)

    cpdef _queue_handle(self, Handle handle)
    @cython.locals(ready=ReadyQueue, timers=TimerQueue, first=TimerHandle)
    cdef _turn_until_stopped(self)
    @cython.locals(ready=ReadyQueue, handle=Handle, count=Py_ssize_t)
    cdef bint _first_turn(self) except -1
    @cython.final
    cdef _run_ready(self, Py_ssize_t count)
    cdef _await_turn_end(self, Connection connection)
    @cython.locals(done=Py_ssize_t, connection=Connection)
    cdef _end_turn(self)
    @cython.final
    @cython.locals(now=cython.longlong)
    cdef bint _polls_now(self) except -1
    @cython.locals(timeout=cython.longlong)
    cdef _poll(self)
    @cython.locals(deadline=cython.longlong, now=cython.longlong)
    cdef long long _time_to_wait(self) except? -2
    @cython.locals(handle=TimerHandle)
    cdef _expire(self)
    @cython.locals(handle=Handle, started=cython.longlong, seconds=double)
    cdef _run_timed(self, Py_ssize_t count)

    cdef queue_soon(self, callback, args, context)
    cdef _queue_watched(self, callback, args, context)
    cdef start_task(self, coro)
    cdef callback_failed(self, Handle handle, exc)
    cdef step_begins(self, task)
    cdef step_ended(self, task)

    cdef _check_call(self, callback, str method, bint same_thread)
    cdef _trace(self, Handle handle)
