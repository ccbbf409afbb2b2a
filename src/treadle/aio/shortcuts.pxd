cimport cython

from treadle._core.clock cimport deadline_after
from treadle._core.handles cimport TimerHandle
from treadle._core.invoke cimport make_future, make_task
from treadle._core.wheel cimport Wheel


@cython.locals(wheel=Wheel)
cpdef object time_of(object loop)

@cython.locals(wheel=Wheel)
cpdef object alarm_at(object loop, object when, object callback, tuple args)

@cython.locals(wheel=Wheel)
cpdef object alarm_in(object loop, object delay, object callback, tuple args)

@cython.locals(handle=TimerHandle)
cpdef cancel_alarm(object alarm)

@cython.locals(wheel=Wheel)
cpdef object new_future(object loop)

@cython.locals(wheel=Wheel)
cpdef object spawn(object loop, object coro, dict keywords=*)
